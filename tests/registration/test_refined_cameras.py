"""A lateral camera that is stated a little wrong is put right, and one that is right stays."""

from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.geometry import BiplanarGeometry, RigidTransform
from lumbar_ext.landmarks.triangulated import triangulate_landmarks
from lumbar_ext.registration.config import gauss_newton_config
from lumbar_ext.registration.refined_cameras import CameraErrors, moved_camera, refine_cameras, with_camera_motion
from lumbar_ext.registration.register import RegistrationInput, register

CONFIG = replace(gauss_newton_config(), free_form=None)


def stated(truth, geometry, motion):
    """The made-up spine with a lateral camera that is stated moved by a motion about the spine."""
    wrong = BiplanarGeometry(geometry.ap, moved_camera(geometry.lat, motion))
    return RegistrationInput(truth.images, wrong, triangulate_landmarks(wrong, truth.landmarks), truth.landmarks)


def mean_error(result, truth):
    """Mean distance of corresponding vertices in mm, in the room."""
    pairs = zip(result.vertebrae.values(), truth.vertices, strict=True)
    return float(np.mean([np.linalg.norm(fit.vertices_mm - own, axis=1).mean() for fit, own in pairs]))


def test_heights_and_tilts_of_a_view_are_put_right(toy_model, truth, geometry):
    motion = RigidTransform.from_euler(np.radians(0.3), np.radians(-0.2), 0.0, np.array([0.0, 0.0, 1.2]))
    inputs = stated(truth, geometry, motion)
    first = register(inputs, toy_model, CONFIG)
    refined = refine_cameras(inputs, toy_model, CONFIG, first, CameraErrors(shift_mm=1.5, turn_deg=0.5, rounds=3))
    left = refined.corrected_from_stated @ motion
    # About X, the lateral beam's own plane, and along Z both views see it; about Y and Z little.
    assert abs(left.translation_mm[2]) < 0.3
    assert abs(np.degrees(left.euler_rad()[0])) < 0.1
    assert mean_error(refined.result, truth) < 0.8 * mean_error(first, truth)
    assert refined.result.loss < first.loss
    assert refined.inputs.geometry.ap is inputs.geometry.ap
    told = with_camera_motion(refined.result, refined.corrected_from_stated)
    assert "the lateral camera was moved by" in told.warnings[-1] and told.camera_motion is not None


def test_a_right_camera_stays(toy_model, truth, geometry):
    inputs = stated(truth, geometry, RigidTransform.identity())
    first = register(inputs, toy_model, CONFIG)
    refined = refine_cameras(inputs, toy_model, CONFIG, first)
    assert np.abs(refined.corrected_from_stated.translation_mm).max() < 0.2
    assert np.degrees(refined.corrected_from_stated.angle_rad()) < 0.1
    assert mean_error(refined.result, truth) < mean_error(first, truth) + 0.05


def test_without_a_shape_prior_cameras_are_believed(toy_model, truth, geometry):
    inputs, config = stated(truth, geometry, RigidTransform.identity()), replace(CONFIG, shape_prior=None)
    first = register(inputs, toy_model, config)
    refined = refine_cameras(inputs, toy_model, config, first)
    assert refined.result is first and refined.inputs is inputs


def test_errors_must_be_positive():
    with pytest.raises(ValueError, match="must be positive"):
        CameraErrors(shift_mm=0.0)
