from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.registration.loss.linearisation import Lineariser
from lumbar_ext.registration.search.optimiser import start_parameters
from lumbar_ext.registration.terms.shape_prior import ShapePriorTerm


def truth_parameters(problem, truth):
    """The parameters that put every vertebra where it is."""
    parameters = []
    for start, pose, b in zip(problem.vertebrae, truth.poses, truth.coefficients, strict=True):
        offset = start.world_from_vertebra.inverse() @ pose
        parameters.append(np.concatenate([offset.translation_mm, offset.euler_rad(), b]))
    return parameters


def test_the_truth_has_no_loss(plain_problem, truth):
    """None where pictures are its own; of many rays a pixel what is left is the sixteen rays' own error."""
    parameters = truth_parameters(plain_problem, truth)
    seen = Lineariser(plain_problem).pictures(parameters)
    own = {name: replace(target, image=seen[name]) for name, target in plain_problem.targets.items()}
    assert Lineariser(replace(plain_problem, targets=own)).loss(parameters) < 1e-6
    assert Lineariser(plain_problem).loss(parameters) < 5e-4


def test_loss_by_hand(plain_problem):
    rng = np.random.default_rng(0)
    views = {
        name: replace(view, weights=rng.uniform(1, 3, (512, 512)).astype(np.float32))
        for name, view in plain_problem.targets.items()
    }
    problem = replace(plain_problem, targets=views).with_term(ShapePriorTerm(0.1))
    parameters = start_parameters(problem)
    parameters[2][6:] = 0.5
    lineariser, by_hand = Lineariser(problem), []
    for name, prediction in lineariser.pictures(parameters).items():
        view = views[name]
        bone = view.weights[view.image > 0.02].sum()
        by_hand.append((view.weights * np.abs(prediction - view.image)).sum() / bone)
    loss = lineariser.losses(parameters)
    assert list(loss.per_view.values()) == pytest.approx(by_hand, rel=1e-4)
    assert loss.total == pytest.approx(np.mean(by_hand) + 0.1 * 8 * 0.25 / 5, rel=1e-4)


def test_silhouette_error_tells_which_vertebra_is_wrong(plain_problem, truth):
    """Silhouettes are seen along single rays, so the pictures are, too."""
    parameters = truth_parameters(plain_problem, truth)
    seen = plain_problem.scene().predictions(parameters)
    targets = {name: replace(target, image=seen[name]) for name, target in plain_problem.targets.items()}
    parameters[3][1] += 5
    errors = [error["ap"] for error in replace(plain_problem, targets=targets).scene().silhouette_errors(parameters)]
    assert np.argmax(errors) == 3 and errors[0] < 1e-4
