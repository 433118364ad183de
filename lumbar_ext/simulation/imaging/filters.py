"""Gaussian blurs of pictures: narrow ones by convolution, wide ones on a coarse grid."""

from __future__ import annotations

import numpy as np

from lumbar_ext.compiled import compiled

_COARSE_MM = 6.0  # blurs this wide are computed on a coarser grid
_REACH = 3.0  # standard deviations


def gaussian_blur(image: np.ndarray, sigma_px: float | tuple[float, float]) -> np.ndarray:
    """The image convolved with a gaussian, its edge pixels repeated outside; float32 [rows, columns].

    Args:
        image: [rows, columns].
        sigma_px: standard deviation, one or (along rows' index, along columns' index).
    """
    image = np.ascontiguousarray(image, dtype=np.float32)
    sigma_v, sigma_u = np.broadcast_to(sigma_px, 2)
    down, blurred = np.zeros_like(image), np.zeros_like(image)
    _convolve_columns(image, _taps(float(sigma_v)), down)
    _convolve_rows(down, _taps(float(sigma_u)), blurred)
    return blurred


@compiled(fastmath=True)
def _convolve_columns(image, taps, out):
    """Adds the image convolved along its columns to out."""
    rows, reach = image.shape[0], taps.shape[0] // 2
    for row in range(rows):
        for k in range(taps.shape[0]):
            source = image[min(max(row + k - reach, 0), rows - 1)]
            for column in range(image.shape[1]):
                out[row, column] += taps[k] * source[column]


@compiled(fastmath=True)
def _convolve_rows(image, taps, out):
    """Adds the image convolved along its rows to out."""
    rows, columns = image.shape
    reach = taps.shape[0] // 2
    padded = np.empty(columns + 2 * reach, dtype=image.dtype)
    for row in range(rows):
        padded[reach : reach + columns] = image[row]
        padded[:reach] = image[row, 0]
        padded[reach + columns :] = image[row, columns - 1]
        for k in range(taps.shape[0]):
            for column in range(columns):
                out[row, column] += taps[k] * padded[column + k]


def smooth(image: np.ndarray, sigma_mm: float, spacing_mm: float) -> np.ndarray:
    """A wide gaussian blur, computed on a coarse grid; float32 [rows, columns]."""
    factor = max(1, min(int(min(_COARSE_MM, sigma_mm / 3) / spacing_mm), min(image.shape) // 8))
    rows, columns = (n // factor * factor for n in image.shape)
    coarse = image[:rows, :columns].reshape(rows // factor, factor, columns // factor, factor).mean((1, 3))
    coarse = gaussian_blur(coarse, sigma_mm / (spacing_mm * factor))
    v, u = (_between_cells(n, factor, cells) for n, cells in zip(image.shape, coarse.shape, strict=True))
    return v @ coarse @ u.T


def _taps(sigma: float) -> np.ndarray:
    """A gaussian at whole pixels, float32, that sums to 1."""
    reach = int(np.ceil(_REACH * sigma))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-6)) ** 2)
    return (taps / taps.sum()).astype(np.float32)


def _between_cells(n: int, factor: int, cells: int) -> np.ndarray:
    """[n, cells] float32 weights that read pixels linearly between the centres of cells of `factor` pixels."""
    place = np.clip((np.arange(n) + 0.5) / factor - 0.5, 0, cells - 1)
    return np.maximum(1 - np.abs(place[:, None] - np.arange(cells)), 0.0).astype(np.float32)
