from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.drr import drr_from_path_length
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


def test_a_neighbours_error_in_another_group_does_not_pull(plain_problem):
    """Odd and even levels apart: what the picture of L2 and L4 shows is nothing to L3; in one picture of all it is."""
    groups = (LEVELS[::2], LEVELS[1::2])
    lengths_of = Lineariser(plain_problem).scene.path_lengths
    start = start_parameters(plain_problem)

    def problem(wrong_mm, apart):
        """The vertebrae stand where they are wanted, but the pictures show L4 shifted towards L3."""
        wanted = [p + wrong_mm * (np.arange(len(p)) == 2) * (i == 3) for i, p in enumerate(start)]
        targets = {}
        for view, whole in plain_problem.targets.items():
            length = [lengths_of(i, p)[view] for i, p in enumerate(wanted)]
            for own in groups if apart else (LEVELS,):
                image = drr_from_path_length(sum(length[LEVELS.index(level)] for level in own))
                targets[f"{view} {'+'.join(own)}"] = replace(whole, image=image, levels=own, view=view)
        return replace(plain_problem, targets=targets)

    def costs(wrong_mm, apart):
        """What it costs L3 to leave its place along its own third axis, towards L4 and away from it."""
        losses = Lineariser(problem(wrong_mm, apart).coarsened(2))
        objective = BlockObjective(losses, 2, start, [losses.scene.path_lengths(i, p) for i, p in enumerate(start)])
        along = np.arange(len(start[2])) == 2
        return np.array([objective(start[2] + mm * along) for mm in (-2, -1, 1, 2)]) - objective(start[2])

    for apart in (True, False):
        assert (costs(0, apart) > 0).all()
    np.testing.assert_allclose(costs(8, apart=True), costs(0, apart=True), rtol=1e-4)
    pulled = costs(8, apart=False) / costs(0, apart=False)
    assert pulled[:2].max() < 0.95 and pulled[2:].min() > 0.95, pulled
