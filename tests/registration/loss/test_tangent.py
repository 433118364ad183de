import numpy as np

from lumbar_ext.geometry import RigidTransform, SlotScan
from lumbar_ext.registration.loss.tangent import DetectorProjection, point_motions, tangent_from_pose


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


def test_detector_projection_is_that_of_the_camera_and_its_derivative_exact(geometry):
    points = np.random.default_rng(0).normal(0, 60, (5, 3))
    ap = geometry.ap
    grid = ap.source_mm, ap.detector_origin_mm, ap.u_axis, ap.v_axis, ap.pixel_spacing_mm, ap.size_px
    slot = SlotScan(*grid)
    for camera in (ap, geometry.lat.flipped_u(), geometry.lat.transposed(), slot, slot.flipped_u()):
        projection = DetectorProjection(camera)
        expected_mm = camera.project(points) * camera.pixel_spacing_mm
        np.testing.assert_allclose(projection.project_mm(points), expected_mm, atol=1e-9)
        slopes = central_differences(lambda shift, p=projection: p.project_mm(points + shift), np.zeros(3))
        np.testing.assert_allclose(projection.derivative(points), slopes, atol=1e-6)
