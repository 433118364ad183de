"""A person who moved between the exposures: what both films see of each vertebra comes right; who stood still does not move."""

from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.drr import drr_from_path_length
from lumbar_ext.landmarks.triangulated import ViewLandmarks, triangulate_landmarks
from lumbar_ext.registration.config import gauss_newton_config
from lumbar_ext.registration.lateral_motion import motion_about
from lumbar_ext.registration.moved_vertebrae import (
    FoundMovement,
    Movement,
    follow_movement,
    found_movement,
    with_movement,
)
from lumbar_ext.registration.register import RegistrationInput, register
from lumbar_ext.workflow.second_look import glance_errors, path_lengths_mm
from tests.registration.many_rays import mean_path_lengths

CONFIG = replace(gauss_newton_config(), free_form=None)
PERSON = np.array([1.0, 3.0, -3.0, *np.radians([0.5, 2.0, -1.0])])
FALLEN_MM = np.array([-1.5, -0.5, 0.0, 0.5, 1.5])
TURNS_DEG = np.array([[0.5, 0, -1.0], [0.0, 0, 0.5], [-0.5, 0, 1.0], [0.5, 0, 0.0], [0.0, 0, -0.5]])


@pytest.fixture(scope="module")
def motions(truth):
    """How each vertebra moved: by itself about its own middle, then with the person."""
    person = motion_about(PERSON, np.mean([pose.translation_mm for pose in truth.poses], axis=0))
    own = [np.array([0, 0, fallen, *np.radians(turn)]) for fallen, turn in zip(FALLEN_MM, TURNS_DEG, strict=True)]
    return [person @ motion_about(numbers, pose.translation_mm) for numbers, pose in zip(own, truth.poses, strict=True)]


@pytest.fixture(scope="module")
def moved_inputs(truth, geometry, shapes, motions):
    vertices = [motion.apply(own) for motion, own in zip(motions, truth.vertices, strict=True)]
    points = np.stack([motion.apply(own) for motion, own in zip(motions, truth.points, strict=True)])
    lateral = drr_from_path_length(mean_path_lengths(vertices, shapes[0].surface.triangles, geometry["lat"]))
    landmarks = {**truth.landmarks, "lat": ViewLandmarks(geometry["lat"].project(points), np.ones((5, 7)))}
    images = {**truth.images, "lat": lateral}
    return RegistrationInput(images, geometry, triangulate_landmarks(geometry, landmarks), landmarks)


def shape_errors_mm(result, truth):
    """Mean distance of vertices from the true ones in each vertebra's own frame."""
    return [
        np.linalg.norm(
            fit.world_from_vertebra.inverse().apply(fit.vertices_mm) - pose.inverse().apply(own), axis=1
        ).mean()
        for fit, pose, own in zip(result.vertebrae.values(), truth.poses, truth.vertices, strict=True)
    ]


def height_errors_mm(result, truth):
    """How far the middles stand from the true heights at the AP exposure."""
    found = np.array([fit.world_from_vertebra.translation_mm[2] for fit in result.vertebrae.values()])
    return np.abs(found - [pose.translation_mm[2] for pose in truth.poses])


def test_vertebrae_that_moved_are_followed(moved_inputs, motions, toy_model, truth):
    first = register(moved_inputs, toy_model, CONFIG)
    result = follow_movement(moved_inputs, toy_model, CONFIG, first)
    for fit, motion, pose in zip(result.vertebrae.values(), motions, truth.poses, strict=True):
        shifts = [own.apply(pose.translation_mm) - pose.translation_mm for own in (fit.motions["lat"], motion)]
        assert shifts[0][2] == pytest.approx(shifts[1][2], abs=0.5)
    assert height_errors_mm(result, truth).max() < 0.4 < height_errors_mm(first, truth).mean()
    assert np.mean(shape_errors_mm(result, truth)) < 0.7 * np.mean(shape_errors_mm(first, truth))
    assert result.loss < 0.5 * first.loss
    # A second look is shown the vertebrae where they stood when its film was exposed.
    drawn = glance_errors(moved_inputs, path_lengths_mm(moved_inputs, result, toy_model.triangles.numpy()))
    assert max(value for own in drawn.values() for value in own.values()) < 0.01
    found = found_movement(result)
    assert found.height_mm == pytest.approx(np.mean(FALLEN_MM) + PERSON[2], abs=0.3)
    assert found.own_mm == pytest.approx(np.abs(FALLEN_MM).max(), abs=0.4)
    told = with_movement(result, found).warnings[-1]
    assert "the person moved between the exposures" in told and "went into the cameras" not in told
    assert f"{-found.height_mm:.1f} mm in height" in told
    assert "as a whole went into the cameras" in with_movement(result, found, cameras_found=True).warnings[-1]


def test_who_stood_still_is_not_moved(truth, geometry, toy_model):
    inputs = RegistrationInput(
        truth.images, geometry, triangulate_landmarks(geometry, truth.landmarks), truth.landmarks
    )
    first = register(inputs, toy_model, CONFIG)
    result = follow_movement(inputs, toy_model, CONFIG, first)
    for fit in result.vertebrae.values():
        assert np.linalg.norm(fit.seen_mm("lat") - fit.vertices_mm, axis=1).mean() < 0.4
        np.testing.assert_array_equal(fit.seen_mm("ap"), fit.vertices_mm)
    assert np.mean(shape_errors_mm(result, truth)) < np.mean(shape_errors_mm(first, truth)) + 0.1
    told = with_movement(first, found_movement(result)).warnings[-1]
    assert "no movement between the exposures was found" in told and "the person moved" not in told


@pytest.mark.parametrize("beyond", [{"height_mm": -0.6}, {"own_mm": 1.6}, {"turned_deg": -4.1}])
def test_what_exceeds_people_who_stand_still_is_a_movement(beyond):
    still = FoundMovement(height_mm=-0.4, own_mm=1.4, turned_deg=3.9)
    assert still.is_noise and not replace(still, **beyond).is_noise


def test_the_prior_is_that_of_a_person_and_of_each_vertebra():
    """The vertebrae's difference is theirs alone where the person does not turn; a turn about the middle shifts the ends."""
    centres = np.array([[0.0, 0, 60], [0, 0, 0], [0, 0, -60]])
    still = Movement(person_mm=10.0, person_deg=1e-6, vertebra_mm=2.0, vertebra_deg=3.0).covariance(centres)
    difference = np.zeros(18)
    difference[[2, 8]] = 1, -1
    assert difference @ still @ difference == pytest.approx(2 * 2.0**2)
    assert still[2, 2] == pytest.approx(10.0**2 + 2.0**2)
    turned = Movement(1e-6, 5.0, 1e-6, 1e-6, depth_mm=1e-6).covariance(centres)
    assert turned[0, 0] == pytest.approx((60 * np.radians(5.0)) ** 2, rel=1e-6)
    assert turned[6, 6] < 1e-6


def test_depth_is_held_and_height_is_free():
    """A person goes to the front and to the side as one, by as much as `depth_mm` says, and in height by `person_mm`."""
    centres = np.array([[0.0, 0, 60], [0, 0, 0], [0, 0, -60]])
    sizes = Movement(person_mm=10.0, person_deg=1e-6, vertebra_mm=1e-6, vertebra_deg=1e-6, depth_mm=0.5)
    found, together = sizes.covariance(centres), np.zeros((3, 18))
    for axis in range(3):
        together[axis, axis::6] = 1 / 3
    assert np.diag(together @ found @ together.T) == pytest.approx([0.5**2, 0.5**2, 10.0**2])
    assert Movement().depth_mm < Movement().person_mm


def test_without_a_shape_prior_nobody_moves(moved_inputs, toy_model):
    config = replace(CONFIG, shape_prior=None)
    first = register(moved_inputs, toy_model, config)
    assert follow_movement(moved_inputs, toy_model, config, first) is first
    assert found_movement(first) is None
    assert "was not followed" in with_movement(first, None).warnings[-1]


def test_movements_must_be_positive():
    for name in ("vertebra_mm", "depth_mm"):
        with pytest.raises(ValueError, match="must be positive"):
            Movement(**{name: 0.0})
