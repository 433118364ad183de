"""Agreement of a predicted with a true decomposition image: Dice, PSNR, SSIM (as Yu et al. report them)."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from lumbar_ext.errors import InputError

# a decomposition value of 0.02 is half a millimetre of bone
BONE_THRESHOLD = 0.02
SSIM_SIGMA_PX = 1.5  # Wang et al. 2004, as are K1 and K2
SSIM_K1, SSIM_K2 = 0.01, 0.03  # shares of the range whose squares keep the ratio finite


def _check(prediction: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if prediction.shape != truth.shape:
        raise InputError(f"images differ in shape: {prediction.shape} and {truth.shape}")
    return np.asarray(prediction, np.float64), np.asarray(truth, np.float64)


def dice(prediction: np.ndarray, truth: np.ndarray, threshold: float = BONE_THRESHOLD) -> float:
    """Dice overlap of the pixels above `threshold`; 1 when both are empty."""
    a, b = _check(prediction, truth)
    a, b = a > threshold, b > threshold
    total = a.sum() + b.sum()
    return float(2 * (a & b).sum() / total) if total else 1.0


def psnr_db(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB for images of range [0, 1]; infinite for equal images.

    Args:
        mask: bool, only these pixels count (the true bone, for a value that the black background does not raise).
    """
    a, b = _check(prediction, truth)
    squares = (a - b) ** 2
    error = squares[mask].mean() if mask is not None else squares.mean()
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def ssim_map(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Structural similarity (Wang et al. 2004) around each pixel: gaussian window of sigma 1.5 px, range [0, 1]."""
    a, b = _check(prediction, truth)
    mean_a, mean_b, square_a, square_b, product = (
        gaussian_filter(x, SSIM_SIGMA_PX, truncate=3.5) for x in (a, b, a * a, b * b, a * b)
    )
    variance_a, variance_b, covariance = square_a - mean_a**2, square_b - mean_b**2, product - mean_a * mean_b
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return numerator / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))


def ssim(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean structural similarity.

    Args:
        mask: bool, only windows centred on these pixels count (the true bone).
    """
    similarity = ssim_map(prediction, truth)
    return float((similarity if mask is None else similarity[mask]).mean())
