"""Motion between two studies with known orientations."""

import numpy as np
import pytest

from lumbar_ext.geometry import RigidTransform
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
        "L1-L2", flexion, flexion_sd, 0.0, 0.0, translation, translation_sd, abs(flexion) > 15, "", None
    )
    assert verdict(motion) == said
