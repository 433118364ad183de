"""How the second-generation network puts both tasks into ONE tensor [B, 111, H/8, W/8], and where a cell lies.

One tensor, because MONAI Deploy and `verify_net_in_out` take a single output. Channels:

======= ====================================================================================
0-63    decomposition DRR, pixel-unshuffled by 8 (`F.pixel_shuffle(., 8)` restores [B, 1, H, W])
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

Cell (column i, row j) covers the image pixels 8i..8i+7, 8j..8j+7; its centre is pixel 8i + 3.5, 8j + 3.5.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from lumbar_ext.anatomy import LANDMARKS, S1_LANDMARKS, SPINE_LEVELS
from lumbar_ext.errors import InputError

STRIDE = 8
# exp(-4) cells are 0.1 mm, exp(4) are 360 mm: beyond, a scale means nothing and its gradient only overflows
LOG_SCALE_RANGE = (-4.0, 4.0)
Positions = TypeVar("Positions", float, np.ndarray, Tensor)


def _after(part: slice, count: int) -> slice:
    return slice(part.stop, part.stop + count)


DECOMPOSITION = slice(0, STRIDE * STRIDE)
HEATMAP = _after(DECOMPOSITION, len(SPINE_LEVELS))
CENTRE_OFFSET = _after(HEATMAP, 2)
CENTRE_SCALE = _after(CENTRE_OFFSET, 1)
LANDMARK_OFFSETS = _after(CENTRE_SCALE, 2 * len(LANDMARKS))
LANDMARK_SCALES = _after(LANDMARK_OFFSETS, len(LANDMARKS))
S1_OFFSETS = _after(LANDMARK_SCALES, 2 * len(S1_LANDMARKS))
S1_SCALES = _after(S1_OFFSETS, len(S1_LANDMARKS))
PACKED_CHANNELS = S1_SCALES.stop
HEATMAP_WEIGHT = _after(S1_SCALES, len(SPINE_LEVELS))
CENTRE_WEIGHT = _after(HEATMAP_WEIGHT, 1)
LANDMARK_WEIGHT = _after(CENTRE_WEIGHT, len(LANDMARKS))
S1_WEIGHT = _after(LANDMARK_WEIGHT, len(S1_LANDMARKS))
PIXEL_WEIGHT = _after(S1_WEIGHT, STRIDE * STRIDE)
TARGET_CHANNELS = PIXEL_WEIGHT.stop


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


def unpack_spine(packed: Tensor) -> SpineMaps:
    """Splits a packed tensor [B, >=111, H/8, W/8]; further channels (a target's weights) are ignored.

    Raises:
        InputError: when the tensor does not have four axes or has fewer than 111 channels.
    """
    if packed.ndim != 4 or packed.shape[1] < PACKED_CHANNELS:
        raise InputError(f"packed: expected [B, >={PACKED_CHANNELS}, H/8, W/8], found {tuple(packed.shape)}")
    return SpineMaps(
        decomposition=F.pixel_shuffle(packed[:, DECOMPOSITION], STRIDE),
        heatmap=packed[:, HEATMAP],
        centre_offset=packed[:, CENTRE_OFFSET],
        centre_scale=packed[:, CENTRE_SCALE],
        landmark_offsets=packed[:, LANDMARK_OFFSETS],
        landmark_scales=packed[:, LANDMARK_SCALES],
        s1_offsets=packed[:, S1_OFFSETS],
        s1_scales=packed[:, S1_SCALES],
    )


def cells_from_px(px: Positions) -> Positions:
    """Image pixels (u or v) to cell coordinates; whole numbers are cell centres."""
    return (px - (STRIDE - 1) / 2) / STRIDE


def px_from_cells(cells: Positions) -> Positions:
    """Cell coordinates to image pixels, the inverse of `cells_from_px`."""
    return cells * STRIDE + (STRIDE - 1) / 2
