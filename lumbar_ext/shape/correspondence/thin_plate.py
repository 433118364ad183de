"""Thin-plate interpolation in space: the smoothest field through given displacements at seed points.

In three dimensions the radial function of least bending energy is phi(r) = r, completed by an affine part (Duchon
1977; Bookstein, IEEE TPAMI 11 (1989) for the plane).
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import lu_factor, lu_solve
from scipy.spatial.distance import cdist


def thin_plate_matrix(points_mm: np.ndarray, seeds_mm: np.ndarray) -> np.ndarray:
    """Weights [V, S] that interpolate values given at seeds [S, 3] to points [V, 3]; every row sums to one.

    Raises:
        ValueError: if the seeds do not span space, which needs four that are not in one plane.
    """
    count = len(seeds_mm)
    if np.linalg.matrix_rank(seeds_mm - seeds_mm.mean(axis=0)) < 3:
        raise ValueError(f"thin-plate interpolation needs seeds that span space, found {count} in a plane")
    # One common scale keeps the affine block as large as the radial one.
    scale = np.ptp(seeds_mm, axis=0).max()
    system = np.zeros((count + 4, count + 4))
    system[:count, :count] = cdist(seeds_mm, seeds_mm) / scale
    system[:count, count:] = _affine(seeds_mm / scale)
    system[count:, :count] = system[:count, count:].T
    basis = np.concatenate([cdist(points_mm, seeds_mm) / scale, _affine(points_mm / scale)], axis=1)
    # The system is symmetric, so the transposed solve is the solve.
    return lu_solve(lu_factor(system), basis.T)[:count].T


def _affine(points: np.ndarray) -> np.ndarray:
    """Columns 1, x, y, z."""
    return np.concatenate([np.ones((len(points), 1)), points], axis=1)
