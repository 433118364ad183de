"""The world frame (X front, Y left, Z up) and the axes in which other programs want the same points.

All are right-handed and share their origin with the world; a change of axes only reorders and negates coordinates.

- LPS: left, posterior, superior. DICOM, ITK, and what 3D Slicer takes mesh and markups files for.
- RAS: right, anterior, superior. NIfTI.
- glTF: X to the person's left, Y up, Z to the front.
"""

from __future__ import annotations

import numpy as np

LPS_FROM_WORLD = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])  # world is X front, Y left, Z up
RAS_FROM_WORLD = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # right, anterior, superior
# X to the person's left, Y up, Z to the front: glTF 2.0
GLTF_FROM_WORLD = np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])


def lps_from_world(points_mm: np.ndarray) -> np.ndarray:
    """Points [..., 3] of the world in LPS."""
    return np.asarray(points_mm) @ LPS_FROM_WORLD.T


def world_from_lps(points_mm: np.ndarray) -> np.ndarray:
    """Points [..., 3] in LPS in the world."""
    return np.asarray(points_mm) @ LPS_FROM_WORLD
