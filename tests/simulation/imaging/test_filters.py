"""Gaussian blurs against scipy's and against the error function."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from lumbar_ext.simulation.imaging.filters import gaussian_blur, smooth


@pytest.mark.parametrize("sigma", [0.4, 2.3, (1.5, 0.6)])
def test_the_blur_is_scipys(sigma):
    image = np.random.default_rng(0).standard_normal((40, 56)).astype(np.float32)
    reach = [int(np.ceil(3 * s)) for s in np.broadcast_to(sigma, 2)]
    expected = gaussian_filter(image, sigma, mode="nearest", radius=reach)
    assert np.allclose(gaussian_blur(image, sigma), expected, atol=1e-5)


def test_no_width_changes_nothing():
    image = np.random.default_rng(0).standard_normal((9, 9)).astype(np.float32)
    assert np.array_equal(gaussian_blur(image, 0.0), image)


@pytest.mark.parametrize("spacing", [0.834, 2.0])
def test_smooth_keeps_constants(spacing):
    assert np.allclose(smooth(np.full((90, 90), 3.0, np.float32), 30.0, spacing), 3.0, atol=1e-5)


def test_smooth_spreads_a_step():
    step = np.zeros((120, 120), np.float32)
    step[:, 60:] = 1
    blurred = smooth(step, 20.0, 1.0)
    assert blurred.shape == step.shape
    place = np.array([30, 40, 60, 75, 90])
    assert np.allclose(blurred[60, place], norm.cdf((place - 59.5) / 20), atol=0.04)
