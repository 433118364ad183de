import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.geometry import ConeBeam


def cameras(ap, lat):
    """Plain, mirrored, turned and shifted ones."""
    tilted = np.array([0.1, 0.2, -1.0])
    tilted -= tilted[1] * np.array([0, 1.0, 0])
    tilted /= np.linalg.norm(tilted)
    return [ap, lat, ap.flipped_u(), lat.flipped_v().transposed(), ap.replace(v_axis=tilted), ap.transposed()]


def test_projecting_a_back_projected_pixel_gives_the_pixel(ap_camera, lat_camera):
    uv = np.random.default_rng(0).uniform(-50, 500, (30, 2))
    for camera in cameras(ap_camera, lat_camera):
        rays = camera.backproject(uv)
        for distance_mm in (100, 900, 1500):
            np.testing.assert_allclose(camera.project(rays.origin_mm + distance_mm * rays.directions), uv, atol=1e-8)


def test_projection_is_where_source_point_and_detector_are_in_line(ap_camera, lat_camera, points_mm):
    for camera in cameras(ap_camera, lat_camera):
        on_detector = camera.detector_point(camera.project(points_mm))
        offsets = np.cross(on_detector - camera.source_mm, points_mm - camera.source_mm)
        np.testing.assert_allclose(offsets, 0, atol=1e-6)


def test_first_pixel_centre_is_the_detector_origin(ap_camera):
    np.testing.assert_allclose(ap_camera.project(ap_camera.detector_origin_mm), [0, 0], atol=1e-10)
    step = ap_camera.detector_origin_mm + 0.8 * ap_camera.u_axis
    np.testing.assert_allclose(ap_camera.project(step), [1, 0], atol=1e-10)


def test_flips_and_transposes_move_pixels_like_the_image(ap_camera, points_mm):
    u, v = ap_camera.project(points_mm).T
    columns, rows = ap_camera.size_px
    np.testing.assert_allclose(ap_camera.flipped_u().project(points_mm), np.c_[columns - 1 - u, v], atol=1e-9)
    np.testing.assert_allclose(ap_camera.flipped_v().project(points_mm), np.c_[u, rows - 1 - v], atol=1e-9)
    np.testing.assert_allclose(ap_camera.transposed().project(points_mm), np.c_[v, u], atol=1e-9)
    assert ap_camera.transposed().size_px == (rows, columns)


def test_flipping_twice_changes_nothing(ap_camera, points_mm):
    for twice in (
        ap_camera.flipped_u().flipped_u(),
        ap_camera.flipped_v().flipped_v(),
        ap_camera.transposed().transposed(),
    ):
        np.testing.assert_allclose(twice.project(points_mm), ap_camera.project(points_mm), atol=1e-9)


def test_resampling_keeps_detector_points(ap_camera, points_mm):
    grid = ap_camera.resampled(size_px=(100, 80), pixel_spacing_mm=(2.0, 3.0), centre_uv_px=[120, 90])
    np.testing.assert_allclose(grid.detector_point([49.5, 39.5]), ap_camera.detector_point([120, 90]), atol=1e-9)
    on_detector = grid.detector_point(grid.project(points_mm))
    np.testing.assert_allclose(on_detector, ap_camera.detector_point(ap_camera.project(points_mm)), atol=1e-8)
    centred = ap_camera.resampled(size_px=(64, 64), pixel_spacing_mm=(1, 1))
    np.testing.assert_allclose(centred.detector_point(centred.centre_px), ap_camera.detector_point(ap_camera.centre_px))


def test_projection_matrix_projects_and_gives_depth(ap_camera, lat_camera, points_mm):
    for camera in cameras(ap_camera, lat_camera):
        u, v, w = camera.projection_matrix() @ np.c_[points_mm, np.ones(len(points_mm))].T
        np.testing.assert_allclose(np.c_[u / w, v / w], camera.project(points_mm), atol=1e-8)
        depth = (points_mm - camera.source_mm) @ camera.normal * np.sign(camera.source_distance_mm)
        np.testing.assert_allclose(w, depth, atol=1e-8)


@pytest.mark.parametrize("factor", [1.0, -0.02, 37.0])
def test_camera_comes_back_from_its_projection_matrix(ap_camera, lat_camera, points_mm, factor):
    for camera in cameras(ap_camera, lat_camera):
        back = ConeBeam.from_projection_matrix(
            factor * camera.projection_matrix(), size_px=camera.size_px, pixel_spacing_mm=camera.pixel_spacing_mm
        )
        np.testing.assert_allclose(back.source_mm, camera.source_mm, atol=1e-6)
        np.testing.assert_allclose(back.detector_origin_mm, camera.detector_origin_mm, atol=1e-6)
        np.testing.assert_allclose(back.project(points_mm), camera.project(points_mm), atol=1e-7)


def test_magnification_is_that_of_a_small_object(ap_camera):
    magnification = ap_camera.magnification(np.zeros(3))
    assert magnification == pytest.approx([1200 / 1000] * 2)
    middle, aside, below = ap_camera.project(np.array([[0, 0.0, 0], [0, 1.0, 0], [0, 0.0, -1]])) * [0.8, 1.1]
    assert [aside[0] - middle[0], below[1] - middle[1]] == pytest.approx(magnification)


def test_mirrored_images_have_a_negative_source_distance(ap_camera):
    assert ap_camera.source_distance_mm == pytest.approx(1200)
    assert ap_camera.flipped_u().source_distance_mm == pytest.approx(-1200)
    assert ap_camera.flipped_u().flipped_v().source_distance_mm == pytest.approx(1200)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"u_axis": [0, 2, 0]}, "u_axis must be a unit vector, found length 2"),
        ({"u_axis": [0, 0.8, 0.6]}, "must be orthogonal"),
        ({"pixel_spacing_mm": (0, 1)}, "pixel_spacing_mm must be two positive numbers"),
        ({"size_px": (10.5, 10)}, "size_px must be two positive integers"),
        ({"source_mm": [np.nan, 0, 0]}, "source_mm must hold three finite numbers"),
        ({"source_mm": [-200, 5, 5]}, "lies in the detector plane"),
    ],
)
def test_impossible_cameras_cannot_exist(ap_camera, change, message):
    with pytest.raises(InputError, match=message):
        ap_camera.replace(**change)


def test_slightly_crooked_axes_are_straightened(ap_camera):
    camera = ap_camera.replace(u_axis=[0, 1.0004, 0], v_axis=[0, 0.0005, -1])
    assert camera.u_axis @ camera.v_axis == pytest.approx(0, abs=1e-15)
    assert np.linalg.norm(camera.u_axis) == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda m: m[:, :3], "3 rows of 4"),
        (lambda m: np.where(np.arange(4) == 0, 0, m), "singular"),
        (lambda m: np.array([[1, 0.1, 0], [0, 1, 0], [0, 0, 1]]) @ m, "skewed"),
        (lambda m: np.diag([1, 1.2, 1]) @ m, "contradicts"),
    ],
)
def test_matrices_that_are_no_such_camera_are_refused(ap_camera, spoil, message):
    matrix = spoil(ap_camera.projection_matrix())
    with pytest.raises(InputError, match=message):
        ConeBeam.from_projection_matrix(matrix, size_px=(376, 300), pixel_spacing_mm=(0.8, 1.1))
