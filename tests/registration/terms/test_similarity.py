import numpy as np
import pytest

from lumbar_ext.registration.loss.kernels import penalty
from lumbar_ext.registration.terms.similarity import AbsoluteError, Huber, SquaredError

RESIDUALS = np.array([-0.5, -0.031, -0.01, 0.002, 0.02, 0.7])


@pytest.mark.parametrize("similarity", [AbsoluteError(), SquaredError(), Huber(), Huber(scale=0.2)])
def test_compiled_penalty_agrees(similarity):
    compiled = [penalty(r, similarity.code, similarity.scale) for r in RESIDUALS]
    np.testing.assert_allclose(similarity.penalty(RESIDUALS), compiled, rtol=1e-12)


@pytest.mark.parametrize("similarity", [AbsoluteError(), SquaredError(), Huber()])
def test_reweighting_is_the_slope_over_the_residual(similarity):
    step = 1e-7
    slope = (similarity.penalty(RESIDUALS + step) - similarity.penalty(RESIDUALS - step)) / (2 * step)
    np.testing.assert_allclose(similarity.reweighting(RESIDUALS) * RESIDUALS, slope, rtol=1e-5)


def test_huber_scale_must_be_positive():
    with pytest.raises(ValueError, match="scale must be positive"):
        Huber(scale=0)
