"""Resampling an image from one axis-aligned grid to another, without aliasing and without a shift.

Both axes are treated apart: along each, a target sample is a weighted sum of source samples. The weights are Keys'
cubic convolution kernel (a = -1/2), widened by the ratio of the spacings where the target is coarser, which makes it a
low-pass filter; they are corrected to reproduce linear images exactly, so that no resampled edge is displaced.

References:
    Keys R. Cubic convolution interpolation for digital image processing. IEEE Trans ASSP 29 (1981) 1153-1160.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

_KEYS_A = -0.5  # of the cubic kernel, Keys 1981
_KEYS_HALF_WIDTH = 2.0  # samples


@dataclass(frozen=True)
class GridMapping:
    """Where the samples of a target grid lie in a source grid, along each axis: `source = scale * target + offset`.

    Args:
        scale: (u, v) source pixels a target pixel, positive.
        offset: (u, v) source pixel coordinates of target pixel (0, 0).
    """

    scale: tuple[float, float]
    offset: tuple[float, float]

    def inverse(self) -> GridMapping:
        """The mapping from source to target."""
        scale = tuple(1 / s for s in self.scale)
        return GridMapping(scale, tuple(-o * s for o, s in zip(self.offset, scale, strict=True)))


def resample(
    image: np.ndarray, source_from_target: GridMapping, size_px: tuple[int, int], outside: float
) -> np.ndarray:
    """Reads `image` on another grid.

    Values stay within the range of `image`: the overshoot of the cubic kernel at sharp edges is cut off.

    Args:
        image: [v, u] on the source grid.
        source_from_target: places the target samples in the source grid.
        size_px: (columns, rows) of the target.
        outside: the value of target samples whose centre lies outside every source pixel.

    Returns:
        float32 [rows, columns] on the target grid.
    """
    rows, columns = image.shape
    (scale_u, scale_v), (offset_u, offset_v) = source_from_target.scale, source_from_target.offset
    along_u = _weights(size_px[0], columns, scale_u, offset_u)
    along_v = _weights(size_px[1], rows, scale_v, offset_v)
    image = np.asarray(image, dtype=np.float32)
    result = (along_u @ (along_v @ image).T).T
    np.clip(result, image.min(), image.max(), out=result)
    result[~inside(source_from_target, size_px, (columns, rows))] = outside
    return np.ascontiguousarray(result)


def inside(source_from_target: GridMapping, size_px: tuple[int, int], source_size_px: tuple[int, int]) -> np.ndarray:
    """bool [rows, columns]: whether the centre of each target pixel lies within a source pixel."""
    within = []
    for axis in range(2):
        source = source_from_target.scale[axis] * np.arange(size_px[axis]) + source_from_target.offset[axis]
        within.append((source >= -0.5 - 1e-9) & (source <= source_size_px[axis] - 0.5 + 1e-9))
    return within[1][:, None] & within[0]


def _weights(target_size: int, source_size: int, scale: float, offset: float) -> sparse.csr_array:
    """Sparse [target_size, source_size] float32; rows sum to one. Beyond the border the edge sample is repeated."""
    centres = scale * np.arange(target_size) + offset
    width = max(1.0, scale)
    reach = _KEYS_HALF_WIDTH * width
    taps = np.ceil(centres - reach)[:, None] + np.arange(int(np.floor(2 * reach)) + 1)
    distance = taps - centres[:, None]
    weights = _reproducing_linear(_keys(distance / width), distance, np.maximum(0, 1 - np.abs(distance) / reach))
    columns = np.clip(taps, 0, source_size - 1).astype(np.int64)
    rows = np.repeat(np.arange(target_size), taps.shape[1])
    matrix = sparse.coo_array((weights.ravel(), (rows, columns.ravel())), shape=(target_size, source_size))
    return matrix.tocsr().astype(np.float32)


def _reproducing_linear(weights: np.ndarray, distance: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Adds the least `window * (a + b distance)` that makes each row sum to one with its centroid at distance zero.

    A kernel widened by a ratio that is not a whole number misses both, the centroid by up to 0.02 of a source pixel.
    """
    weights = weights / weights.sum(axis=1, keepdims=True)
    m0, m1, m2 = ((window * distance**power).sum(axis=1) for power in range(3))
    centroid = (weights * distance).sum(axis=1)
    slope = -centroid / (m2 - m1 * m1 / m0)
    level = -slope * m1 / m0
    return weights + window * (level[:, None] + slope[:, None] * distance)


def _keys(t: np.ndarray) -> np.ndarray:
    t = np.abs(t)
    near = ((_KEYS_A + 2) * t - (_KEYS_A + 3)) * t * t + 1
    far = ((_KEYS_A * t - 5 * _KEYS_A) * t + 8 * _KEYS_A) * t - 4 * _KEYS_A
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))
