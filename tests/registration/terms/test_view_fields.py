"""Gain and background that are fitted along with the vertebrae."""

from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.registration.loss.linearisation import Lineariser
from lumbar_ext.registration.search.gauss_newton import GaussNewton, GaussNewtonStage, Varying
from lumbar_ext.registration.search.optimiser import start_parameters
from lumbar_ext.registration.terms.images import ImageTerm
from lumbar_ext.registration.terms.shape_prior import ShapePriorTerm
from lumbar_ext.registration.terms.similarity import Huber, SquaredError
from lumbar_ext.registration.terms.view_fields import FieldFitter, ViewFields

BOTH = ViewFields(gain_orders=(1, 2), background_orders=(2, 2), weight=1e-6)


@pytest.fixture
def picture():
    v, u = np.mgrid[:60, :50]
    return np.where((u - 25) ** 2 + (v - 30) ** 2 < 300, 0.5 + 0.2 * np.sin(u / 3), 0).astype(np.float32)


def test_a_known_gain_and_background_are_found(picture):
    v = np.clip((np.arange(60) - 13) / 34, 0, 1)[:, None]  # the box of the bones
    gain, background = 1.05 + 0.08 * np.cos(np.pi * v), 0.02 + 0 * picture
    target = (gain * picture + background).astype(np.float32)
    fitter = FieldFitter(BOTH, target, np.ones_like(target) / 1000, SquaredError(), 0.1)
    fitted = fitter.fit(picture)
    np.testing.assert_allclose(fitted.gain * picture + fitted.background, target, atol=1e-3)
    assert fitted.gain[20, 25] == pytest.approx(gain[20, 0], abs=0.01)


def test_outliers_do_not_move_the_fields(picture):
    target = 1.1 * picture
    target[30:34, 20:30] = 0
    fitted = FieldFitter(
        ViewFields(gain_orders=(1, 1), weight=1e-6), target, np.ones_like(target), Huber(0.01), 0.1
    ).fit(picture)
    assert fitted.gain[0, 0] == pytest.approx(1.1, abs=0.01)


def test_without_orders_nothing_is_adjusted(picture):
    fitted = FieldFitter(ViewFields(gain_orders=(0, 0)), 2 * picture, np.ones_like(picture), Huber(), 0.1).fit(picture)
    assert (fitted.gain == 1).all() and (fitted.background == 0).all() and fitted.penalty == 0


def test_loss_and_gradient_are_those_of_the_best_fields(full_problem):
    """The gradient of the eliminated problem against finite differences of the loss with fields fitted anew."""
    spoilt = {name: replace(view, image=0.9 * view.image + 0.01) for name, view in full_problem.targets.items()}
    problem = replace(full_problem, targets=spoilt).with_term(ImageTerm(SquaredError(), BOTH)).coarsened(2)
    parameters = start_parameters(problem)
    lineariser = Lineariser(problem)
    assert lineariser.model(parameters).loss == pytest.approx(lineariser.loss(parameters), rel=1e-5)
    gradient, steps = lineariser.model(parameters).gradient[2][:6], np.array([0.3] * 3 + [0.01] * 3)
    expected = []
    for axis in range(6):
        sides = [[p.copy() for p in parameters] for _ in range(2)]
        sides[0][2][axis] += steps[axis]
        sides[1][2][axis] -= steps[axis]
        expected.append((lineariser.loss(sides[0]) - lineariser.loss(sides[1])) / 2)
    cosine = (gradient * steps) @ expected / np.linalg.norm(gradient * steps) / np.linalg.norm(expected)
    assert cosine > 0.99


def test_they_take_up_what_would_bend_the_vertebrae(plain_problem, vertex_errors):
    """A 12 % too bright picture with a background that rises from top to bottom."""
    rise = np.linspace(0, 0.05, 512, dtype=np.float32)[:, None]
    spoilt = {name: replace(view, image=1.12 * view.image + rise) for name, view in plain_problem.targets.items()}
    problem = replace(plain_problem, targets=spoilt).with_term(ShapePriorTerm(1e-4))
    search = GaussNewton(
        (GaussNewtonStage(4, None, Varying.POSE, 8, 0.02), GaussNewtonStage(4, None, Varying.MODEL, 12, 0.01))
    )
    errors = [
        np.mean(list(vertex_errors(search.run(problem.with_term(ImageTerm(Huber(), fields)))).values()))
        for fields in (None, ViewFields(gain_orders=(1, 1), background_orders=(1, 3), weight=1e-5))
    ]
    assert errors[1] < 0.6 * errors[0] and errors[1] < 0.5


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="orders must not be negative"):
        ViewFields(gain_orders=(-1, 1))
