from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.registration.free_form import FreeForm
from lumbar_ext.registration.loss.linearisation import Lineariser
from lumbar_ext.registration.parameters import Bounds
from lumbar_ext.registration.result import StopReason
from lumbar_ext.registration.search.gauss_newton import DEFAULT_STAGES, GaussNewton, GaussNewtonStage, Varying
from lumbar_ext.registration.terms.images import ImageTerm
from lumbar_ext.registration.terms.shape_prior import ShapePriorTerm
from lumbar_ext.registration.terms.similarity import Huber, SquaredError
from lumbar_ext.registration.terms.view_fields import ViewFields

QUICK = GaussNewton(
    (GaussNewtonStage(4, None, Varying.POSE, 6, 0.05), GaussNewtonStage(4, None, Varying.MODEL, 6, 0.05))
)
EXACT = GaussNewton((*DEFAULT_STAGES[:2], GaussNewtonStage(1, None, Varying.MODEL, 30, 1e-3, reuse=6)))


def test_recovers_a_spine_of_the_model_almost_exactly(plain_problem, vertex_errors):
    result = EXACT.run(plain_problem.with_term(ImageTerm(SquaredError())))
    assert max(vertex_errors(result).values()) < 0.02
    assert result.loss < 1e-4 * result.initial_loss


def test_default_stages_recover_it_well_and_say_so(plain_problem, vertex_errors):
    result = GaussNewton().run(plain_problem.with_term(ImageTerm(Huber())))
    assert max(vertex_errors(result).values()) < 0.3
    assert result.stop_reason is StopReason.CONVERGED
    losses = [entry.loss for entry in result.history]
    assert losses[-1] < 0.05 * losses[0]


def test_robust_penalty_ignores_a_bright_foreign_body(plain_problem, vertex_errors):
    views = dict(plain_problem.targets)
    image = views["ap"].image.copy()
    image[240:250, 250:258] = 1.0
    views["ap"] = replace(views["ap"], image=image)
    problems = [
        replace(plain_problem, targets=views).with_term(ImageTerm(s)) for s in (Huber(scale=0.01), SquaredError())
    ]
    robust, squared = (max(vertex_errors(EXACT.run(problem)).values()) for problem in problems)
    assert robust < 0.05 and robust < 0.5 * squared


def test_free_form_modes_reach_shapes_outside_the_model(shapes, geometry, truth, plain_problem, vertex_errors):
    model = tuple(s.surface.truncated(1) for s in shapes)  # too poor a model
    poor = tuple(replace(shape, surface=surface) for shape, surface in zip(shapes, model, strict=True))
    errors = []
    for own in (poor, FreeForm(n_fields=30, length_mm=12.0, sd_mm=2.0).extend(poor)):
        starts = [
            replace(v, shape=s, coefficients=np.zeros(1)) for v, s in zip(plain_problem.vertebrae, own, strict=True)
        ]
        problem = replace(plain_problem, vertebrae=tuple(starts), terms=(ImageTerm(Huber()), ShapePriorTerm(1e-5)))
        errors.append(np.mean(list(vertex_errors(GaussNewton().run(problem)).values())))
    assert errors[1] < 0.85 * errors[0]


def test_answers_stay_inside_narrow_bounds(plain_problem):
    bounds = Bounds(translation_mm=1.0, tilt_deg=1.0, axial_deg=1.0, shape_sd=0.3)
    result = QUICK.run(replace(plain_problem, bounds=bounds))
    for fit in result.vertebrae.values():
        assert (np.abs(np.concatenate([fit.pose, fit.coefficients])) <= bounds.limits(8)).all()
    assert result.loss < result.initial_loss


def test_same_problem_gives_the_same_answer(plain_problem):
    first, second = QUICK.run(plain_problem), QUICK.run(plain_problem)
    np.testing.assert_array_equal(first.vertebrae["L2"].pose, second.vertebrae["L2"].pose)


def test_the_number_of_threads_does_not_matter(plain_problem):
    problem = replace(plain_problem, terms=(ImageTerm(view_fields=ViewFields()), ShapePriorTerm(1e-3)))
    one, two = (replace(QUICK, threads=threads).run(problem) for threads in (1, 2))
    for level, fit in one.vertebrae.items():
        assert np.abs(fit.vertices_mm - two.vertebrae[level].vertices_mm).max() < 0.01
    with pytest.raises(ValueError, match="threads must be at least 1"):
        replace(QUICK, threads=0).run(plain_problem)


def test_a_vertebra_that_went_astray_is_tried_again_and_told(plain_problem, vertex_errors):
    """L3 starts far off; without another chance it stays where it is, and says so."""
    far = plain_problem.vertebrae[2].world_from_vertebra @ RigidTransform.from_euler(
        *np.radians([0, 14, 24]), np.array([3.0, 3, 6])
    )
    starts = [replace(v, world_from_vertebra=far) if i == 2 else v for i, v in enumerate(plain_problem.vertebrae)]
    problem = replace(plain_problem, vertebrae=tuple(starts)).with_term(ShapePriorTerm(1e-4))
    lost = replace(QUICK, restart_after=0).run(problem)
    found = QUICK.run(problem)
    assert found.loss <= lost.loss
    if vertex_errors(lost)["L3"] > 2:
        assert any(text.startswith("L3: fits") for text in lost.warnings)
    assert vertex_errors(found)["L3"] < 1 and not found.vertebrae["L3"].warnings


def test_the_curvature_at_the_end_is_given(full_problem):
    curvature = QUICK.run(full_problem).curvature
    assert curvature.hessian.shape == (5, 14, 5, 14)
    assert curvature.prior == pytest.approx(2 * 0.01 / 5)


def test_time_limit_keeps_what_was_found(plain_problem):
    result = GaussNewton().run(plain_problem, max_seconds=0.05)
    assert "cut off by its time limit of 0.05 s" in result.warnings[0]
    assert result.stop_reason is StopReason.TIME and result.evaluations < 20
    assert result.loss <= result.initial_loss


def test_a_start_that_is_not_finite_is_refused(plain_problem):
    starts = [replace(s, coefficients=np.full(8, np.nan)) for s in plain_problem.vertebrae]
    with pytest.raises(ValueError, match="not finite"):
        QUICK.run(replace(plain_problem, vertebrae=tuple(starts)))


def test_final_pose_is_the_start_moved_by_the_pose_parameters(plain_problem):
    result = QUICK.run(plain_problem)
    for start, fit in zip(plain_problem.vertebrae, result.vertebrae.values(), strict=True):
        expected = start.world_from_vertebra @ RigidTransform.from_pose(fit.pose)
        np.testing.assert_allclose(fit.world_from_vertebra.to_matrix(), expected.to_matrix(), atol=1e-9)


ONE = GaussNewtonStage(4, None, Varying.MODEL, 1, 0.02)


def test_the_reason_to_stop_is_told_as_it_is(plain_problem):
    problem = plain_problem.with_term(ImageTerm(Huber())).with_term(ShapePriorTerm(1e-4))
    cut = replace(QUICK, stages=(ONE,), restart_after=0).run(problem)
    assert cut.stop_reason is StopReason.ITERATIONS
    stages = (*QUICK.stages, replace(ONE, max_iterations=60, reuse=6))
    ended = replace(QUICK, stages=stages).run(problem)
    assert ended.stop_reason is StopReason.CONVERGED
    assert {str(fit.search.stop_reason) for fit in ended.vertebrae.values()} == {"converged"}


def test_a_loss_that_no_step_lowers_is_not_convergence(plain_problem, monkeypatch):
    monkeypatch.setattr(Lineariser, "loss", lambda self, parameters, regularisation=None: 1e3)
    assert replace(QUICK, restart_after=0).run(plain_problem).stop_reason is StopReason.STALLED


def test_what_has_converged_stays_where_it_is(plain_problem):
    """Another search from the end of a converged one ends there."""
    problem = plain_problem.with_term(ImageTerm(Huber())).with_term(ShapePriorTerm(1e-4))
    last = replace(ONE, max_iterations=60, reuse=6)
    first = replace(QUICK, stages=(*QUICK.stages, last)).run(problem)
    starts = tuple(
        replace(start, pose=fit.pose, coefficients=fit.coefficients)
        for start, fit in zip(problem.vertebrae, first.vertebrae.values(), strict=True)
    )
    again = replace(QUICK, stages=(last,)).run(replace(problem, vertebrae=starts, starts_near=True))
    for level, fit in first.vertebrae.items():
        assert np.linalg.norm(fit.vertices_mm - again.vertebrae[level].vertices_mm, axis=1).mean() < 0.05


def test_a_grey_value_more_or_less_moves_nothing_that_matters(plain_problem, truth, shapes):
    """Decompositions that differ by 0.0015, as those of a radiograph that differs by one grey value of 65,536 do."""
    rng, ends = np.random.default_rng(0), []
    problem = plain_problem.with_term(ImageTerm(Huber())).with_term(ShapePriorTerm(1e-4))
    for _ in range(2):
        targets = {
            name: replace(target, image=target.image + rng.normal(0, 0.0015, target.image.shape))
            for name, target in problem.targets.items()
        }
        ends.append(GaussNewton().run(replace(problem, targets=targets)).vertebrae)
    for level, fit in ends[0].items():
        assert np.linalg.norm(fit.vertices_mm - ends[1][level].vertices_mm, axis=1).mean() < 0.05


def test_pictures_that_differ_by_rounding_end_at_the_same_meshes(plain_problem):
    """Outside the model and with errors in the pictures, so that the loss stays far from zero, as with radiographs."""
    rng, ends = np.random.default_rng(0), []
    smooth = gaussian_filter(rng.normal(0, 1, (512, 512)), 6)
    spoilt = {
        n: replace(t, image=t.image * (1 + 0.1 * smooth / smooth.std())) for n, t in plain_problem.targets.items()
    }
    problem = plain_problem.with_term(ImageTerm(Huber())).with_term(ShapePriorTerm(1e-4))
    for size in (0.0, 1e-6):
        targets = {n: replace(t, image=t.image + rng.normal(0, size, t.image.shape)) for n, t in spoilt.items()}
        ends.append(GaussNewton().run(replace(problem, targets=targets)).vertebrae)
    for level, fit in ends[0].items():
        assert np.linalg.norm(fit.vertices_mm - ends[1][level].vertices_mm, axis=1).mean() < 0.01
