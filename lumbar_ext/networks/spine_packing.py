"""What the channels of the second-generation network's tensor [B, 111, H/8, W/8] are.

======= ====================================================================================
0-63    decomposition DRR, pixel-unshuffled by 8
64-71   centre heatmaps of `anatomy.SPINE_LEVELS` (T12, L1..L5, L6, S1), probabilities
72-73   offset (u, v) to the centre of the vertebra that the cell lies on, cells
74      natural logarithm of that offset's scale, cells
75-88   offsets to its seven landmarks, (u, v) of each, cells, in the order of `anatomy.LANDMARKS`
89-95   log scale of each
96-105  offsets to the five landmarks of S1, (u, v) of each, cells, in the order of `anatomy.S1_LANDMARKS`
106-110 log scale of each
======= ====================================================================================

A position's error e (a distance) has the density exp(-e / b) / (2 pi b^2) in the plane, b being its scale: so
1 - (1 + r / b) exp(-r / b) is the probability that it lies within r.

Training targets have zeros for the log scales, and append 111-118 (one weight for each heatmap), 119 (weight of the centre
offset), 120-126 (of each landmark), 127-131 (of each landmark of S1), and 132-195, the weight of each decomposition pixel.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from lumbar_ext.anatomy import LANDMARKS, S1_LANDMARKS, SPINE_LEVELS
from lumbar_ext.networks.packing import Packing

# exp(-4) cells are 0.1 mm, exp(4) are 360 mm: beyond, a scale means nothing and its gradient only overflows
LOG_SCALE_RANGE = (-4.0, 4.0)
_STRIDE = 8  # pixels a cell


class SpineMaps(NamedTuple):
    """The parts of a packed tensor, [B, channels, H/8, W/8] each but `decomposition`, which is [B, 1, H, W]."""

    decomposition: Tensor
    heatmap: Tensor
    centre_offset: Tensor
    centre_scale: Tensor
    landmark_offsets: Tensor
    landmark_scales: Tensor
    s1_offsets: Tensor
    s1_scales: Tensor


SPINE_PACK = Packing(
    SpineMaps,
    stride=_STRIDE,
    counts={
        "heatmap": len(SPINE_LEVELS),
        "centre_offset": 2,
        "centre_scale": 1,
        "landmark_offsets": 2 * len(LANDMARKS),
        "landmark_scales": len(LANDMARKS),
        "s1_offsets": 2 * len(S1_LANDMARKS),
        "s1_scales": len(S1_LANDMARKS),
    },
    target_counts={
        "heatmap_weight": len(SPINE_LEVELS),
        "centre_weight": 1,
        "landmark_weight": len(LANDMARKS),
        "s1_weight": len(S1_LANDMARKS),
        "pixel_weight": _STRIDE**2,
    },
)
