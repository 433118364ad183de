"""What the channels of the first network's tensor [B, 37, H/4, W/4] are.

====== =====================================================================================
0-15   decomposition DRR, pixel-unshuffled by 4
16-20  centre heatmaps of L1..L5, probabilities
21-22  centre offset (u, v), cells
23-36  landmark offsets, seven times (u, v), cells, in the order of `anatomy.LANDMARKS`
====== =====================================================================================

Training targets append 37 (weight of the offsets at a cell) and 38-44 (one mask per landmark). A centre or landmark lies at
cell position + offset.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.networks.packing import Packing


class LumbarMaps(NamedTuple):
    """The parts of a packed tensor, each [B, channels, H/4, W/4] but `decomposition`, which is [B, 1, H, W]."""

    decomposition: Tensor
    heatmap: Tensor
    centre_offset: Tensor
    landmark_offsets: Tensor


LUMBAR_PACK = Packing(
    LumbarMaps,
    stride=4,
    counts={"heatmap": len(LEVELS), "centre_offset": 2, "landmark_offsets": 2 * len(LANDMARKS)},
    target_counts={"cell_weight": 1, "landmark_mask": len(LANDMARKS)},
)
