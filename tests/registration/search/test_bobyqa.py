from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.drr import drr_from_path_length, path_length
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.registration.parameters import Bounds
from lumbar_ext.registration.result import StopReason
from lumbar_ext.registration.search.bobyqa import BlockStage, BobyqaBlocks, BobyqaJoint, BoxSearch
from lumbar_ext.registration.search.record import Record
from lumbar_ext.registration.terms.images import ImageTerm
from lumbar_ext.registration.terms.view_fields import ViewFields

QUICK = BobyqaBlocks((BlockStage(4, None, False, 1, 1.0, 0.1, 60), BlockStage(4, None, True, 1, 0.5, 0.1, 120)))


def record(max_seconds=None):
    return Record(None, max_seconds)


def shifted(problem, offset_mm):
    """The problem with all starts moved by an offset."""
    starts = [
        replace(
            own, world_from_vertebra=RigidTransform.from_pose([*[offset_mm] * 3, 0, 0, 0]) @ own.world_from_vertebra
        )
        for own in problem.vertebrae
    ]
    return replace(problem, vertebrae=tuple(starts))


def seen_along_rays(problem, truth):
    """The problem with pictures of single rays, which is how BOBYQA predicts them."""
    targets = {}
    for name, target in problem.targets.items():
        triangles = problem.vertebrae[0].shape.surface.triangles
        length = sum(path_length(vertices, triangles, target.camera) for vertices in truth.vertices)
        targets[name] = replace(target, image=drr_from_path_length(length))
    return replace(problem, targets=targets)


def test_blocks_recover_a_spine_of_the_model(plain_problem, truth, vertex_errors):
    # Which way BOBYQA goes hangs on the last digit: the same law over several starts, not over one path.
    errors, problem = [], seen_along_rays(plain_problem, truth)
    for offset_mm in (0.0, 0.01, -0.02, 0.05):
        result = BobyqaBlocks().run(shifted(problem, offset_mm))
        errors += vertex_errors(result).values()
        assert result.loss < 0.05 * result.initial_loss
        assert all(fit.loss["ap"] < fit.initial_loss["ap"] for fit in result.vertebrae.values())
    assert np.median(errors) < 0.3 and np.mean(np.array(errors) < 0.6) >= 0.9


def test_joint_search_improves_all_vertebrae(plain_problem):
    problem = replace(plain_problem, vertebrae=plain_problem.vertebrae[:2])
    result = BobyqaJoint(stride=4, mesh_vertices=1000, max_evaluations=200).run(problem)
    assert result.levels == ("L1", "L2") and result.stop_reason is StopReason.EVALUATIONS
    assert result.loss < result.initial_loss


def test_same_problem_gives_the_same_answer(plain_problem):
    first, second = QUICK.run(plain_problem), QUICK.run(plain_problem)
    assert first.loss == second.loss
    np.testing.assert_array_equal(first.vertebrae["L3"].pose, second.vertebrae["L3"].pose)


def test_answers_stay_inside_narrow_bounds(plain_problem):
    bounds = Bounds(translation_mm=1.0, tilt_deg=1.0, axial_deg=1.0, shape_sd=0.3)
    result = QUICK.run(replace(plain_problem, bounds=bounds))
    for fit in result.vertebrae.values():
        parameters = np.concatenate([fit.pose, fit.coefficients])
        assert (np.abs(parameters) <= bounds.limits(8)).all()
        assert np.abs(fit.pose[:3]).max() > 0.99  # the truth lies outside, so a bound must hold it back


def test_time_limit_is_honoured_and_what_was_found_is_kept(plain_problem):
    QUICK.run(plain_problem)  # compiled and cached
    result = BobyqaBlocks().run(plain_problem, max_seconds=0.2)
    # Beyond the limit: setting up, one evaluation and the final pictures, slow only on a busy machine.
    assert result.stop_reason is StopReason.TIME and result.seconds < 3 and result.evaluations < 1500
    assert result.loss <= result.initial_loss
    assert "cut off by its time limit of 0.2 s" in result.warnings[0]


def test_each_vertebra_tells_of_its_own_search(plain_problem):
    result = QUICK.run(plain_problem)
    searches = [fit.search for fit in result.vertebrae.values()]
    assert sum(search.evaluations for search in searches) == result.evaluations
    assert len({search.evaluations for search in searches}) > 1
    assert all(0 < search.seconds < result.seconds and search.loss > 0 for search in searches)
    assert {search.stop_reason for search in searches} <= {StopReason.CONVERGED, StopReason.EVALUATIONS}


def test_gain_and_background_need_another_optimiser(plain_problem):
    with pytest.raises(InputError, match="view_fields cannot be fitted"):
        QUICK.run(plain_problem.with_term(ImageTerm(view_fields=ViewFields())))


def test_progress_names_levels_and_counts(plain_problem):
    calls = []
    result = QUICK.run(plain_problem, progress=lambda *call: calls.append(call))
    assert [call[0] for call in calls[:5]] == ["L1", "L2", "L3", "L4", "L5"]
    assert calls[-1][1] == result.evaluations == result.history[-1].evaluations


def test_losses_that_are_never_finite_end_the_search():
    search = BoxSearch(np.ones(3), np.full(3, 0.1), 1.0, 0.01, 500)
    outcome = search.minimise(lambda x: float("nan"), np.zeros(3), record(), "L1")
    assert outcome.reason is StopReason.FAILED and (outcome.position == 0).all()


def test_a_start_outside_the_box_is_clipped_and_the_corner_found():
    search = BoxSearch(np.ones(2), np.full(2, 0.5), 1.0, 1e-4, 500)
    outcome = search.minimise(lambda x: float(((x - 3) ** 2).sum()), np.array([5.0, -9.0]), record(), "L1")
    np.testing.assert_allclose(outcome.position, [1, 1], atol=1e-3)
    assert (np.abs(outcome.position) <= 1).all()


def test_time_limit_must_be_positive(plain_problem):
    with pytest.raises(ValueError, match="max_seconds must be positive"):
        QUICK.run(plain_problem, max_seconds=0)
