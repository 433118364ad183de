"""Resampling puts values where they belong and lets no alias through."""

import numpy as np
import pytest

from lumbar_ext.transforms.resampling import GridMapping, inside, resample


def sample(function, scale, offset, size_px):
    u = scale[0] * np.arange(size_px[0]) + offset[0]
    v = scale[1] * np.arange(size_px[1]) + offset[1]
    return function(u[None, :], v[:, None]).astype(np.float32)


@pytest.mark.parametrize("scale", [(1.0, 1.0), (6.004, 6.004), (1.3, 2.7), (0.31, 0.9)])
def test_a_linear_image_is_reproduced_at_any_ratio(scale):
    def plane(u, v):
        return 3.0 * u - 2.0 * v + 5.0

    source = sample(plane, (1, 1), (0, 0), (400, 360))
    mapping = GridMapping(scale, (40.3, 41.7))
    found = resample(source, mapping, (40, 30), outside=-1.0)
    np.testing.assert_allclose(found, sample(plane, scale, mapping.offset, (40, 30)), atol=2e-3)


@pytest.mark.parametrize("scale", [(6.004, 5.7), (1.5, 1.0), (0.4, 0.5)])
def test_a_smooth_image_keeps_its_phase(scale):
    def wave(u, v):
        return np.sin(2 * np.pi * u / 120 + 0.3) * np.cos(2 * np.pi * v / 150)

    mapping = GridMapping(scale, (30.25, 33.1))
    found = resample(sample(wave, (1, 1), (0, 0), (500, 480)), mapping, (60, 50), outside=0.0)
    np.testing.assert_allclose(found, sample(wave, scale, mapping.offset, (60, 50)), atol=0.02)


def test_what_the_target_cannot_show_is_filtered_out():
    stripes = np.tile(np.array([0.0, 2.0], np.float32), (300, 150))
    found = resample(stripes, GridMapping((6.004, 6.004), (10, 10)), (45, 45), outside=0.0)
    np.testing.assert_allclose(found, 1.0, atol=0.01)


def test_values_stay_in_range_and_the_outside_is_filled():
    step = np.zeros((50, 50), np.float32)
    step[:, 25:] = 1.0
    mapping = GridMapping((0.5, 0.5), (-5.0, -5.0))
    found = resample(step, mapping, (120, 120), outside=-7.0)
    covered = inside(mapping, (120, 120), (50, 50))
    assert (found[~covered] == -7.0).all()
    assert found[covered].min() == 0.0 and found[covered].max() == 1.0
    assert covered.sum() == 101 * 101


def test_inverse_mapping():
    mapping = GridMapping((2.0, 0.5), (3.0, -1.0))
    points = np.random.default_rng(0).random((5, 2))
    back = (points * mapping.scale + mapping.offset) * mapping.inverse().scale + mapping.inverse().offset
    np.testing.assert_allclose(back, points, atol=1e-12)
