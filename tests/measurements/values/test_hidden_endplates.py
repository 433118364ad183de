"""Endplates that cannot be seen give no values, and say why; all else is measured as if nothing were hidden."""

from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.measurements.uncertainty.registered import measure_registration
from lumbar_ext.measurements.values.hidden_endplates import (
    CLOSED_MM,
    closed_discs,
    covered_endplates,
    without_endplates,
)
from lumbar_ext.measurements.values.spine_values import measure_spine
from tests.measurements.registered_fixture import registration, shape
from tests.measurements.solids import HEIGHT_MM
from tests.measurements.values.test_sacral_alignment import cylinder


def stacked(gaps_mm=(9, 9, 9, 9), flexion_deg=(0,) * 5):
    tops = np.concatenate([[0], -np.cumsum(HEIGHT_MM + np.array(gaps_mm, float))])
    return {
        level: cylinder(level, RigidTransform.from_euler(0, np.radians(angle), 0, np.array([0, 0, top])))
        for level, top, angle in zip(LEVELS, tops, flexion_deg, strict=True)
    }


@pytest.mark.parametrize("gap_mm", [CLOSED_MM - 0.2, 1.0, -2.0])
def test_a_closed_disc_hides_both_its_endplates(gap_mm):
    assert set(closed_discs(stacked((9, gap_mm, 9, 9)))) == {("L2", "inferior"), ("L3", "superior")}


def test_a_disc_that_is_open_anywhere_hides_none():
    assert not closed_discs(stacked((9, CLOSED_MM + 0.2, 9, 9)))
    # 0.5 mm at the back and 10 mm in front.
    wedged = stacked((9, 5.2, 9, 9), (0, 0, 16, 16, 16))
    heights = measure_spine(wedged).found
    assert heights["L2-L3", "posterior_disc_height"] < 1 < CLOSED_MM < heights["L2-L3", "anterior_disc_height"]
    assert not closed_discs(wedged)


def test_what_needs_a_hidden_endplate_is_null_with_the_reason_and_nothing_else_changes():
    spine = stacked((9, 2, 9, 9), (-8, -3, 0, 6, 12))
    before, after = measure_spine(spine), measure_spine(without_endplates(spine, closed_discs(spine)))
    gone = before.found.keys() - after.found.keys()
    assert {after.reasons[key] for key in gone} == {
        "L2 and L3 are nowhere 5 mm apart: they are fused, or the endplates between them cannot be told apart"
    }
    needed = {"L2-L3", "L2", "L3"}
    assert needed <= {subject for subject, _ in gone}
    for name in ("anterior_disc_height", "middle_disc_height", "disc_angle", "sagittal_slip", "lateral_slip"):
        assert ("L2-L3", name) in gone
    for level, side in (("L2", "inferior"), ("L3", "superior")):
        assert {(level, f"{side}_endplate_width"), (level, "anterior_height"), (level, "sagittal_tilt")} <= gone
    # The hidden endplates might be an end of the curve.
    assert ("L1-L5", "cobb") in gone
    for key in (
        ("L1-L5", "lordosis_l1_l5"),
        ("L1", "anterior_height"),
        ("L4-L5", "disc_angle"),
        ("L2", "axial_rotation"),
    ):
        assert after.found[key] == before.found[key]
    for key in after.found:
        assert after.found[key] == before.found[key]


def test_endplates_that_a_user_calls_hidden_give_no_values():
    hidden = covered_endplates(["L4 inferior", "S1 superior"])
    assert hidden == {
        ("L4", "inferior"): "the inferior endplate of L4 was said to be hidden",
        ("S1", "superior"): "the superior endplate of S1 was said to be hidden",
    }
    result = registration([0.5] * 6 + [0.3] * 2)
    measured = measure_registration(result, shape().surface.triangles, hidden=hidden)
    reason = hidden["L4", "inferior"]
    for key in (("L4", "posterior_height"), ("L4-L5", "disc_angle"), ("L4", "coronal_tilt"), ("L1-L5", "cobb")):
        assert measured.values.reasons[key] == reason and key not in measured.laplace_sd
    for key in (("L5", "posterior_height"), ("L3-L4", "disc_angle"), ("L1-L5", "lordosis_l1_l5")):
        assert key in measured.values.found and key in measured.laplace_sd


@pytest.mark.parametrize("name", ["L4", "inferior L4", "L6 superior", "S1 inferior", ""])
def test_what_is_no_endplate_is_refused(name):
    with pytest.raises(InputError, match=r"hidden_endplates: .* expected a level and a side"):
        covered_endplates([name])


def test_a_registration_with_fused_vertebrae_has_no_disc_between_them():
    result = registration([0.5] * 6 + [0.3] * 2)
    lifted = {}
    for level in LEVELS[2:]:
        fit, up = result.vertebrae[level], RigidTransform(np.eye(3), np.array([0, 0, 6.0]))
        world = up @ fit.world_from_vertebra
        lifted[level] = replace(fit, world_from_vertebra=world, vertices_mm=up.apply(fit.vertices_mm))
    result = replace(result, vertebrae={**result.vertebrae, **lifted})
    measured = measure_registration(result, shape().surface.triangles)
    assert "they are fused" in measured.values.reasons["L2-L3", "middle_disc_height"]
    assert ("L3-L4", "middle_disc_height") in measured.values.found
    assert ("L3-L4", "middle_disc_height") in measured.laplace_sd
    assert not {key for key in measured.laplace_sd if key[0] == "L2-L3"} - set(measured.values.found)
