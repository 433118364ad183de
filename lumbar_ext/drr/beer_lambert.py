"""Beer-Lambert: from path length in bone to the value of a digitally reconstructed radiograph (DRR), and back.

The decomposition is `I = 1 - exp(-mu t)`: 0 where a ray meets no bone, towards 1 with thickness. Bone is homogeneous,
800 HU, as in Yu et al. (arXiv 2503.14573).
"""

from __future__ import annotations

import numpy as np

MU_WATER_PER_MM = 0.0227
"""Linear attenuation of water at 50 keV (NIST XCOM, 0.227 /cm): the effective energy of a 78 kV beam behind a trunk."""

MU_BONE_800HU_PER_MM = MU_WATER_PER_MM * (1 + 800 / 1000)
"""Linear attenuation of homogeneous bone of 800 HU, from the definition of the Hounsfield unit."""


def drr_from_path_length(path_length_mm: np.ndarray, mu_per_mm: float = MU_BONE_800HU_PER_MM) -> np.ndarray:
    """DRR values in [0, 1) of path lengths in mm, same shape and dtype."""
    return -np.expm1(-mu_per_mm * path_length_mm)


def path_length_from_drr(drr: np.ndarray, mu_per_mm: float = MU_BONE_800HU_PER_MM) -> np.ndarray:
    """Path lengths in mm of DRR values in [0, 1); values outside are clipped to [0, 1 - 1e-6]."""
    return -np.log1p(-np.clip(drr, 0.0, 1 - 1e-6)) / mu_per_mm
