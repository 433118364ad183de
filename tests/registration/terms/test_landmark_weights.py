import numpy as np
import pytest

from lumbar_ext.registration.terms.landmark_weights import LandmarkWeights


def test_formula_by_hand():
    image = LandmarkWeights(k=2.0, sigma_px=5.0, radius_px=20.0).image([[30.0, 40.0], [33.0, 40.0]], (80, 90))
    assert image[40, 30] == pytest.approx(1 + 2 * (1 + np.exp(-9 / 50)))
    assert image[36, 33] == pytest.approx(1 + 2 * (np.exp(-25 / 50) + np.exp(-16 / 50)))
    assert image[79, 89] == 1


def test_gaussians_end_at_the_radius():
    image = LandmarkWeights(k=1.0, sigma_px=20.0, radius_px=10.0).image([[50.0, 50.0]], (100, 100))
    rows, columns = np.indices(image.shape)
    np.testing.assert_array_equal(image > 1, np.hypot(columns - 50, rows - 50) <= 10)


def test_landmarks_outside_and_unknown_ones_are_harmless():
    image = LandmarkWeights().image([[-100, 5], [500, 500], [np.nan, 3], [-5, -5]], (30, 40))
    assert image.shape == (30, 40) and image[0, 0] > 1 and image[-1, -1] == 1


def test_zero_k_is_plain():
    assert (LandmarkWeights(k=0).image([[5, 5]], (10, 10)) == 1).all()
    with pytest.raises(ValueError, match="k must be >= 0"):
        LandmarkWeights(k=-1)
