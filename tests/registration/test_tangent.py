import numpy as np

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.registration.tangent import point_motions, projection_derivative, tangent_from_pose


def central_differences(function, at, step=1e-6):
    return np.stack(
        [(function(at + step * e) - function(at - step * e)) / (2 * step) for e in np.eye(len(at))], axis=-1
    )


def test_motion_of_points_by_pose_parameters_is_exact():
    rng = np.random.default_rng(0)
    pose, points = rng.normal(0, 0.5, 6), rng.normal(0, 20, (4, 3))
    motions = point_motions(points, np.zeros((0, 4, 3))) @ tangent_from_pose(pose)
    in_start_frame = np.einsum("ij,njp->nip", RigidTransform.from_pose(pose).rotation, motions)
    expected = central_differences(lambda p: RigidTransform.from_pose(p).apply(points), pose)
    np.testing.assert_allclose(in_start_frame, expected, atol=1e-6)


def test_derivative_of_projection_is_exact(geometry):
    points = np.random.default_rng(0).normal(0, 60, (5, 3))
    for camera in (geometry.ap, geometry.lat.flipped_u(), geometry.lat.transposed()):
        derivative = projection_derivative(camera, points)
        expected = central_differences(lambda shift, c=camera: c.project(points + shift), np.zeros(3))
        np.testing.assert_allclose(derivative / np.array(camera.pixel_spacing_mm)[:, None], expected, atol=1e-6)
