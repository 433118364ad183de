"""Motion between two studies with known orientations."""

import json

import numpy as np
import pytest

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.measurements import flexion_extension
from lumbar_ext.measurements.flexion_extension import SegmentMotion, compare_studies, relative_motion_deg, verdict
from lumbar_ext.measurements.uncertainty.assessment import assess_values
from lumbar_ext.measurements.values.frames import cardan_rad, cardan_rotation
from lumbar_ext.measurements.values.spine_values import Values

NAMES = ("relative_lateral_bend", "relative_flexion", "relative_axial_rotation")


def values(angles, slips):
    """Measurements of segments by name: (lateral, flexion, axial) in deg, and slips in mm."""
    found = {
        (segment, name): np.array(a) for segment, own in angles.items() for name, a in zip(NAMES, own, strict=True)
    }
    found |= {(segment, "sagittal_slip"): np.array(slip) for segment, slip in slips.items()}
    reasons = {("L1-L2", name): "L2 is missing" for name in NAMES if ("L1-L2", name) not in found}
    return assess_values(Values(found, reasons))


def test_cardan_angles_and_rotations_are_inverse():
    angles = np.radians([12.0, -35.0, 20.0])
    np.testing.assert_allclose(cardan_rad(cardan_rotation(angles)), angles, atol=1e-12)


def test_motion_is_what_turns_the_first_orientation_into_the_second():
    first, second = (RigidTransform.from_euler(*np.radians(angles)) for angles in ([3, -4, 7], [-2, 9, 5]))
    turned = relative_motion_deg(*(np.degrees(cardan_rad(pose.rotation)) for pose in (first, second)))
    expected = np.degrees(cardan_rad(second.rotation @ first.rotation.T))
    assert turned == pytest.approx(expected, abs=1e-9)
    assert relative_motion_deg([0, -4, 0], [0, 9, 0]) == pytest.approx([0, 13, 0], abs=1e-9)


@pytest.mark.parametrize(("flexion", "slip", "beyond"), [(13, 2.0, False), (21, 2.0, True), (3, 4.5, True)])
def test_a_segment_beyond_a_limit_is_flagged(flexion, slip, beyond):
    still = {"L1-L2": (1.0, 2.0, 3.0)}
    motions = compare_studies(
        values(still | {"L4-L5": (0.0, 0.0, 0.0)}, {"L4-L5": 1.0, "L1-L2": 0.0}),
        values(still | {"L4-L5": (0.0, flexion, 0.0)}, {"L4-L5": 1.0 + slip, "L1-L2": 0.0}),
    )
    segment = next(motion for motion in motions if motion.subject == "L4-L5")
    assert segment.translation_mm == pytest.approx(slip)
    assert segment.flexion_deg == pytest.approx(flexion)
    assert segment.beyond_threshold is beyond
    assert "White" in segment.threshold
    assert motions[0].beyond_threshold is False
    assert motions[0].flexion_deg == pytest.approx(0)


def test_missing_vertebrae_and_slips_are_not_guessed():
    whole = values({"L1-L2": (0.0, 0.0, 0.0), "L3-L4": (0.0, 0.0, 0.0)}, {})
    motions = {m.subject: m for m in compare_studies(whole, values({"L3-L4": (0.0, 0.0, 0.0)}, {}))}
    assert motions["L1-L2"].flexion_deg is None
    assert motions["L1-L2"].reason == "L2 is missing"
    assert motions["L3-L4"].flexion_deg == pytest.approx(0)
    assert motions["L3-L4"].translation_mm is None
    assert motions["L3-L4"].beyond_threshold is None


def with_deviations(angles, deviations):
    """Measurements of L1-L2 with standard deviations; None for one that is unknown."""
    keys = [("L1-L2", name) for name in NAMES]
    known = {key: sd for key, sd in zip(keys, deviations, strict=True) if sd is not None}
    return assess_values(Values({key: np.array(a) for key, a in zip(keys, angles, strict=True)}, {}), known)


def test_deviations_of_all_three_angles_are_those_of_noise_put_in():
    """Against 20,000 pairs of studies whose angles err as stated; sampled deviations are good to half a percent."""
    first, second = np.array([4.0, 12.0, -3.0]), np.array([-5.0, -18.0, 6.0])
    sds = np.array([[1.0, 0.5, 2.0], [0.8, 0.7, 1.5]])
    draws = np.random.default_rng(4)
    noisy = [draws.normal(angles, own, (20_000, 3)) for angles, own in zip((first, second), sds, strict=True)]
    expected = np.std([relative_motion_deg(*pair) for pair in zip(*noisy, strict=True)], axis=0)
    motion = compare_studies(with_deviations(first, sds[0]), with_deviations(second, sds[1]))[0]
    found = [motion.lateral_bend_sd_deg, motion.flexion_sd_deg, motion.axial_rotation_sd_deg]
    assert found == pytest.approx(expected, rel=0.03)
    # Thirty degrees of flexion hand the axial error on to the lateral bend.
    assert found[0] > 1.05 * np.hypot(1.0, 0.8)


def test_the_table_prints_an_interval_beside_every_number_that_has_one(tmp_path, capsys, monkeypatch):
    studies = {
        "a": with_deviations((1.0, 2.0, 3.0), (1.0, 1.0, None)),
        "b": with_deviations((2.0, 9.0, 3.0), (1.0, 1.0, 1.0)),
    }
    monkeypatch.setattr(flexion_extension, "read_measurements", lambda file: studies[file.parent.name])
    flexion_extension.compare_postures("a", "b", str(tmp_path / "motion.json"))
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| L1-L2"))
    _, flexion, lateral, axial, *_ = (cell.strip() for cell in row.strip("|").split("|"))
    assert " ± " in flexion and " ± " in lateral and " ± " not in axial
    (segment, *_) = json.loads((tmp_path / "motion.json").read_text())["segments"]
    assert segment["lateral_bend_sd_deg"] > 1.4 and segment["axial_rotation_sd_deg"] is None


@pytest.mark.parametrize(
    ("flexion", "flexion_sd", "translation", "translation_sd", "said"),
    [
        (5.0, 1.0, 1.0, 0.5, "no"),
        (14.0, 1.0, 1.0, 0.5, "not certain"),  # 14 +- 1.6 reaches beyond 15
        (18.0, 1.0, 1.0, 0.5, "yes"),
        (5.0, 1.0, -6.0, 1.0, "yes"),
        (5.0, 1.0, 4.5, 1.0, "not certain"),
        (16.0, None, 1.0, None, "yes"),
    ],
)
def test_a_verdict_is_given_only_where_the_interval_agrees(flexion, flexion_sd, translation, translation_sd, said):
    motion = SegmentMotion(
        "L1-L2", flexion, flexion_sd, 0.0, 0.5, 0.0, 0.5, translation, translation_sd, abs(flexion) > 15, "", None
    )
    assert verdict(motion) == said
