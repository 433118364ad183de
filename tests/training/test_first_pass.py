from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.material_points import MaterialPoints
from lumbar_ext.shape.model.level_shape import LevelShape, SurfaceModes
from lumbar_ext.training.first_pass import (
    FirstPassErrors,
    a_level_off,
    first_pass,
    misshapen,
    model_fit,
    moved,
    true_vertebra,
)

NO_ERRORS = FirstPassErrors(
    common_mm=0,
    shift_mm=0,
    turn_deg=0,
    size=0,
    bump_mm=0,
    magnitudes=(1.0,),
    model_share=0,
    missing=0,
    astray=0,
    displaced=0,
    level_off=0,
)
N_VERTICES = 300


@pytest.fixture(scope="module")
def shapes():
    """Five clouds of points that two modes stretch; triangles do not matter here."""
    rng = np.random.default_rng(0)
    mean = (rng.normal(size=(N_VERTICES, 3)) * [15, 20, 12]).astype(np.float32)
    modes = np.stack([0.05 * mean * [1, 0, 0], 0.05 * mean * [0, 0, 1]]).astype(np.float32)
    marks = MaterialPoints(np.zeros((7, 1), int), np.ones((7, 1)))
    surface = SurfaceModes(mean, modes.reshape(2, -1), np.zeros((1, 3), np.int32))
    return tuple(LevelShape(surface, marks) for _ in LEVELS)


@pytest.fixture(scope="module")
def truth(shapes):
    rng = np.random.default_rng(1)
    made = {}
    for i, (level, shape) in enumerate(zip(LEVELS, shapes, strict=True)):
        pose = RigidTransform.from_euler(0.1, 0.2 * (i - 2), 0.0, np.array([0.0, 0.0, 70.0 - 35.0 * i]))
        made[level] = true_vertebra(pose.apply(shape.surface.instance(rng.normal(0, 0.5, 2))), shape)
    return made


def distances(a, b):
    return np.linalg.norm(a - b, axis=1)


def test_without_errors_a_first_pass_is_the_truth(truth, shapes):
    found = first_pass(truth, shapes, NO_ERRORS, np.random.default_rng(0))
    assert list(found) == list(LEVELS)
    for level, vertices in found.items():
        np.testing.assert_allclose(vertices, truth[level].vertices_mm, atol=1e-4)


def test_pose_and_coefficients_of_a_true_vertebra_give_it_back(truth, shapes):
    for level, own in truth.items():
        shape = shapes[LEVELS.index(level)]
        rebuilt = own.world_from_vertebra.apply(shape.surface.instance(own.coefficients))
        assert distances(rebuilt, own.vertices_mm).mean() < 0.15


def test_a_model_fit_differs_more_the_less_accurate_it_is(truth, shapes):
    errors = [
        np.mean(
            [
                distances(model_fit(truth["L3"], shapes[2], sd, np.random.default_rng(k)), truth["L3"].vertices_mm)
                for k in range(20)
            ]
        )
        for sd in (0.0, 0.5, 1.0)
    ]
    assert errors[0] < errors[1] < errors[2]


def test_a_moved_vertebra_keeps_its_shape(truth):
    before = truth["L2"].vertices_mm
    after = moved(before, np.array([1.0, 2.0, 3.0]), 5.0, np.random.default_rng(0))
    np.testing.assert_allclose(after.mean(0) - before.mean(0), [1, 2, 3], atol=1e-3)
    np.testing.assert_allclose(distances(after[:-1], after[1:]), distances(before[:-1], before[1:]), atol=1e-3)
    assert distances(after, before + np.array([1, 2, 3])).max() > 0.5


@pytest.mark.parametrize(("field", "value"), [("shift_mm", 1.5), ("common_mm", 1.5)])
def test_shifts_have_the_stated_spread(truth, shapes, field, value):
    rng, errors = np.random.default_rng(0), replace(NO_ERRORS, **{field: value})
    shifts = []
    for _ in range(150):
        found = first_pass(truth, shapes, errors, rng)
        shifts.append([found[level].mean(0) - truth[level].vertices_mm.mean(0) for level in LEVELS])
    shifts = np.array(shifts)
    assert shifts[:, 0].std() == pytest.approx(value, rel=0.15)
    together = np.abs(np.ptp(shifts, axis=1)).max()
    assert (together < 1e-3) == (field == "common_mm")


def test_bumps_are_smooth_and_as_high_as_stated():
    """Neighbouring points move alike, distant ones do not; the spread grows with the stated height."""
    grid = np.stack(np.meshgrid(*[np.linspace(-40, 40, 9)] * 3), -1).reshape(-1, 3).astype(np.float32)
    rng, displaced = np.random.default_rng(0), []
    errors = replace(NO_ERRORS, bump_mm=1.0)
    for _ in range(100):
        displaced.append(misshapen(grid, errors, 1.0, rng) - grid)
    displaced = np.array(displaced)[..., 0]
    middle, beside, corner = (
        np.flatnonzero((grid == point).all(1))[0] for point in ([0, 0, 0], [10, 0, 0], [-40, -40, -40])
    )
    near = np.corrcoef(displaced[:, middle], displaced[:, beside])[0, 1]
    far = np.corrcoef(displaced[:, middle], displaced[:, corner])[0, 1]
    assert near > 0.7 and abs(far) < 0.4
    double = misshapen(grid, replace(errors, bump_mm=2.0), 1.0, np.random.default_rng(3)) - grid
    single = misshapen(grid, errors, 1.0, np.random.default_rng(3)) - grid
    np.testing.assert_allclose(double, 2 * single, atol=1e-4)


@pytest.mark.parametrize("up", [True, False])
def test_a_level_off_is_the_neighbours_place(truth, up):
    vertices = {level: own.vertices_mm for level, own in truth.items()}
    shifted = a_level_off(vertices, up=up)
    assert list(shifted) == list(LEVELS)
    for level, neighbour in zip(LEVELS[1:], LEVELS[:-1], strict=True):
        if up:
            np.testing.assert_array_equal(shifted[level], vertices[neighbour])
        else:
            np.testing.assert_array_equal(shifted[neighbour], vertices[level])
    end = "L1" if up else "L5"
    step = shifted[end].mean(0) - vertices[end].mean(0)
    assert 20 < abs(step[2]) < 50 and (step[2] > 0) == up


def test_chances_are_those_stated(truth, shapes):
    rng = np.random.default_rng(0)
    lost = [5 - len(first_pass(truth, shapes, replace(NO_ERRORS, missing=0.3), rng)) for _ in range(300)]
    assert set(lost) == {0, 1} and np.mean(lost) == pytest.approx(0.3, abs=0.07)
    far = []
    for _ in range(100):
        found = first_pass(truth, shapes, replace(NO_ERRORS, astray=1.0, far_mm=10.0), rng)
        far.append(sum(distances(found[level], truth[level].vertices_mm).mean() > 0.1 for level in LEVELS))
    assert set(far) == {1}


def test_the_same_seed_gives_the_same_first_pass(truth, shapes):
    first, second = (first_pass(truth, shapes, FirstPassErrors(), np.random.default_rng(7)) for _ in range(2))
    assert first.keys() == second.keys()
    for level in first:
        np.testing.assert_array_equal(first[level], second[level])
