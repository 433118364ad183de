"""Values with S1 and T12, on cylinders over an endplate that is turned by known angles."""

import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.landmarks.hip_axis import HipAxis
from lumbar_ext.measurements.marks.sacral_marks import HIPS, mark_centre, mark_hips, mark_sacrum, sacral_rim_mm
from lumbar_ext.measurements.values.endplates import endplate
from lumbar_ext.measurements.values.spine_values import mark_spine, measure_spine
from tests.measurements.solids import A_MM, B_MM, HEIGHT_MM, body, mesh

DISC_MM = 9.0
PITCH_MM = HEIGHT_MM + DISC_MM
PLATE_MM = np.array([[0, 0, 0], [A_MM, 0, 0], [-A_MM, 0, 0], [0, B_MM, 0], [0, -B_MM, 0]], dtype=float)
"""S1's endplate as wide and as deep as the cylinders."""

_MARKED = {}


def cylinder(level, pose):
    """A marked cylinder; its marks are found once."""
    own = mesh(body(), RigidTransform.identity())
    if not _MARKED:
        _MARKED.update(mark_spine({"L1": own})[0])
    return _MARKED["L1"].place(pose.apply(own.vertices_mm), pose.apply(own.landmarks_mm))


def spine(flexion_deg=(0,) * 6, slip_mm=0.0, lateral_deg=(0,) * 5, axial_deg=(0,) * 5, aside_mm=(0,) * 6, t12_mm=None):
    """L1 to L5 and S1, turned by angles about their own middles; S1's is that of its endplate."""
    placed = {}
    for i, level in enumerate(LEVELS):
        place = np.array([slip_mm if i < 5 else 0.0, aside_mm[i], -PITCH_MM * i])
        turn = np.radians([lateral_deg[i], flexion_deg[i], axial_deg[i]])
        placed[level] = cylinder(level, RigidTransform.from_euler(*turn, place))
    top = np.array([0.0, aside_mm[5], -PITCH_MM * 4 - HEIGHT_MM / 2 - DISC_MM])
    plate = RigidTransform.from_euler(0, np.radians(flexion_deg[5]), 0, top)
    placed["S1"] = mark_sacrum(plate.apply(PLATE_MM))
    if t12_mm is not None:
        placed["T12"] = mark_centre("T12", np.array(t12_mm))
    return placed


def test_lordosis_slope_and_distribution_are_those_of_the_turned_endplates():
    found = measure_spine(spine((-15, -8, 0, 8, 18, 40))).found
    assert found["L1-S1", "lordosis_l1_s1"] == pytest.approx(55, abs=0.01)
    assert found["L4-S1", "lordosis_l4_s1"] == pytest.approx(32, abs=0.01)
    assert found["L1-S1", "lordosis_distribution"] == pytest.approx(100 * 32 / 55, abs=0.02)
    assert found["S1", "sacral_slope"] == pytest.approx(40, abs=0.01)
    assert found["L5-S1", "disc_angle"] == pytest.approx(22, abs=0.01)
    assert found["L5-S1", "segmental_lordosis"] == pytest.approx(22, abs=0.01)
    assert found["L5-S1", "relative_flexion"] == pytest.approx(-22, abs=0.01)
    # A body whose endplates are parallel adds nothing: what lies between L1's and L5's planes and S1's is all there is.
    assert found["L1-L5", "lordosis_l1_l5"] + found["L5-S1", "disc_angle"] == pytest.approx(55, abs=0.02)


def test_the_disc_above_s1_and_the_slip_are_those_of_the_stack():
    found = measure_spine(spine(slip_mm=4.0)).found
    for name in ("anterior", "middle", "posterior"):
        assert found["L5-S1", f"{name}_disc_height"] == pytest.approx(DISC_MM, abs=1e-3)
    assert found["L5-S1", "sagittal_slip"] == pytest.approx(4, abs=5e-3)
    assert found["L5-S1", "sagittal_slip_percent"] == pytest.approx(400 / (2 * A_MM), rel=2e-3)


def test_t12_stands_beside_s1_as_far_as_it_was_put():
    found = measure_spine(spine(t12_mm=(7.0, -12.0, PITCH_MM))).found
    assert found["T12-S1", "t12_sagittal_offset"] == pytest.approx(7, abs=1e-6)
    assert found["T12-S1", "t12_coronal_offset"] == pytest.approx(-12, abs=1e-6)


@pytest.mark.parametrize("tilt_deg", [14.0, -6.0])
def test_pelvic_incidence_is_pelvic_tilt_and_sacral_slope_together(tilt_deg):
    """Hips 100 mm from S1's centre, from which the vertical leans by the tilt; how far they lie to the side is no matter."""
    tilt, top = np.radians(tilt_deg), np.array([0.0, 0.0, -PITCH_MM * 4 - HEIGHT_MM / 2 - DISC_MM])
    hips = top + np.array([100 * np.sin(tilt), 7.0, -100 * np.cos(tilt)])
    placed = {**spine((-15, -8, 0, 8, 18, 40)), HIPS: mark_hips(HipAxis(hips, ""))}
    found = measure_spine(placed).found
    assert found["S1", "pelvic_tilt"] == pytest.approx(tilt_deg, abs=0.01)
    assert found["S1", "pelvic_incidence"] == pytest.approx(tilt_deg + 40, abs=0.02)
    total = found["S1", "pelvic_tilt"] + found["S1", "sacral_slope"]
    assert found["S1", "pelvic_incidence"] == pytest.approx(total, abs=1e-9)


def test_leaning_the_pelvis_changes_tilt_and_slope_but_not_the_incidence():
    """Pelvic incidence is a shape: S1 and the hips turn together about the hips."""
    top = np.array([0.0, 0.0, -PITCH_MM * 4 - HEIGHT_MM / 2 - DISC_MM])
    hips = top + np.array([25.0, 0.0, -95.0])
    upright = {**spine((0, 0, 0, 0, 0, 35)), HIPS: mark_hips(HipAxis(hips, ""))}
    lean = RigidTransform.from_euler(0, np.radians(-12), 0, np.zeros(3))
    plate = RigidTransform.from_euler(0, np.radians(35), 0, top)
    leaning = {**upright, "S1": mark_sacrum(hips + lean.apply(plate.apply(PLATE_MM) - hips))}
    before, after = measure_spine(upright).found, measure_spine(leaning).found
    assert after["S1", "pelvic_incidence"] == pytest.approx(before["S1", "pelvic_incidence"], abs=1e-6)
    assert after["S1", "pelvic_tilt"] == pytest.approx(before["S1", "pelvic_tilt"] + 12, abs=1e-6)
    assert after["S1", "sacral_slope"] == pytest.approx(before["S1", "sacral_slope"] - 12, abs=1e-6)


def test_without_hips_the_reason_is_theirs_and_without_s1_it_is_s1s():
    marked = {**spine(), HIPS: mark_hips(HipAxis(reason="the femoral heads are off the film"))}
    assert measure_spine(marked).reasons["S1", "pelvic_tilt"] == "the femoral heads are off the film"
    del marked["S1"]
    assert measure_spine(marked).reasons["S1", "pelvic_incidence"] == "S1 is missing"


def test_turning_the_person_changes_none_of_these_values():
    upright = spine((-15, -8, 0, 8, 18, 40), t12_mm=(7.0, -12.0, PITCH_MM))
    before = measure_spine(upright).found
    turn = RigidTransform.from_euler(0, 0, 0.5, np.array([30.0, -20.0, 5.0]))
    plate = RigidTransform.from_euler(0, np.radians(40), 0, np.array([0, 0, -PITCH_MM * 4 - HEIGHT_MM / 2 - DISC_MM]))
    turned = {
        level: cylinder(
            level, turn @ RigidTransform.from_euler(0, np.radians(angle), 0, np.array([0, 0, -PITCH_MM * i]))
        )
        for i, (level, angle) in enumerate(zip(LEVELS, (-15, -8, 0, 8, 18), strict=True))
    }
    turned["S1"] = mark_sacrum((turn @ plate).apply(PLATE_MM))
    turned["T12"] = mark_centre("T12", turn.apply(np.array([7.0, -12.0, PITCH_MM])))
    after = measure_spine(turned).found
    keys = [key for key in before if "S1" in key[0]]
    assert len(keys) > 15
    assert np.array([after[key] for key in keys]) == pytest.approx(np.array([before[key] for key in keys]), abs=0.02)


def test_the_apex_is_the_vertebra_or_disc_that_stands_out():
    values = measure_spine(spine(aside_mm=(2, 8, 15, 9, 3, 0)))
    assert values.found["L1-S1", "apical_translation"] == pytest.approx(15, abs=1e-3)
    assert values.remarks["L1-S1", "apical_translation"] == "apex L3"
    mirrored = measure_spine(spine(aside_mm=(-2, -8, -12, -12, -3, 0)))
    assert mirrored.found["L1-S1", "apical_translation"] == pytest.approx(-12, abs=1e-3)


def test_the_rotation_of_a_curve_is_told_against_its_ends():
    lateral, axial = (14, 8, 0, -8, -14), (2, 5, 11, 6, 4)
    values = measure_spine(spine(lateral_deg=lateral, axial_deg=axial, aside_mm=(0, 6, 9, 6, 0, 0)))
    assert abs(values.found["L1-L5", "cobb"]) == pytest.approx(28, abs=0.3)
    assert values.remarks["L1-L5", "apical_rotation"] == "apex L3"
    rotation = {level: float(values.found[level, "axial_rotation"]) for level in LEVELS}
    expected = rotation["L3"] - (rotation["L1"] + rotation["L5"]) / 2
    assert values.found["L1-L5", "apical_rotation"] == pytest.approx(expected, abs=1e-9)
    assert values.found["L1-L5", "upper_end_rotation"] == values.found["L1-L2", "relative_axial_rotation"]
    assert values.found["L1-L5", "lower_end_rotation"] == values.found["L4-L5", "relative_axial_rotation"]


def test_without_a_curve_nothing_turns():
    reasons = measure_spine(spine()).reasons
    for name in ("upper_end_rotation", "apical_rotation", "lower_end_rotation"):
        assert "below 10 deg" in reasons["L1-L5", name]


def test_values_that_nobody_can_have_say_why():
    reasons = measure_spine(spine()).reasons
    assert "femoral heads" in reasons["S1", "pelvic_incidence"] and "femoral heads" in reasons["S1", "pelvic_tilt"]
    assert "T12" in reasons["T12-S1", "lordosis_t12_s1"] and "T10" in reasons["T10-L2", "thoracolumbar_angle"]


def test_a_flat_back_has_no_distribution():
    assert "no shares" in measure_spine(spine((0, 0, 0, 0, 0, 4))).reasons["L1-S1", "lordosis_distribution"]


@pytest.mark.parametrize("missing", ["L1", "L3", "L5", "S1", "T12"])
def test_nothing_is_measured_across_what_is_missing(missing):
    whole = spine((-15, -8, 0, 8, 18, 40), t12_mm=(7.0, -12.0, PITCH_MM))
    del whole[missing]
    values = measure_spine(whole, {"S1": "the lateral film cuts it off"})
    gone = {
        "L1": [
            "lordosis_l1_s1",
            "lordosis_distribution",
            "lordosis_apex_offset",
            "apical_translation",
            "t12_sagittal_offset",
        ],
        "L3": ["lordosis_apex_offset", "apical_translation"],
        "L5": ["lordosis_l1_s1", "lordosis_l4_s1", "sacral_slope", "t12_sagittal_offset", "lordosis_apex_offset"],
        "S1": ["lordosis_l1_s1", "lordosis_l4_s1", "sacral_slope", "t12_sagittal_offset", "lordosis_apex_offset"],
        "T12": ["t12_sagittal_offset", "t12_coronal_offset"],
    }[missing]
    reasons = {name: text for (_, name), text in values.reasons.items()}
    for name in gone:
        assert missing in reasons[name] or "cuts it off" in reasons[name]
    if missing == "S1":
        assert values.reasons["L5-S1", "disc_angle"] == "S1: the lateral film cuts it off"


def test_a_sixth_lumbar_vertebra_lies_between_l5_and_s1():
    six = {**spine((-15, -8, 0, 8, 18, 40)), "L6": mark_centre("L6", np.full(3, np.nan))}
    values = measure_spine(six)
    apex = ("L1-S1", "lordosis_apex_offset"), ("L1-S1", "apical_translation")
    for key in (("L5-S1", "disc_angle"), ("L1-S1", "lordosis_l1_s1"), ("L4-S1", "lordosis_l4_s1"), *apex):
        assert values.reasons[key] == "a sixth lumbar vertebra lies between L5 and S1"
    assert values.found["S1", "sacral_slope"] == pytest.approx(40, abs=0.01)


def test_the_rim_goes_through_the_four_edges_also_where_the_sides_are_high():
    points = PLATE_MM + np.array([0, 0, 1.0]) * np.array([0, -2.0, -2.5, 3.0, 2.0])[:, None] + 5.0
    rim = sacral_rim_mm(points)
    assert rim[[0, 60, 30, 90]] == pytest.approx(points[[1, 2, 3, 4]], abs=1e-9)
    flat = endplate(mark_sacrum(PLATE_MM), "superior")
    assert flat.area_mm2 == pytest.approx(np.pi * A_MM * B_MM, rel=2e-3)
    assert flat.depth_mm == pytest.approx(2 * A_MM) and flat.width_mm == pytest.approx(2 * B_MM, rel=1e-3)
