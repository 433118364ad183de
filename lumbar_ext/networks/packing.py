"""How the two tasks share ONE tensor [B, 37, H/4, W/4], and where a cell lies in the image.

One tensor, because MONAI Deploy and `verify_net_in_out` take a single output. Channels:

====== =====================================================================================
0-15   decomposition DRR, pixel-unshuffled by 4 (`F.pixel_shuffle(., 4)` restores [B, 1, H, W])
16-20  centre heatmaps of L1..L5, probabilities
21-22  centre offset (u, v), cells
23-36  landmark offsets, seven times (u, v), cells, in the order of `anatomy.LANDMARKS`
====== =====================================================================================

Training targets append 37 (weight of the offsets at a cell) and 38-44 (one mask per landmark).

Cell (column i, row j) covers the image pixels 4i..4i+3, 4j..4j+3; its centre is pixel 4i + 1.5, 4j + 1.5. So
`cell = (px - 1.5) / 4`; a centre or landmark lies at cell position + offset.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.errors import InputError

STRIDE = 4
DECOMPOSITION = slice(0, STRIDE * STRIDE)
HEATMAP = slice(DECOMPOSITION.stop, DECOMPOSITION.stop + len(LEVELS))
CENTRE_OFFSET = slice(HEATMAP.stop, HEATMAP.stop + 2)
LANDMARK_OFFSETS = slice(CENTRE_OFFSET.stop, CENTRE_OFFSET.stop + 2 * len(LANDMARKS))
PACKED_CHANNELS = LANDMARK_OFFSETS.stop
CELL_WEIGHT = slice(PACKED_CHANNELS, PACKED_CHANNELS + 1)
LANDMARK_MASK = slice(CELL_WEIGHT.stop, CELL_WEIGHT.stop + len(LANDMARKS))
TARGET_CHANNELS = LANDMARK_MASK.stop

Positions = TypeVar("Positions", float, np.ndarray, Tensor)


class PackedMaps(NamedTuple):
    """The parts of a packed tensor, each [B, channels, H/4, W/4] but `decomposition`, which is [B, 1, H, W]."""

    decomposition: Tensor
    heatmap: Tensor
    centre_offset: Tensor
    landmark_offsets: Tensor


def unpack(packed: Tensor) -> PackedMaps:
    """Splits a packed tensor [B, >=37, H/4, W/4]; further channels (training targets' masks) are ignored.

    Raises:
        InputError: when the tensor does not have four axes or has fewer than 37 channels.
    """
    if packed.ndim != 4 or packed.shape[1] < PACKED_CHANNELS:
        raise InputError(f"packed: expected [B, >={PACKED_CHANNELS}, H/4, W/4], found {tuple(packed.shape)}")
    return PackedMaps(
        decomposition=F.pixel_shuffle(packed[:, DECOMPOSITION], STRIDE),
        heatmap=packed[:, HEATMAP],
        centre_offset=packed[:, CENTRE_OFFSET],
        landmark_offsets=packed[:, LANDMARK_OFFSETS],
    )


def cells_from_px(px: Positions) -> Positions:
    """Image pixels (u or v) to cell coordinates; whole numbers are cell centres."""
    return (px - (STRIDE - 1) / 2) / STRIDE


def px_from_cells(cells: Positions) -> Positions:
    """Cell coordinates to image pixels, the inverse of `cells_from_px`."""
    return cells * STRIDE + (STRIDE - 1) / 2


def check_image_size(height: int, width: int, multiple: int = 32) -> None:
    """Raises InputError unless both sizes are positive multiples of `multiple` (the coarsest branch's stride)."""
    if height < multiple or width < multiple or height % multiple or width % multiple:
        raise InputError(f"image size must be multiples of {multiple}, found {height} x {width}")


def empty_target(height: int, width: int) -> Tensor:
    """A target of zeros [45, H/4, W/4] for an image of the given size in pixels."""
    check_image_size(height, width, STRIDE)
    return torch.zeros(TARGET_CHANNELS, height // STRIDE, width // STRIDE)
