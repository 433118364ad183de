"""Few points spread over many."""

from __future__ import annotations

import numpy as np

from lumbar_ext.compiled import compiled


@compiled()
def farthest_points(points, count, first=0):
    """Indices [count] of points [N, 3] float64: the first, and then each the one farthest from all before it."""
    chosen = np.full(count, first, dtype=np.int64)
    nearest = np.full(len(points), np.inf)
    for i in range(1, count):
        farthest, x, y, z = 0, points[chosen[i - 1], 0], points[chosen[i - 1], 1], points[chosen[i - 1], 2]
        for j in range(len(points)):
            squared = (points[j, 0] - x) ** 2 + (points[j, 1] - y) ** 2 + (points[j, 2] - z) ** 2
            nearest[j] = min(nearest[j], squared)
            if nearest[j] > nearest[farthest]:
                farthest = j
        chosen[i] = farthest
    return chosen


def spread_points(points_mm: np.ndarray, count: int) -> np.ndarray:
    """Indices of at most `count` points spread by farthest-point sampling, from the one farthest from the centroid."""
    first = np.argmax(((points_mm - points_mm.mean(axis=0)) ** 2).sum(axis=1))
    return farthest_points(points_mm, min(count, len(points_mm)), first)
