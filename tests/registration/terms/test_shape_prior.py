"""The prior of coefficients and how the levels of one person depend on each other in it."""

import numpy as np
import pytest

from lumbar_ext.registration.terms.shape_prior import ShapePrior, resemblance_prior


def test_independent_coefficients_are_standard_normal():
    prior, b = ShapePrior(), np.arange(6.0).reshape(2, 3)
    assert prior.energy(b) == (b**2).sum()
    hessian = np.zeros((2, 5, 2, 5))
    prior.add_to(hessian, 2.0, 2)
    np.testing.assert_allclose(hessian.reshape(10, 10), np.diag([0, 0, 2, 2, 2, 0, 0, 2, 2, 2]))


def test_alike_vertebrae_cost_less_than_unlike_ones(shapes):
    """The toy levels share their modes, so equal coefficients are an equal deviation."""
    prior, one = resemblance_prior(shapes, 0.5), np.zeros((5, 8))
    one[:, 1] = 1.0
    unlike = one * np.array([1, -1, 1, -1, 1])[:, None]
    assert prior.energy(one) < 0.6 * 5 < 1.5 * 5 < prior.energy(unlike)


def test_covariance_of_a_pair_is_the_correlation(shapes):
    prior = resemblance_prior(shapes[:2], 0.3)
    covariance = np.linalg.inv(prior.model.reshape(16, 16)).reshape(2, 8, 2, 8)
    np.testing.assert_allclose(covariance[0, :, 1], 0.3 * np.eye(8), atol=0.02)
    np.testing.assert_allclose(covariance[0, :, 0], np.eye(8), atol=0.02)
    np.testing.assert_allclose(np.linalg.inv(prior.free_form), [[1, 0.3], [0.3, 1]])


def test_energy_slope_and_hessian_agree(shapes):
    prior, b = resemblance_prior(shapes, 0.4), np.random.default_rng(0).normal(size=(5, 11))
    hessian = np.zeros((5, 13, 5, 13))
    prior.add_to(hessian, 1.0, 2)
    matrix = hessian[:, 2:, :, 2:].reshape(55, 55)
    np.testing.assert_allclose(prior.slope(b).ravel(), matrix @ b.ravel(), atol=1e-9)
    assert prior.energy(b) == pytest.approx(b.ravel() @ matrix @ b.ravel())


def test_fewer_coefficients_are_the_first_ones(shapes):
    prior, b = resemblance_prior(shapes, 0.4), np.zeros((5, 8))
    b[:, :3] = np.random.default_rng(0).normal(size=(5, 3))
    assert prior.energy(b[:, :3]) == pytest.approx(prior.energy(b))


def test_correlation_must_make_sense(shapes):
    assert resemblance_prior(shapes, 0.0).model is None
    with pytest.raises(ValueError, match="correlation must be in"):
        resemblance_prior(shapes, 1.0)
