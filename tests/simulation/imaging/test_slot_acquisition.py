"""Films of a slot scanner show the spine, one row of both at one height."""

from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.geometry import SlotScan
from lumbar_ext.simulation.imaging.exposure import sample_exposures
from lumbar_ext.simulation.imaging.slot_acquisition import sample_slot_scans, scanned
from lumbar_ext.simulation.parameter_file import read_parameters
from lumbar_ext.simulation.ranges import SimulationParameters

SPINE_MM = np.random.default_rng(0).uniform([-70, -45, -110], [30, 45, 110], (40, 3))


@pytest.mark.parametrize("aside_mm", [0.0, 90.0], ids=["in the middle", "leaning"])
def test_both_films_show_all_points_at_equal_heights(aside_mm):
    points, rng = SPINE_MM + np.array([aside_mm, -aside_mm, 20.0]), np.random.default_rng(1)
    for _ in range(20):
        geometry = sample_slot_scans(rng, points, SimulationParameters())
        seen = [camera.project(points) for camera in (geometry.ap, geometry.lat)]
        np.testing.assert_allclose(seen[0][:, 1], seen[1][:, 1], atol=1e-6)
        for camera, uv in zip((geometry.ap, geometry.lat), seen, strict=True):
            assert isinstance(camera, SlotScan)
            assert (uv >= 0).all() and (uv <= np.array(camera.size_px) - 1).all()
            assert 900 <= camera.source_isocentre_mm <= 1000


def test_plain_films_fill_the_grid_and_long_ones_reach_beyond():
    plain = sample_slot_scans(np.random.default_rng(2), SPINE_MM, read_parameters("plain"))
    assert plain.ap.size_px == plain.lat.size_px == (512, 512)
    assert sample_slot_scans(np.random.default_rng(2), SPINE_MM, read_parameters("plain"), size_px=128).ap.size_px == (
        128,
        128,
    )
    defaults = SimulationParameters()
    long = replace(defaults, slot=replace(defaults.slot, film_height_mm=(1630.0, 1630.0)))
    assert sample_slot_scans(np.random.default_rng(2), SPINE_MM, long).ap.size_px[1] == round(1630 / (0.834 / 1.3))


def test_the_slit_stops_scatter_and_rows_share_the_beam():
    exposure = sample_exposures(np.random.default_rng(3), SimulationParameters().beam)["ap"]
    found = scanned(exposure, SimulationParameters().slot)
    assert found.scatter_ratio == pytest.approx(0.1 * exposure.scatter_ratio)
    assert found.heel == (exposure.heel[0], 0.0)
