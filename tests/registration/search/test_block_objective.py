import numpy as np
import pytest

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.registration.loss.kernels import pinhole_from_vertebra
from lumbar_ext.registration.loss.linearisation import Lineariser
from lumbar_ext.registration.loss.pinhole import world_pinhole
from lumbar_ext.registration.search.block_objective import BlockObjective
from lumbar_ext.registration.search.optimiser import start_parameters
from lumbar_ext.registration.terms.images import ImageTerm
from lumbar_ext.registration.terms.similarity import AbsoluteError, Huber, SquaredError


def sampled_loss(losses, parameters, similarity):
    """The loss of single rays, which is what BOBYQA minimises."""
    scene, images = losses.scene, 0.0
    for name, prediction in scene.predictions(parameters).items():
        target = scene.targets[name]
        penalties = target.weights * similarity.penalty(prediction - target.image)
        images += penalties.sum(dtype=np.float64) / scene.normalisers[name] / len(scene.views)
    return images + losses.rest(parameters, losses.problem.regularisation(images))


@pytest.mark.parametrize("similarity", [AbsoluteError(), SquaredError(), Huber()])
def test_agrees_with_the_whole_scene(full_problem, similarity):
    problem = full_problem.with_term(ImageTerm(similarity)).coarsened(2)
    losses = Lineariser(problem)
    parameters = start_parameters(problem)
    lengths = [losses.scene.path_lengths(i, p) for i, p in enumerate(parameters)]
    objective = BlockObjective(losses, 2, parameters, lengths)
    rng = np.random.default_rng(0)
    for _ in range(3):
        moved = rng.normal(0, 0.3, 14) * [5, 5, 5, 0.1, 0.1, 0.1, *[1] * 8]
        expected = sampled_loss(losses, [moved if i == 2 else p for i, p in enumerate(parameters)], similarity)
        assert objective(moved) == pytest.approx(expected, rel=1e-5)


def test_coefficients_left_out_keep_their_values(plain_problem):
    losses = Lineariser(plain_problem.coarsened(4))
    parameters = start_parameters(plain_problem)
    parameters[0][6:] = 1.0
    lengths = [losses.scene.path_lengths(i, p) for i, p in enumerate(parameters)]
    objective = BlockObjective(losses, 0, parameters, lengths)
    assert objective(parameters[0][:6]) == objective(parameters[0])


def test_moving_the_camera_is_moving_the_vertebra(geometry):
    rng = np.random.default_rng(0)
    start = RigidTransform.from_euler(*rng.uniform(-1, 1, 3), rng.uniform(-50, 50, 3))
    pose = np.concatenate([rng.uniform(-10, 10, 3), rng.uniform(-0.5, 0.5, 3)])
    moved = np.empty(17)
    pinhole_from_vertebra(world_pinhole(geometry.lat), start.rotation, start.translation_mm, pose, moved)
    point = rng.uniform(-30, 30, 3)
    relative = point - moved[:3]
    uv = np.array([relative @ moved[3:6], relative @ moved[6:9]]) / (relative @ moved[9:12]) + moved[12:14]
    world = (start @ RigidTransform.from_pose(pose)).apply(point)
    np.testing.assert_allclose(uv, geometry.lat.project(world), atol=1e-9)


def test_a_vertebra_behind_the_source_has_no_loss(plain_problem):
    losses = Lineariser(plain_problem.coarsened(4))
    parameters = start_parameters(plain_problem)
    lengths = [losses.scene.path_lengths(i, p) for i, p in enumerate(parameters)]
    objective = BlockObjective(losses, 0, parameters, lengths)
    assert np.isnan(objective(np.array([2000.0, 0, 0, 0, 0, 0])))
