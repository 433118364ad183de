"""From CT numbers to volume shares of materials.

A voxel is a mixture of the two neighbours among air, fat, soft tissue, dense bone and titanium whose CT numbers lie
around its own, so that at the energy of the CT it attenuates exactly as its CT number says (Schneider et al. 1996 split
tissues in the same way).
"""

from __future__ import annotations

import numpy as np

from lumbar_ext.simulation.materials import ct_number

_BY_CT_NUMBER = ("fat", "soft", "bone", "metal")
_AIR_HU = -1000.0
# Below this a voxel counts as air: noise around the person must not add up along a ray.
_NOISE_HU = -950.0


def material_share(ct_numbers_hu: np.ndarray, material: str) -> np.ndarray:
    """Volume share of one of `MATERIALS` in voxels, float32 of the same shape; what all four leave of 1 is air.

    Args:
        ct_numbers_hu: Hounsfield units.
        material: its name.
    """
    nodes = [_AIR_HU, *(ct_number(name) for name in _BY_CT_NUMBER)]
    values = np.where(ct_numbers_hu < _NOISE_HU, np.float32(_AIR_HU), ct_numbers_hu)
    tent = np.zeros(len(nodes))
    tent[1 + _BY_CT_NUMBER.index(material)] = 1.0
    return np.interp(values, nodes, tent).astype(np.float32)
