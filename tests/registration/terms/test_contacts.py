from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.registration.loss.linearisation import Lineariser
from lumbar_ext.registration.search.bobyqa import BobyqaBlocks
from lumbar_ext.registration.search.gauss_newton import GaussNewton, GaussNewtonStage, Varying
from lumbar_ext.registration.search.optimiser import start_parameters
from lumbar_ext.registration.terms.contacts import contacts
from lumbar_ext.registration.terms.non_intersection import NonIntersection


@pytest.fixture
def colliding_problem(plain_problem):
    """Blank views, so that contacts alone count; L2 is raised into L1."""
    blank = {name: replace(view, weights=np.zeros((512, 512))) for name, view in plain_problem.targets.items()}
    starts = list(plain_problem.vertebrae)
    starts[1] = replace(starts[1], pose=np.array([0, 0, 6.5, 0, 0, 0]))
    problem = replace(plain_problem, targets=blank, vertebrae=tuple(starts))
    return problem.with_term(NonIntersection(weight=1.0)).coarsened(8)


def winding_numbers(points, corners):
    """Of a closed mesh [M, 3, 3] around points, from solid angles (van Oosterom and Strackee 1983)."""
    a, b, c = (corners[None, :, i] - points[:, None] for i in range(3))
    la, lb, lc = (np.linalg.norm(x, axis=-1) for x in (a, b, c))
    volume = (a * np.cross(b, c)).sum(-1)
    base = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    return np.arctan2(volume, base).sum(1) / (2 * np.pi)


def contacts_at(scene, parameters):
    return contacts(
        [surface.triangles for surface in scene.surfaces], scene.at(parameters).world_mm, NonIntersection().reach_mm
    )


def test_vertices_inside_a_neighbour_are_those_it_winds_around(colliding_problem):
    scene, parameters = colliding_problem.scene(), start_parameters(colliding_problem)
    world, triangles = [v.astype(float) for v in scene.at(parameters).world_mm], scene.surfaces[0].triangles
    found = {(c.intruder, c.host): c for c in contacts_at(scene, parameters)}
    assert len(found[0, 1].vertices) > 20 and found[0, 1].depth_mm.max() > 1
    some = np.arange(0, len(world[0]), 8)
    for intruder, host in ((0, 1), (1, 0)):
        inside = set(some[winding_numbers(world[intruder][some], world[host][triangles]) > 0.5])
        # Near the surface a tangent plane at a vertex and the triangles beside it part company.
        assert len(inside ^ (set(found[intruder, host].vertices) & set(some))) <= 0.05 * len(inside)
    assert sum(len(c.vertices) for pair, c in found.items() if 4 in pair) == 0


def test_a_result_counts_what_lies_inside_and_what_lies_deep(colliding_problem):
    """The ends of a search that takes no step are its starts."""
    fits = list(BobyqaBlocks(stages=()).run(colliding_problem).vertebrae.values())
    found = contacts_at(colliding_problem.scene(), start_parameters(colliding_problem))
    for i, fit in enumerate(fits):
        depths = np.concatenate([[0.0], *(c.depth_mm for c in found if c.intruder == i)])
        assert (fit.vertices_inside, fit.vertices_deep) == ((depths > 0).sum(), (depths > 0.5).sum())
        assert fit.deepest_mm == depths.max()
        assert bool(fit.contact_doubts) == (fit.deepest_mm > 0.5)
    assert 0 < fits[0].vertices_deep < fits[0].vertices_inside and not fits[3].contact_doubts
    assert f"{fits[0].vertices_deep} of its vertices lie deeper than 0.5 mm" in fits[0].contact_doubts[0]


def test_a_mesh_that_crosses_itself_is_doubted(colliding_problem):
    fit = BobyqaBlocks(stages=()).run(colliding_problem).vertebrae["L4"]
    assert fit.crossing_triangles == 0 and fit.contact_doubts == ()
    pierced = fit.vertices_mm.copy()
    pierced[[0, -1]] = pierced[[-1, 0]]
    (doubt,) = replace(fit, vertices_mm=pierced).contact_doubts
    assert "triangles of its mesh cross others of it" in doubt


def test_derivative_is_that_of_finite_differences(colliding_problem):
    parameters = start_parameters(colliding_problem)
    parameters[1][3:] = np.random.default_rng(0).normal(0, 1, 11) * ([0.03] * 3 + [0.3] * 8)
    lineariser = Lineariser(colliding_problem)
    steps = np.array([0.02] * 3 + [0.001] * 3 + [0.01] * 8)
    for index in (0, 1):
        slopes = []
        for k, step in enumerate(steps):
            sides = [[p.copy() for p in parameters] for _ in range(2)]
            sides[0][index][k] += step
            sides[1][index][k] -= step
            slopes.append(lineariser.loss(sides[0]) - lineariser.loss(sides[1]))
        expected, gradient = np.array(slopes) / 2, lineariser.model(parameters).gradient[index] * steps
        np.testing.assert_allclose(gradient, expected, atol=0.02 * np.abs(expected).max())


def test_gauss_newton_drives_neighbours_apart(colliding_problem):
    scene, start = colliding_problem.scene(), start_parameters(colliding_problem)
    optimiser = GaussNewton(stages=(GaussNewtonStage(1, None, Varying.ALL, 30, 1e-4),), restart_after=0)
    result = optimiser.run(colliding_problem)
    end = [np.concatenate([fit.pose, fit.coefficients, fit.free_form]) for fit in result.vertebrae.values()]
    before, after = (sum(c.depth_mm.sum() for c in contacts_at(scene, p)) for p in (start, end))
    assert after < 0.02 * before


def test_nothing_is_added_where_vertebrae_keep_apart(plain_problem, truth):
    parameters = [np.concatenate([np.zeros(6), b]) for b in truth.coefficients]
    starts = [
        replace(start, world_from_vertebra=pose)
        for start, pose in zip(plain_problem.vertebrae, truth.poses, strict=True)
    ]
    apart = replace(plain_problem, vertebrae=tuple(starts))
    assert NonIntersection().prepared(apart.scene()).value(apart.scene().at(parameters)) == 0


def test_numbers_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="must be positive"):
        NonIntersection(weight=0)
