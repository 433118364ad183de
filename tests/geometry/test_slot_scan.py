"""The laws of a slot scan, and where it is what a cone beam is."""

import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.geometry import ConeBeam, SlotScan, triangulate
from lumbar_ext.transforms.look import Crop

AP_MM, LAT_MM = 987.0, 918.0


def at_isocentre(to_source, u_axis, distance_mm, kind=SlotScan):
    """A film of 340 x 500 mm whose spacing holds at the isocentre, the world's origin."""
    to_source, u_axis, down = (np.array(a, dtype=float) for a in (to_source, u_axis, (0, 0, -1)))
    origin = -170 * u_axis - 200 * down
    return kind(distance_mm * to_source, origin, u_axis, down, (0.5, 0.4), (681, 1251))


@pytest.fixture
def ap():
    return at_isocentre((1, 0, 0), (0, 1, 0), AP_MM)


@pytest.fixture
def lat():
    return at_isocentre((0, 1, 0), (-1, 0, 0), LAT_MM)


def mm_from_isocentre(camera, points_mm):
    return (camera.project(points_mm) - camera.project(np.zeros(3))) * camera.pixel_spacing_mm


def test_it_sees_what_the_equations_of_the_scanner_say(ap, lat, points_mm):
    """u = D a / (D + b), v = height: a across and b behind the isocentre (docs of the module)."""
    x, y, z = points_mm.T
    np.testing.assert_allclose(mm_from_isocentre(ap, points_mm), np.c_[AP_MM * y / (AP_MM - x), -z], atol=1e-9)
    np.testing.assert_allclose(mm_from_isocentre(lat, points_mm), np.c_[-LAT_MM * x / (LAT_MM - y), -z], atol=1e-9)


def test_two_films_give_the_points_back_as_in_closed_form(ap, lat, points_mm):
    uv_ap, uv_lat = ap.project(points_mm), lat.project(points_mm)
    found = triangulate(ap, lat, uv_ap, uv_lat)
    np.testing.assert_allclose(found.points_mm, points_mm, atol=1e-8)
    np.testing.assert_allclose(found.gap_mm, 0, atol=1e-8)
    a, b = mm_from_isocentre(ap, points_mm)[:, 0], mm_from_isocentre(lat, points_mm)[:, 0]
    q = 1 + a * b / (AP_MM * LAT_MM)
    closed = np.c_[-b * (1 - a / LAT_MM) / q, a * (1 + b / AP_MM) / q]
    np.testing.assert_allclose(closed, points_mm[:, :2], atol=1e-9)


def test_a_gap_is_the_difference_of_heights(ap, lat):
    uv_ap, uv_lat = ap.project(np.array([20.0, 30, 50])), lat.project(np.array([20.0, 30, 46]))
    assert triangulate(ap, lat, uv_ap, uv_lat).gap_mm == pytest.approx(4.0)


@pytest.mark.parametrize("change", [lambda c: c, SlotScan.flipped_u, SlotScan.flipped_v], ids=["plain", "u", "v"])
def test_projecting_along_a_ray_gives_its_pixel_and_the_source_is_in_its_row(ap, change):
    uv, camera = np.random.default_rng(0).uniform(-50, 900, (30, 2)), change(ap)
    rays = camera.backproject(uv)
    for distance_mm in (100, 900, 1500):
        np.testing.assert_allclose(camera.project(rays.origin_mm + distance_mm * rays.directions), uv, atol=1e-8)
    np.testing.assert_allclose(camera.project(rays.origin_mm + 500 * camera.normal * -1)[:, 1], uv[:, 1], atol=1e-9)
    np.testing.assert_allclose(rays.directions @ camera.v_axis, 0, atol=1e-12)


def test_heights_are_not_magnified_and_widths_are(ap):
    depths = np.array([[200.0, 0, 0], [0, 0, 0], [-200, 0, 0]])
    upper, lower, aside = (mm_from_isocentre(ap, depths + shift) for shift in ([0, 0, 100.0], [0, 0, 0], [0, 1.0, 0]))
    np.testing.assert_allclose(lower[:, 1] - upper[:, 1], 100.0)
    np.testing.assert_allclose(aside[:, 0] - lower[:, 0], AP_MM / (AP_MM - depths[:, 0]))
    np.testing.assert_allclose(ap.magnification(depths), np.c_[AP_MM / (AP_MM - depths[:, 0]), np.ones(3)])


def test_the_row_of_a_cone_beam_s_source_is_that_of_the_slot_scan(ap, points_mm):
    cone = at_isocentre((1, 0, 0), (0, 1, 0), AP_MM, ConeBeam)
    level = points_mm * [1, 1, 0]
    np.testing.assert_allclose(ap.project(level), cone.project(level), atol=1e-9)
    assert np.abs(ap.project(points_mm) - cone.project(points_mm)).max() > 5


def test_far_sources_make_both_kinds_the_same(points_mm):
    differences = []
    for distance_mm in (1e4, 1e5, 1e6):
        slot, cone = (at_isocentre((1, 0, 0), (0, 1, 0), distance_mm, kind) for kind in (SlotScan, ConeBeam))
        differences.append(np.abs(slot.project(points_mm) - cone.project(points_mm)).max())
    np.testing.assert_allclose(np.array(differences[:-1]) / differences[1:], 10, rtol=0.05)
    assert differences[-1] < 0.05


def test_the_plane_of_the_spacing_is_free(ap, points_mm):
    """The same scanner with its spacing stated at the detector, 380 mm behind the isocentre."""
    scale = (AP_MM + 380) / AP_MM
    origin = ap.source_mm + scale * (ap.detector_origin_mm - ap.source_mm) * [1, 1, 0]
    origin[2] = ap.detector_origin_mm[2]
    beyond = ap.replace(detector_origin_mm=origin, pixel_spacing_mm=(0.5 * scale, 0.4), source_isocentre_mm=AP_MM)
    np.testing.assert_allclose(beyond.project(points_mm), ap.project(points_mm), atol=1e-8)
    for spacing, own in zip(beyond.grid_spacing_mm(0.834), ap.grid_spacing_mm(0.834), strict=True):
        assert own == pytest.approx(0.834 / 1.3)
        assert spacing == pytest.approx(own * (scale if spacing > own + 0.01 else 1))
    np.testing.assert_allclose(beyond.grid_spacing_mm(1.0) / beyond.magnification(np.zeros(3)), 1 / 1.3)


def test_the_height_of_the_source_says_nothing(ap, points_mm):
    higher = ap.replace(source_mm=ap.source_mm - 321.0 * ap.v_axis)
    np.testing.assert_allclose(higher.project(points_mm), ap.project(points_mm), atol=1e-9)
    np.testing.assert_allclose(higher.source_mm, ap.source_mm, atol=1e-9)


def test_mirrored_resampled_and_cut_images_move_their_pixels(ap, points_mm):
    u, v = ap.project(points_mm).T
    columns, rows = ap.size_px
    np.testing.assert_allclose(ap.flipped_u().project(points_mm), np.c_[columns - 1 - u, v], atol=1e-8)
    np.testing.assert_allclose(ap.flipped_v().project(points_mm), np.c_[u, rows - 1 - v], atol=1e-8)
    coarse = ap.resampled(size_px=(100, 200), pixel_spacing_mm=(1.0, 2.0), centre_uv_px=np.array([300.0, 400.0]))
    expected = (np.c_[u, v] - [300, 400]) * [0.5, 0.2] + [49.5, 99.5]
    np.testing.assert_allclose(coarse.project(points_mm), expected, atol=1e-8)
    cut = Crop(40, 250, 64, 48).camera(ap)
    np.testing.assert_allclose(cut.project(points_mm), np.c_[u - 40, v - 250], atol=1e-8)
    assert isinstance(cut, SlotScan) and cut.size_px == (64, 48)


def test_what_is_no_slot_scan_is_refused(ap):
    with pytest.raises(InputError, match="turned by 90 deg"):
        ap.transposed()
    for wrong in (0.0, -900.0, np.nan):
        with pytest.raises(InputError, match="source_isocentre_mm"):
            ap.replace(source_isocentre_mm=wrong)
