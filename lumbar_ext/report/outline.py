"""Outlines of silhouettes as polygons for vector graphics."""

from __future__ import annotations

import numpy as np
from contourpy import contour_generator

# border points that the running mean spans: steps of single pixels disappear, corners of several stay
_SMOOTHING = 5


def mask_outlines(mask: np.ndarray) -> list[np.ndarray]:
    """The closed borders of a mask's pixels, outer ones and those of holes.

    Args:
        mask: bool [rows, columns].

    Returns:
        Polygons [N, 2] of (u, v) in pixels, smoothed over five border points so that pixel steps do not show.
    """
    # the border of padding closes what reaches the image's edge; a closed line repeats its first point
    lines = contour_generator(z=np.pad(mask, 1).astype(np.float32)).lines(0.5)
    return [_smoothed(line[:-1] - 1) for line in lines]


def _smoothed(points: np.ndarray) -> np.ndarray:
    """Running mean of a closed polygon."""
    if len(points) < 2 * _SMOOTHING:
        return points.astype(np.float64)
    half = _SMOOTHING // 2
    return np.mean([np.roll(points, shift, axis=0) for shift in range(-half, half + 1)], axis=0)
