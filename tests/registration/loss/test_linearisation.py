from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.drr import drr_from_path_length
from lumbar_ext.geometry import SlotScan
from lumbar_ext.registration.loss.linearisation import Lineariser
from lumbar_ext.registration.search.optimiser import start_parameters
from lumbar_ext.registration.terms.images import ImageTerm
from lumbar_ext.registration.terms.landmark_term import LandmarkTerm
from lumbar_ext.registration.terms.similarity import Huber, SquaredError
from tests.registration.many_rays import mean_path_lengths

_STEPS = np.array([0.3] * 3 + [0.01] * 3 + [0.1] * 8)


def turned_parameters(problem):
    """Away from the identity, so that Euler angles and the moved frame matter."""
    rng = np.random.default_rng(0)
    return [p + rng.normal(0, 2, 14) * _STEPS for p in start_parameters(problem)]


def finite_differences(loss, parameters, index):
    slopes = []
    for k, step in enumerate(_STEPS):
        sides = [[p.copy() for p in parameters] for _ in range(2)]
        sides[0][index][k] += step
        sides[1][index][k] -= step
        slopes.append((loss(sides[0]) - loss(sides[1])) / (2 * step))
    return np.array(slopes)


@pytest.mark.parametrize("similarity", [SquaredError(), Huber(scale=0.1)])
def test_loss_is_that_of_the_scene(full_problem, similarity):
    problem = full_problem.with_term(ImageTerm(similarity)).averaged(2)
    parameters = turned_parameters(full_problem)
    lineariser = Lineariser(problem)
    expected = {}
    for name, target in problem.targets.items():
        world, triangles = lineariser.scene.at(parameters).world_mm, lineariser.scene.surfaces[0].triangles
        prediction = drr_from_path_length(mean_path_lengths(world, triangles, target.camera))
        penalties = target.weights * similarity.penalty(prediction - target.image)
        expected[name] = penalties.sum(dtype=np.float64) / target.bone_weight
    losses = lineariser.losses(parameters)
    assert losses.per_view == pytest.approx(expected, rel=2e-3)
    assert losses.images == pytest.approx(np.mean(list(losses.per_view.values())), rel=1e-5)
    assert lineariser.loss(parameters) == losses.total > losses.images
    assert lineariser.model(parameters).loss == pytest.approx(losses.total, rel=1e-5)


def scanned(problem):
    """The same images as if they were slot scans: what they should show does not matter to a derivative."""

    def slot(camera):
        grid = camera.detector_origin_mm, camera.u_axis, camera.v_axis, camera.pixel_spacing_mm, camera.size_px
        return SlotScan(camera.source_mm, *grid)

    targets = {name: replace(target, camera=slot(target.camera)) for name, target in problem.targets.items()}
    return replace(problem, targets=targets, landmark_cameras={})


@pytest.mark.parametrize("index, kind", [(0, "cone"), (3, "cone"), (3, "slot")])
def test_gradient_points_the_way_of_finite_differences(full_problem, index, kind):
    problem = full_problem.with_term(ImageTerm(SquaredError())).with_term(LandmarkTerm())
    problem = problem if kind == "cone" else scanned(problem)
    parameters = turned_parameters(problem)
    lineariser = Lineariser(problem)
    gradient = lineariser.model(parameters).gradient[index] * _STEPS
    expected = finite_differences(lineariser.loss, parameters, index) * _STEPS
    cosine = gradient @ expected / np.linalg.norm(gradient) / np.linalg.norm(expected)
    assert cosine > 0.999
    np.testing.assert_allclose(gradient, expected, atol=0.05 * np.abs(expected).max())


def test_gradient_of_landmarks_and_prior_is_exact(full_problem):
    blank = {name: replace(view, weights=np.zeros((512, 512))) for name, view in full_problem.targets.items()}
    problem = replace(full_problem, targets=blank).coarsened(8)
    parameters = turned_parameters(problem)
    lineariser = Lineariser(problem)
    gradient = lineariser.model(parameters).gradient[1]
    expected = finite_differences(lineariser.loss, parameters, 1)
    np.testing.assert_allclose(gradient, expected, rtol=0.05, atol=0.02 * np.abs(expected).max())


def test_hessian_is_symmetric_and_couples_only_vertebrae_that_share_pixels(plain_problem):
    parameters = start_parameters(plain_problem)
    model = Lineariser(plain_problem.coarsened(4)).model(parameters)
    hessian = model.hessian.reshape(70, 70)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-4, atol=1e-9)
    assert np.linalg.eigvalsh(hessian).min() > -1e-6
    assert np.abs(model.hessian[0, :, 1]).max() > 0 and (model.hessian[0, :, 4] == 0).all()


def test_a_vertebra_behind_the_source_has_an_infinite_loss(plain_problem):
    parameters = start_parameters(plain_problem)
    lineariser = Lineariser(plain_problem.coarsened(4))
    parameters[0][0] = 2000
    assert lineariser.loss(parameters) == np.inf
