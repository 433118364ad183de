"""Set-ups: canonical orientation, distances, and a spine that is in the picture."""

import numpy as np
import pytest

from lumbar_ext.simulation.imaging.acquisition import sample_geometry, with_calibration_noise
from lumbar_ext.simulation.ranges import GeometryParameters

SPINE = np.stack([np.zeros(9), np.zeros(9), np.linspace(-90, 90, 9)], axis=1)


def geometries(count=30, **changes):
    rng = np.random.default_rng(0)
    return [sample_geometry(rng, SPINE, GeometryParameters(**changes), size_px=128) for _ in range(count)]


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
            assert 1.15 < abs(float(camera.magnification(np.zeros(3)))) < 1.75
        assert geometry.angle_deg > 74


def test_the_panel_is_moved_to_show_the_spine():
    far = SPINE + np.array([0, 60, 120])
    geometry = sample_geometry(np.random.default_rng(0), far, GeometryParameters(), size_px=128)
    for camera in (geometry.ap, geometry.lat):
        uv = camera.project(far)
        assert uv.min() >= 0
        assert uv.max() <= 127


@pytest.mark.parametrize("sigma_mm", [0.0, 0.2])
def test_calibration_noise_moves_sources_by_its_size(sigma_mm):
    geometry = geometries(1)[0]
    rng = np.random.default_rng(0)
    moved = [with_calibration_noise(rng, geometry, sigma_mm).ap.source_mm - geometry.ap.source_mm for _ in range(200)]
    assert np.isclose(np.std(moved), sigma_mm, rtol=0.15)
