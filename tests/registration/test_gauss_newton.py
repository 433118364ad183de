from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.registration.gauss_newton import GaussNewton, GaussNewtonStage
from lumbar_ext.registration.problem import Bounds
from lumbar_ext.registration.result import StopReason
from lumbar_ext.registration.similarity import Huber, SquaredError

QUICK = GaussNewton((GaussNewtonStage(4, None, 0, 6, 0.05), GaussNewtonStage(4, None, None, 6, 0.05)))


def test_recovers_a_spine_of_the_model_almost_exactly(plain_problem, vertex_errors):
    result = GaussNewton().run(replace(plain_problem, similarity=SquaredError()))
    assert max(vertex_errors(result).values()) < 0.05
    assert result.loss < 1e-4 * result.initial_loss


def test_robust_penalty_ignores_a_bright_foreign_body(plain_problem, vertex_errors):
    views = dict(plain_problem.views)
    image = views["ap"].image.copy()
    image[240:250, 250:258] = 1.0
    views["ap"] = replace(views["ap"], image=image)
    errors = [
        max(vertex_errors(GaussNewton().run(replace(plain_problem, views=views, similarity=s))).values())
        for s in (Huber(scale=0.01), SquaredError())
    ]
    assert errors[0] < 0.1 and errors[0] < 0.5 * errors[1]


def test_answers_stay_inside_narrow_bounds(plain_problem):
    bounds = Bounds(translation_mm=1.0, tilt_deg=1.0, axial_deg=1.0, shape_sd=0.3)
    result = QUICK.run(replace(plain_problem, bounds=bounds))
    for fit in result.vertebrae.values():
        assert (np.abs(np.concatenate([fit.pose, fit.coefficients])) <= bounds.limits(8)).all()
    assert result.loss < result.initial_loss


def test_same_problem_gives_the_same_answer(plain_problem):
    first, second = QUICK.run(plain_problem), QUICK.run(plain_problem)
    np.testing.assert_array_equal(first.vertebrae["L2"].pose, second.vertebrae["L2"].pose)


def test_time_limit_keeps_what_was_found(plain_problem):
    result = GaussNewton().run(plain_problem, max_seconds=0.05)
    assert result.stop_reason is StopReason.TIME and result.seconds < 0.5
    assert result.loss <= result.initial_loss


def test_a_start_that_is_not_finite_is_refused(plain_problem):
    starts = [replace(s, coefficients=np.full(8, np.nan)) for s in plain_problem.vertebrae]
    with pytest.raises(ValueError, match="not finite"):
        QUICK.run(replace(plain_problem, vertebrae=tuple(starts)))
