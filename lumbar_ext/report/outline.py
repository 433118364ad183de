"""Outlines of silhouettes as polygons for vector graphics."""

from __future__ import annotations

import numpy as np

_SMOOTHING = 5


def mask_outlines(mask: np.ndarray) -> list[np.ndarray]:
    """The closed borders of a mask's pixels, outer ones and those of holes.

    Args:
        mask: bool [rows, columns].

    Returns:
        Polygons [N, 2] of (u, v) in pixels, smoothed over five border points so that pixel steps do not show.
    """
    padded = np.pad(mask, 1)
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}
    # Each border edge runs with the inside to its right: along rows below and above, along columns left and right.
    for inside, neighbour, begin, end in (
        (padded[1:-1, 1:-1], padded[:-2, 1:-1], (0, 0), (0, 1)),
        (padded[1:-1, 1:-1], padded[1:-1, 2:], (0, 1), (1, 1)),
        (padded[1:-1, 1:-1], padded[2:, 1:-1], (1, 1), (1, 0)),
        (padded[1:-1, 1:-1], padded[1:-1, :-2], (1, 0), (0, 0)),
    ):
        for row, column in np.argwhere(inside & ~neighbour).tolist():
            start = (row + begin[0], column + begin[1])
            following.setdefault(start, []).append((row + end[0], column + end[1]))
    return [_smoothed(np.array(loop)[:, ::-1] - 0.5) for loop in _loops(following)]


def _loops(following: dict[tuple[int, int], list[tuple[int, int]]]) -> list[list[tuple[int, int]]]:
    loops = []
    while following:
        start = next(iter(following))
        loop, corner = [], start
        while corner in following:
            loop.append(corner)
            ends = following[corner]
            step = ends.pop()
            if not ends:
                del following[corner]
            corner = step
        loops.append(loop)
    return loops


def _smoothed(points: np.ndarray) -> np.ndarray:
    """Running mean of a closed polygon."""
    if len(points) < 2 * _SMOOTHING:
        return points.astype(np.float64)
    half = _SMOOTHING // 2
    return np.mean([np.roll(points, shift, axis=0) for shift in range(-half, half + 1)], axis=0)
