import numpy as np
import pytest

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.landmarks.triangulated import Landmarks3D, triangulate_landmarks
from lumbar_ext.registration.initial_pose import InitialPoseConfig, fit_initial_pose, initial_poses, relative_size

ONES, ZEROS = np.ones(7), np.zeros(7)


def posed_landmarks(shape, seed=0, coefficients=None):
    rng = np.random.default_rng(seed)
    pose = RigidTransform.from_euler(*np.radians(rng.uniform(-20, 20, 3)), rng.uniform(-50, 50, 3))
    return pose, pose.apply(shape.landmarks(np.zeros(shape.n_modes) if coefficients is None else coefficients))


def pose_error(found, pose):
    offset = found.inverse() @ pose
    return np.linalg.norm(offset.translation_mm), np.degrees(offset.angle_rad())


def test_exact_landmarks_of_the_mean_shape_give_the_pose_exactly(shapes):
    pose, points = posed_landmarks(shapes[2])
    start = fit_initial_pose(points, ONES, ZEROS, shapes[2], InitialPoseConfig())
    assert max(pose_error(start.world_from_vertebra, pose)) < 1e-6
    assert start.residual_mm.max() < 1e-6 and (start.coefficients == 0).all()


@pytest.mark.parametrize("landmark", range(7))
def test_one_landmark_thirty_mm_off_does_not_matter(shapes, landmark):
    pose, points = posed_landmarks(shapes[1])
    rng = np.random.default_rng(landmark)
    points = points + rng.normal(0, 0.5, points.shape)
    points[landmark] += [0, 24, 18]
    start = fit_initial_pose(points, ONES, ZEROS, shapes[1], InitialPoseConfig())
    translation_mm, angle_deg = pose_error(start.world_from_vertebra, pose)
    assert translation_mm < 1.5 and angle_deg < 4
    assert start.residual_mm.argmax() == landmark


def test_a_landmark_with_a_large_gap_counts_less(shapes):
    pose, points = posed_landmarks(shapes[0])
    points[0] += [3, 0, 0]
    gap = np.where(np.arange(7) == 0, 8.0, 0.0)
    blind, warned = (
        fit_initial_pose(points, ONES, g, shapes[0], InitialPoseConfig(gap_weight=1)) for g in (ZEROS, gap)
    )
    assert pose_error(warned.world_from_vertebra, pose)[0] < 0.5 * pose_error(blind.world_from_vertebra, pose)[0]


def test_fitting_the_shape_explains_landmarks_of_another_shape(shapes):
    coefficients = np.array([1.5, -1, 1, 0, 0, 0, 0, 0])
    _, points = posed_landmarks(shapes[3], coefficients=coefficients)
    rigid = fit_initial_pose(points, ONES, ZEROS, shapes[3], InitialPoseConfig())
    full = fit_initial_pose(points, ONES, ZEROS, shapes[3], InitialPoseConfig(fit_shape=True, iterations=60))
    assert full.residual_mm.mean() < 0.5 * rigid.residual_mm.mean()
    assert np.abs(full.coefficients).max() < 3


def test_missing_levels_are_skipped(shapes, geometry, truth):
    landmarks = triangulate_landmarks(geometry, truth.landmarks)
    landmarks.present[1] = False
    assert tuple(initial_poses(landmarks, shapes)) == ("L1", "L3", "L4", "L5")


def test_unknown_landmarks_are_left_out_and_three_are_needed(shapes):
    pose, points = posed_landmarks(shapes[4])
    points[[0, 2, 6]] = np.nan
    start = fit_initial_pose(points, ONES, ZEROS, shapes[4], InitialPoseConfig())
    assert max(pose_error(start.world_from_vertebra, pose)) < 1e-6 and np.isnan(start.residual_mm[[0, 2, 6]]).all()
    points[[1, 3]] = np.nan
    with pytest.raises(ValueError, match="2 known landmarks, expected at least 3"):
        fit_initial_pose(points, ONES, ZEROS, shapes[4], InitialPoseConfig())


def test_the_size_of_a_spine_is_told_whatever_one_of_its_levels_looks_like(shapes):
    """A similarity makes all levels larger alike; a level that went astray does not decide."""
    points = 1.3 * np.stack([shape.landmark_mean_mm for shape in shapes]) + np.array([5.0, -3.0, 80.0])
    points[1] *= 2.0
    present, ones = np.ones(5, dtype=bool), np.ones((5, 7))
    landmarks = Landmarks3D(points, np.zeros((5, 7)), ones, present)
    assert relative_size(landmarks, shapes) == pytest.approx(1.3, rel=1e-5)
    with pytest.raises(ValueError, match="no level"):
        relative_size(Landmarks3D(points, np.zeros((5, 7)), ones, ~present), shapes)
