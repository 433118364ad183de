"""A view that is stated at the wrong height is put right against the other, and views that are right stay."""

from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.geometry import BiplanarGeometry, RigidTransform, fit_rigid
from lumbar_ext.landmarks.triangulated import triangulate_landmarks
from lumbar_ext.registration.config import gauss_newton_config
from lumbar_ext.registration.refined_cameras import CameraErrors, moved_camera, refine_cameras, with_camera_motions
from lumbar_ext.registration.register import RegistrationInput, register

CONFIG = replace(gauss_newton_config(), free_form=None)


def stated(truth, geometry, height_mm):
    """The made-up spine with a lateral camera that is stated too high."""
    wrong = RigidTransform(np.eye(3), np.array([0.0, 0.0, height_mm]))
    wrong = BiplanarGeometry(geometry.ap, moved_camera(geometry.lat, wrong))
    return RegistrationInput(truth.images, wrong, triangulate_landmarks(wrong, truth.landmarks), truth.landmarks)


def laid_error(result, truth):
    """Mean distance of corresponding vertices in mm, after the whole spine was laid on the true one."""
    found = np.concatenate([fit.vertices_mm for fit in result.vertebrae.values()])
    true = np.concatenate(truth.vertices)
    return float(np.linalg.norm(fit_rigid(found, true).apply(found) - true, axis=1).mean())


def gap_mm(inputs, truth):
    """How far apart the rays of the true landmarks pass, on average."""
    return float(triangulate_landmarks(inputs.geometry, truth.landmarks).gap_mm.mean())


def test_heights_that_disagree_are_put_right(toy_model, truth, geometry):
    inputs = stated(truth, geometry, 1.2)
    first = register(inputs, toy_model, CONFIG)
    refined = refine_cameras(inputs, toy_model, CONFIG, first, CameraErrors(shift_mm=1.5, rounds=3))
    assert gap_mm(inputs, truth) > 1.0
    assert gap_mm(refined.inputs, truth) < 0.3
    assert refined.result.loss < first.loss
    assert laid_error(refined.result, truth) < laid_error(first, truth)
    motions = refined.result.camera_motions
    # Each may be wrong: half the way for either.
    heights = [motions[view].translation_mm[2] for view in ("ap", "lat")]
    assert heights[0] == pytest.approx(-heights[1], abs=0.1) and -1.5 < heights[1] - heights[0] < -0.9
    told = with_camera_motions(refined.result, motions)
    assert "the cameras were moved by" in told.warnings[-1]


def test_right_cameras_stay(toy_model, truth, geometry):
    inputs = stated(truth, geometry, 0.0)
    first = register(inputs, toy_model, CONFIG)
    refined = refine_cameras(inputs, toy_model, CONFIG, first)
    assert gap_mm(refined.inputs, truth) < 0.15
    assert laid_error(refined.result, truth) < laid_error(first, truth) + 0.05


def test_without_a_shape_prior_cameras_are_believed(toy_model, truth, geometry):
    inputs, config = stated(truth, geometry, 0.0), replace(CONFIG, shape_prior=None)
    first = register(inputs, toy_model, config)
    refined = refine_cameras(inputs, toy_model, config, first)
    assert refined.result is first and refined.inputs is inputs


def test_errors_must_be_positive():
    with pytest.raises(ValueError, match="must be positive"):
        CameraErrors(shift_mm=0.0)
