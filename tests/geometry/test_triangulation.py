import numpy as np
import pytest

from lumbar_ext.geometry import triangulate


def test_projected_points_come_back(ap_camera, lat_camera, points_mm):
    found = triangulate(ap_camera, lat_camera, ap_camera.project(points_mm), lat_camera.project(points_mm))
    np.testing.assert_allclose(found.points_mm, points_mm, atol=1e-8)
    np.testing.assert_allclose(found.gap_mm, 0, atol=1e-8)


def test_point_is_the_middle_of_the_shortest_line_between_the_rays(ap_camera, lat_camera, points_mm):
    rng = np.random.default_rng(1)
    uv_a = ap_camera.project(points_mm) + rng.normal(0, 3, (40, 2))
    uv_b = lat_camera.project(points_mm) + rng.normal(0, 3, (40, 2))
    found = triangulate(ap_camera, lat_camera, uv_a, uv_b)
    distances = []
    for camera, uv in ((ap_camera, uv_a), (lat_camera, uv_b)):
        rays = camera.backproject(uv)
        distances.append(np.linalg.norm(np.cross(found.points_mm - rays.origin_mm, rays.directions), axis=-1))
    np.testing.assert_allclose(distances[0], found.gap_mm / 2, atol=1e-8)
    np.testing.assert_allclose(distances[1], found.gap_mm / 2, atol=1e-8)


def test_order_of_views_does_not_matter(ap_camera, lat_camera, points_mm):
    uv_a, uv_b = ap_camera.project(points_mm) + 2, lat_camera.project(points_mm) - 1
    first, second = triangulate(ap_camera, lat_camera, uv_a, uv_b), triangulate(lat_camera, ap_camera, uv_b, uv_a)
    np.testing.assert_allclose(first.points_mm, second.points_mm, atol=1e-9)
    np.testing.assert_allclose(first.gap_mm, second.gap_mm, atol=1e-9)


def test_gap_is_the_height_by_which_the_views_disagree(ap_camera, lat_camera):
    centre = np.zeros(3)
    higher = np.array([0, 0, 4.0])
    gap = triangulate(ap_camera, lat_camera, ap_camera.project(centre), lat_camera.project(higher)).gap_mm
    assert gap == pytest.approx(4.0, rel=1e-3)


def test_unknown_pixels_give_nan_alone(ap_camera, lat_camera, points_mm):
    uv_a, uv_b = ap_camera.project(points_mm), lat_camera.project(points_mm)
    uv_a[3] = np.nan
    found = triangulate(ap_camera, lat_camera, uv_a, uv_b)
    assert np.isnan(found.gap_mm[3]) and np.isfinite(np.delete(found.points_mm, 3, axis=0)).all()


def test_parallel_rays_and_unequal_shapes_are_refused(ap_camera, lat_camera):
    with pytest.raises(ValueError, match="parallel"):
        triangulate(ap_camera, ap_camera.replace(source_mm=[900, 0, 0]), [187.5, 163.636364], [187.5, 163.636364])
    with pytest.raises(ValueError, match="must both be"):
        triangulate(ap_camera, lat_camera, np.zeros((3, 2)), np.zeros((2, 2)))
