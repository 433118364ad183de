"""Alignment and segments of cylinders stacked by known transforms, and spines with something missing."""

from itertools import pairwise

import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.measurements.values.definitions import DEFINITIONS, Scope
from lumbar_ext.measurements.values.spine_values import Mesh, mark_spine, measure_spine
from tests.measurements.solids import A_MM, HEIGHT_MM, body, mesh

DISC_MM = 9.0


def measured(meshes):
    marks, broken = mark_spine(meshes)
    spine = {level: own.place(meshes[level].vertices_mm, meshes[level].landmarks_mm) for level, own in marks.items()}
    return measure_spine(spine, broken)


def stacked(angles_rad=((0, 0, 0),) * 5, slip_mm=(0.0, 0.0), world=None):
    """Cylinders one above the other, each turned by (lateral, flexion, axial) about its own centre."""
    meshes = {}
    for i, level in enumerate(LEVELS):
        place = np.array([-slip_mm[0] * i, -slip_mm[1] * i, -(HEIGHT_MM + DISC_MM) * i])
        pose = RigidTransform.from_euler(*angles_rad[i], place)
        meshes[level] = mesh(body(), pose if world is None else world @ pose)
    return meshes


def test_a_straight_stack_is_straight_and_its_discs_are_as_high_as_made():
    values = measured(stacked()).found
    for name in ("lordosis_l1_l5", "lordosis_l1_l5_3d", "cobb"):
        assert values["L1-L5", name] == pytest.approx(0, abs=1e-3)
    for upper, lower in pairwise(LEVELS):
        segment = f"{upper}-{lower}"
        for name in ("anterior", "middle", "posterior"):
            assert values[segment, f"{name}_disc_height"] == pytest.approx(DISC_MM, abs=1e-3)
        for name in ("sagittal_slip", "lateral_slip", "disc_angle", "relative_flexion"):
            assert values[segment, name] == pytest.approx(0, abs=1e-3)


def test_lordosis_and_segment_angles_are_those_the_vertebrae_were_turned_by():
    flexion = np.radians([-12, -5, 1, 9, 20])
    values = measured(stacked([(0, angle, 0) for angle in flexion])).found
    assert values["L1-L5", "lordosis_l1_l5"] == pytest.approx(32, abs=0.01)
    assert values["L1-L5", "lordosis_l1_l5_3d"] == pytest.approx(32, abs=0.01)
    for (i, upper), (j, lower) in pairwise(enumerate(LEVELS)):
        turned = np.degrees(flexion[j] - flexion[i])
        assert values[f"{upper}-{lower}", "disc_angle"] == pytest.approx(turned, abs=0.01)
        assert values[f"{upper}-{lower}", "segmental_lordosis"] == pytest.approx(turned, abs=0.01)
        assert values[f"{upper}-{lower}", "relative_flexion"] == pytest.approx(-turned, abs=1e-6)
        assert values[upper, "sagittal_tilt"] == pytest.approx(np.degrees(flexion[i]), abs=1e-6)


def test_the_cobb_angle_is_that_of_the_most_tilted_pair_with_its_side():
    lateral = np.radians([3, 12, 2, -9, -4])
    values = measured(stacked([(angle, 0, 0) for angle in lateral]))
    # L2 lifts its left side, L4 its right: the curve between them is open to the left, convex to the right.
    assert abs(values.found["L1-L5", "cobb"]) == pytest.approx(21, abs=0.01)
    assert values.remarks["L1-L5", "cobb"].startswith("L2-L4")
    mirrored = measured(stacked([(-angle, 0, 0) for angle in lateral]))
    assert mirrored.found["L1-L5", "cobb"] == pytest.approx(-values.found["L1-L5", "cobb"], abs=1e-3)


def test_a_curve_whose_apex_lies_left_is_convex_to_the_left():
    meshes = stacked()
    bend = {"L1": 10, "L5": -10}
    for level, degrees in bend.items():
        # Above the apex the head of the vertebra leans back to the right, which lifts its left side.
        place = np.array([0.0, -8.0, -(HEIGHT_MM + DISC_MM) * LEVELS.index(level)])
        meshes[level] = mesh(body(), RigidTransform.from_euler(np.radians(degrees), 0, 0, place))
    values = measured(meshes)
    assert values.found["L1-L5", "cobb"] == pytest.approx(20, abs=0.01)
    assert "convex to the left" in values.remarks["L1-L5", "cobb"]


def test_axial_rotation_counts_turns_to_the_left():
    axial = np.radians([10, 5, 0, -5, -20])
    values = measured(stacked([(0, 0, angle) for angle in axial])).found
    for level, angle in zip(LEVELS, axial, strict=True):
        assert values[level, "axial_rotation"] == pytest.approx(np.degrees(angle), abs=1e-6)
    assert values["L4-L5", "relative_axial_rotation"] == pytest.approx(15, abs=1e-6)


def test_slips_are_those_of_the_stack():
    values = measured(stacked(slip_mm=(2.5, -1.5))).found
    for upper, lower in pairwise(LEVELS):
        assert values[f"{upper}-{lower}", "sagittal_slip"] == pytest.approx(2.5, abs=1e-3)
        assert values[f"{upper}-{lower}", "lateral_slip"] == pytest.approx(-1.5, abs=1e-3)
        assert values[f"{upper}-{lower}", "sagittal_slip_percent"] == pytest.approx(250 / (2 * A_MM), rel=1e-3)
        assert values[f"{upper}-{lower}", "middle_disc_height"] == pytest.approx(DISC_MM, abs=1e-3)


def test_turning_the_whole_person_changes_neither_lordosis_nor_cobb_nor_segments():
    rng = np.random.default_rng(0)
    angles = rng.uniform(-0.15, 0.15, (5, 3))
    upright = measured(stacked(angles)).found
    turned = measured(stacked(angles, world=RigidTransform.from_euler(0, 0, 0.4, np.array([50.0, 20.0, 9.0])))).found
    kept = [key for key in upright if key[1] not in ("axial_rotation", "sagittal_tilt", "coronal_tilt")]
    assert np.array([turned[key] for key in kept]) == pytest.approx(np.array([upright[key] for key in kept]), abs=0.02)
    assert turned["L3", "axial_rotation"] - upright["L3", "axial_rotation"] == pytest.approx(np.degrees(0.4), abs=0.2)


def test_without_a_vertebra_its_values_are_missing_with_the_reason():
    meshes = stacked()
    del meshes["L4"]
    values = measured(meshes)
    assert values.reasons["L4", "anterior_height"] == "L4 is missing"
    assert values.reasons["L3-L4", "disc_angle"] == values.reasons["L4-L5", "disc_angle"] == "L4 is missing"
    assert ("L1-L5", "lordosis_l1_l5") in values.found
    # The missing one may be an end vertebra of the curve.
    assert values.reasons["L1-L5", "cobb"] == "L4 is missing"
    assert values.found["L5", "posterior_height"] == pytest.approx(HEIGHT_MM, abs=1e-3)
    assert values.reasons["L5", "crush_ratio"] == "no neighbouring vertebra to compare with"


def test_without_the_first_vertebra_there_is_no_lordosis():
    meshes = stacked()
    del meshes["L1"]
    assert measured(meshes).reasons["L1-L5", "lordosis_l1_l5"] == "L1 is missing"


def test_nothing_at_all_gives_only_reasons():
    values = measure_spine({})
    assert not values.found
    assert len(values.reasons) == sum(len(d.subjects) for d in DEFINITIONS)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda m: Mesh(m.vertices_mm, m.triangles[50:], m.landmarks_mm), "holes"),
        (lambda m: Mesh(m.vertices_mm, m.triangles[:, ::-1], m.landmarks_mm), "counter-clockwise"),
        (lambda m: Mesh(m.vertices_mm * np.nan, m.triangles, m.landmarks_mm), "not finite"),
        (lambda m: Mesh(m.vertices_mm / 1000, m.triangles, m.landmarks_mm / 1000), "in mm"),
        (lambda m: Mesh(m.vertices_mm, m.triangles, m.landmarks_mm * np.nan), "landmarks_mm"),
        (lambda m: Mesh(m.vertices_mm, m.triangles, m.landmarks_mm * 0), "landmarks_mm"),
        (lambda m: Mesh(m.vertices_mm, np.vstack([m.triangles, m.triangles[:1]]), m.landmarks_mm), "more than two"),
    ],
)
def test_a_broken_mesh_is_left_out_with_the_reason(spoil, reason):
    meshes = stacked()
    meshes["L2"] = spoil(meshes["L2"])
    values = measured(meshes)
    assert reason in values.reasons["L2", "anterior_height"]
    assert reason in values.reasons["L1-L2", "disc_angle"]
    assert ("L3", "anterior_height") in values.found


def test_a_level_that_is_no_lumbar_one_is_refused():
    with pytest.raises(InputError, match="L6 is no lumbar level"):
        mark_spine({"L6": stacked()["L1"]})


def test_landmarks_off_the_mesh_leave_endplates_out_but_not_the_rest():
    meshes = stacked()
    lifted = meshes["L3"].landmarks_mm + np.array([0, 0, 20.0])
    meshes["L3"] = Mesh(meshes["L3"].vertices_mm, meshes["L3"].triangles, lifted)
    values = measured(meshes)
    assert "no rim" in values.reasons["L3", "anterior_height"]
    assert ("L3", "axial_rotation") in values.found


def test_definitions_are_unique_and_complete():
    ids = [definition.id for definition in DEFINITIONS]
    assert len(set(ids)) == len(ids)
    assert all(d.title and d.text and d.source and d.unit in ("mm", "mm2", "deg", "%", "1") for d in DEFINITIONS)
    assert {d.scope for d in DEFINITIONS} == set(Scope)
