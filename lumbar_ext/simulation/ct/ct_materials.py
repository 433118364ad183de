"""From CT numbers to volume shares of materials.

A voxel is a mixture of the two neighbours among air, fat, soft tissue, dense bone and titanium whose CT numbers lie
around its own, so that at the energy of the CT it attenuates exactly as its CT number says (Schneider et al. 1996 split
tissues in the same way).
"""

from __future__ import annotations

import numpy as np

from lumbar_ext.compiled import compiled
from lumbar_ext.simulation.body.materials import MATERIALS, ct_number

AIR_HU = -1000.0  # by definition
# Below this a voxel counts as air: noise around the person must not add up along a ray.
_NOISE_HU = -950.0
_BY_CT_NUMBER = ("fat", "soft", "bone", "metal")

NODES_HU = np.float32([AIR_HU, *(ct_number(name) for name in _BY_CT_NUMBER)])
"""CT numbers of air and of the materials, increasing."""

NODE_MATERIALS = np.array([-1, *(MATERIALS.index(name) for name in _BY_CT_NUMBER)])
"""The index in `MATERIALS` of each node, -1 for air."""


@compiled()
def mixture(ct_number_hu, nodes_hu):
    """The node at or below a CT number, and the share of the next one; air for what is hardly denser than it."""
    if ct_number_hu < _NOISE_HU:
        return 0, 0.0
    lower = 0
    while lower < nodes_hu.shape[0] - 2 and ct_number_hu >= nodes_hu[lower + 1]:
        lower += 1
    share = (ct_number_hu - nodes_hu[lower]) / (nodes_hu[lower + 1] - nodes_hu[lower])
    return lower, min(max(share, 0.0), 1.0)
