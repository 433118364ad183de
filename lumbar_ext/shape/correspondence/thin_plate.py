"""Thin-plate interpolation in space: the smoothest field through given displacements at seed points.

In three dimensions the radial function of least bending energy is phi(r) = r, completed by an affine part (Duchon
1977; Bookstein, IEEE TPAMI 11 (1989) for the plane).
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import RBFInterpolator


def thin_plate_matrix(points_mm: np.ndarray, seeds_mm: np.ndarray) -> np.ndarray:
    """Weights [V, S] that interpolate values given at seeds [S, 3] to points [V, 3]; every row sums to one.

    Raises:
        ValueError: if the seeds do not span space, which needs four that are not in one plane.
    """
    count = len(seeds_mm)
    if np.linalg.matrix_rank(seeds_mm - seeds_mm.mean(axis=0)) < 3:
        raise ValueError(f"thin-plate interpolation needs seeds that span space, found {count} in a plane")
    # Interpolating the values 1 at one seed and 0 at the others gives that seed's column.
    return RBFInterpolator(seeds_mm, np.eye(count), kernel="linear", degree=1)(points_mm)
