"""Set-ups: canonical orientation, distances, and a spine that is in the picture."""

import numpy as np
import pytest

from lumbar_ext.anatomy import LANDMARKS, VIEWS
from lumbar_ext.simulation.imaging.acquisition import (
    misread,
    sample_geometry,
    sample_stated,
    with_calibration_errors,
)
from lumbar_ext.simulation.ranges import GeometryParameters

PLAIN = {"format_share": 0.0, "cut_share": 0.0, "off_centre_share": 0.0}
WELL_READ = {"calibration_distance_mm": (0.0, 0.0), "calibration_spacing_percent": (0.0, 0.0)}
SPINE = np.stack([np.zeros(9), np.zeros(9), np.linspace(-90, 90, 9)], axis=1)


def geometries(count=30, **changes):
    rng = np.random.default_rng(0)
    return [sample_geometry(rng, SPINE, GeometryParameters(**PLAIN | changes), size_px=128) for _ in range(count)]


def test_views_hang_as_on_a_light_box():
    for geometry in geometries():
        assert geometry.ap.u_axis[1] > 0.95
        assert geometry.lat.u_axis[0] < -0.9
        assert geometry.ap.v_axis[2] < -0.95
        assert geometry.lat.v_axis[2] < -0.95


def test_the_lateral_source_is_on_the_left_unless_asked():
    assert all(g.lat.source_mm[1] > 0 and g.lat.source_distance_mm > 0 for g in geometries())
    assert all(g.lat.source_mm[1] < 0 for g in geometries(lateral_from_right_share=1.0))


def test_some_exposures_are_posteroanterior():
    behind = [g.ap.source_mm[0] < 0 for g in geometries(100)]
    assert 0.08 < np.mean(behind) < 0.35


def test_distances_and_angles_stay_in_their_ranges():
    for geometry in geometries():
        for camera in (geometry.ap, geometry.lat):
            assert 950 < abs(camera.source_distance_mm) < 1510
            assert 1.15 < abs(float(camera.magnification(np.zeros(3))[0])) < 1.75
        assert geometry.angle_deg > 74


def test_the_panel_is_moved_to_show_the_spine():
    far = SPINE + np.array([0, 60, 120])
    geometry = sample_geometry(np.random.default_rng(0), far, GeometryParameters(**PLAIN), size_px=128)
    for camera in (geometry.ap, geometry.lat):
        uv = camera.project(far)
        assert uv.min() >= 0
        assert uv.max() <= 127


@pytest.mark.parametrize("sigma_mm", [0.0, 0.2])
def test_calibration_noise_moves_sources_by_its_size(sigma_mm):
    geometry = geometries(1)[0]
    rng = np.random.default_rng(0)
    moved = [with_calibration_errors(rng, geometry, sigma_mm).ap.source_mm - geometry.ap.source_mm for _ in range(200)]
    assert np.isclose(np.std(moved), sigma_mm, rtol=0.15)


def five_vertebrae():
    """Landmarks [5, 7, 3] of bodies 27 mm high, 36 mm apart, around the origin."""
    landmarks = np.zeros((5, len(LANDMARKS), 3))
    landmarks[..., 2] = 36.0 * (2 - np.arange(5))[:, None]
    landmarks[:, LANDMARKS.index("superior_endplate"), 2] += 13.5
    landmarks[:, LANDMARKS.index("inferior_endplate"), 2] -= 13.5
    return landmarks


def films(count=60, **changes):
    rng = np.random.default_rng(1)
    parameters = GeometryParameters(**PLAIN | changes)
    return [sample_geometry(rng, five_vertebrae(), parameters, size_px=512) for _ in range(count)]


def rows_of(camera, points_mm):
    return camera.project(points_mm)[:, 1] / (camera.size_px[1] - 1)


def test_plain_films_are_square_and_show_all():
    for geometry in films():
        for camera in (geometry[view] for view in VIEWS):
            assert camera.size_px == (512, 512)
            uv = camera.project(five_vertebrae().reshape(-1, 3))
            assert (uv >= 0).all() and (uv <= 511).all()


def test_other_formats_keep_the_size_of_pixels():
    cameras = [geometry[view] for geometry in films(format_share=1.0) for view in VIEWS]
    spacing = np.array([camera.pixel_spacing_mm for camera in cameras])
    size_mm = np.array([camera.size_px for camera in cameras]) * spacing
    assert np.allclose(spacing, 427.008 / 512)
    assert size_mm[:, 0].min() < 200 and size_mm[:, 0].max() > 400
    assert size_mm[:, 1].min() < 330 and size_mm[:, 1].max() > 600


def test_a_cut_film_ends_within_the_outer_vertebrae_and_shows_the_others():
    ends = {"top": 0, "bottom": 0}
    centres = five_vertebrae()[:, :2].mean(axis=1)
    for geometry in films(cut_share=1.0, cut_view_share=1.0):
        for view in VIEWS:
            rows = rows_of(geometry[view], centres)
            assert (rows[1:4] > 0).all() and (rows[1:4] < 1).all()
            beyond = rows_of(geometry[view], centres[[0, -1]] + [[0, 0, 0.71 * 36], [0, 0, -1.31 * 36]])
            ends["top"] += beyond[0] < 0
            ends["bottom"] += beyond[1] > 1
    assert min(ends.values()) > 30


def test_off_centre_films_show_the_spine_anywhere():
    middle = np.array([geometry.ap.project(np.zeros(3)) for geometry in films(off_centre_share=1.0)])
    assert np.ptp(middle[:, 0]) > 300 and np.ptp(middle[:, 1]) > 60
    for geometry in films(off_centre_share=1.0):
        uv = np.concatenate([geometry[view].project(five_vertebrae().reshape(-1, 3)) for view in VIEWS])
        assert (uv >= 0).all() and (uv <= 511).all()


def test_a_stated_turn_is_that_of_the_lateral_view():
    geometry = geometries(1)[0]
    rng = np.random.default_rng(0)
    angles = []
    for _ in range(200):
        stated = with_calibration_errors(rng, geometry, 0.0, 0.3)
        assert np.array_equal(stated.ap.source_mm, geometry.ap.source_mm)
        turned = np.cross(geometry.lat.source_mm, stated.lat.source_mm) / np.sum(geometry.lat.source_mm**2)
        angles.append(np.degrees(np.linalg.norm(turned)))
        assert np.isclose(np.linalg.norm(stated.lat.source_mm), np.linalg.norm(geometry.lat.source_mm))
    # Two of the three turns move the source.
    assert np.isclose(np.sqrt(np.mean(np.square(angles))), 0.3 * np.sqrt(2), rtol=0.15)


def test_errors_of_the_stated_cameras_are_drawn_for_each_study():
    geometry, rng = geometries(1)[0], np.random.default_rng(0)
    parameters = GeometryParameters(**WELL_READ, calibration_noise_mm=(0.0, 0.5), calibration_turn_deg=(0.0, 0.0))
    moved = [
        np.abs(sample_stated(rng, geometry, parameters).ap.source_mm - geometry.ap.source_mm).max() for _ in range(60)
    ]
    assert min(moved) < 0.1 and max(moved) > 0.5
    exact = GeometryParameters(**WELL_READ, calibration_noise_mm=(0.0, 0.0), calibration_turn_deg=(0.0, 0.0))
    assert np.array_equal(sample_stated(rng, geometry, exact).lat.source_mm, geometry.lat.source_mm)


def test_a_distance_read_wrong_moves_the_source_alone():
    for camera in (
        view for geometry in geometries(5, posteroanterior_share=0.5) for view in (geometry.ap, geometry.lat)
    ):
        stated = misread(camera, 5.0, 0.0)
        assert abs(stated.source_distance_mm) == pytest.approx(abs(camera.source_distance_mm) + 5.0)
        assert np.array_equal(stated.detector_origin_mm, camera.detector_origin_mm)
        assert stated.principal_point_px == pytest.approx(camera.principal_point_px, abs=1e-6)


def test_pixels_read_wrong_leave_the_middle_of_the_film_and_magnify_all_else():
    camera = geometries(1)[0].lat
    stated = misread(camera, 0.0, 0.5)
    assert stated.detector_point(camera.centre_px) == pytest.approx(camera.detector_point(camera.centre_px))
    sides = [np.linalg.norm(c.detector_point([127, 127]) - c.detector_point([0, 0])) for c in (stated, camera)]
    assert sides[0] / sides[1] == pytest.approx(1.005)


def test_distances_and_spacings_read_well_leave_what_older_seeds_gave():
    """Sizes, then the errors themselves, in the order of the first release; nothing of the stream is used for the rest."""
    geometry, size = geometries(1)[0], GeometryParameters()
    rng, older = np.random.default_rng(4), np.random.default_rng(4)
    stated = sample_stated(rng, geometry, GeometryParameters(**WELL_READ))
    sizes = older.uniform(*size.calibration_noise_mm), older.uniform(*size.calibration_turn_deg)
    expected = with_calibration_errors(older, geometry, *sizes)
    for view in VIEWS:
        for name in ("source_mm", "detector_origin_mm", "u_axis", "v_axis", "pixel_spacing_mm"):
            assert np.array_equal(getattr(stated[view], name), getattr(expected[view], name))
    assert rng.random() == older.random()


def test_distances_and_spacings_are_read_wrong_within_their_ranges():
    geometry, rng = geometries(1)[0], np.random.default_rng(0)
    parameters = GeometryParameters(calibration_noise_mm=(0.0, 0.0), calibration_turn_deg=(0.0, 0.0))
    stated = [sample_stated(rng, geometry, parameters) for _ in range(60)]
    distance = np.array(
        [abs(s[v].source_distance_mm) - abs(geometry[v].source_distance_mm) for s in stated for v in VIEWS]
    )
    spacing = np.array([s[v].pixel_spacing_mm[0] / geometry[v].pixel_spacing_mm[0] - 1 for s in stated for v in VIEWS])
    for errors, largest in ((distance, 5.0), (spacing, 0.005)):
        assert -largest <= errors.min() < -0.8 * largest and 0.8 * largest < errors.max() <= largest
