"""Landmarks and decomposition of one view to the packed training target (layout: `networks.lumbar_packing`)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, Transform
from torch.nn import functional as F

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK

ENDPLATES = (0, 1)  # their places in `anatomy.LANDMARKS`
MIN_OVERLAP = 0.7  # of boxes whose centres a Gaussian's radius apart still count as one, CornerNet (Law and Deng 2018)
# a vertebral body is about 1.7 times as wide (AP) as it is high (3 cm); only the heatmap's radius depends on it
WIDTH_OVER_HEIGHT = 1.5


def vertebra_centres_px(landmarks_px: np.ndarray) -> np.ndarray:
    """Centres [..., 2]: the mean of both endplate-centre projections of landmarks [..., 7, 2]."""
    return np.asarray(landmarks_px, float)[..., ENDPLATES, :].mean(axis=-2)


def gaussian_radius(height_cells: float, width_cells: float, min_overlap: float = MIN_OVERLAP) -> float:
    """Largest shift in cells of a box's corners that keeps an overlap (IoU) of at least `min_overlap`.

    The smallest of the three cases of CornerNet (Law & Deng 2018): both corners shifted the same way, inwards,
    outwards.
    Each is the smaller positive root of a quadratic in the shift r; the printed CornerNet code divides two of them
    wrongly.
    """
    total, area = height_cells + width_cells, height_cells * width_cells
    # same way: (h-r)(w-r) / (2hw - (h-r)(w-r)) = o
    same = _smaller_root(1.0, -total, area * (1 - min_overlap) / (1 + min_overlap))
    # inwards: (h-2r)(w-2r) / hw = o
    inwards = _smaller_root(4.0, -2 * total, (1 - min_overlap) * area)
    # outwards: hw / ((h+2r)(w+2r)) = o, the positive root
    outwards = (-2 * total + np.sqrt(4 * total**2 + 16 * area * (1 / min_overlap - 1))) / 8
    return float(min(same, inwards, outwards))


def _smaller_root(a: float, b: float, c: float) -> float:
    return (-b - np.sqrt(b * b - 4 * a * c)) / (2 * a)


def _draw_gaussian(heatmap: np.ndarray, column: int, row: int, sigma_cells: float) -> None:
    """Adds, by maximum, a bump with peak exactly 1 at a cell of a heatmap [h, w]; beyond four sigma it is zero."""
    reach = int(np.ceil(4 * sigma_cells))
    top, left = max(row - reach, 0), max(column - reach, 0)
    window = heatmap[top : row + reach + 1, left : column + reach + 1]
    rows = np.arange(top, top + window.shape[0])[:, None] - row
    columns = np.arange(left, left + window.shape[1])[None, :] - column
    np.maximum(window, np.exp(-(rows**2 + columns**2) / (2 * sigma_cells**2)), out=window)


def _sigma_cells(landmarks_cells: np.ndarray) -> float:
    """Width of a vertebra's bump, from its height between the endplates: sigma = (2 r + 1) / 6 as in Yi et al. 2020."""
    height = max(float(np.linalg.norm(landmarks_cells[0] - landmarks_cells[1])), 2.0)
    return (2 * gaussian_radius(height, height * WIDTH_OVER_HEIGHT) + 1) / 6


def _write_offsets(target: np.ndarray, landmarks_cells: np.ndarray, inside: np.ndarray, cell: tuple[int, int]) -> None:
    """Writes offsets and masks of one vertebra at the 3x3 cells around `cell`, relative to each of those cells.

    The neighbours let a decoder that peaks one cell off still return the right positions.
    """
    top, left = max(cell[1] - 1, 0), max(cell[0] - 1, 0)
    window = target[:, top : cell[1] + 2, left : cell[0] + 2]
    column, row = np.meshgrid(np.arange(left, left + window.shape[2]), np.arange(top, top + window.shape[1]))
    here = np.stack([column, row])
    positions = np.concatenate([landmarks_cells[list(ENDPLATES)].mean(axis=0, keepdims=True), landmarks_cells])
    offsets = np.nan_to_num((positions[:, :, None, None] - here).reshape(-1, *column.shape))
    window[LUMBAR_PACK["centre_offset"]], window[LUMBAR_PACK["landmark_offsets"]] = offsets[:2], offsets[2:]
    window[LUMBAR_PACK["cell_weight"]] = 1.0
    window[LUMBAR_PACK["landmark_mask"]] = inside[:, None, None]


def encode_target(decomposition: torch.Tensor, landmarks_px: np.ndarray, present: np.ndarray) -> torch.Tensor:
    """Packs decomposition, heatmaps, offsets and masks of one view.

    A vertebra whose centre lies outside the image is treated as absent; a landmark outside has mask zero.

    Args:
        decomposition: [1, H, W] or [H, W], values in [0, 1), H and W multiples of 4.
        landmarks_px: [5, 7, 2] as (u, v) in pixels of that image; NaN, and any value of absent vertebrae, is ignored.
        present: [5] bool.

    Returns:
        float32 [45, H/4, W/4].

    Raises:
        InputError: for wrong shapes.
    """
    landmarks_px = np.asarray(landmarks_px, float)
    if landmarks_px.shape != (len(LEVELS), len(LANDMARKS), 2):
        raise InputError(f"landmarks_px: expected [{len(LEVELS)}, {len(LANDMARKS)}, 2], found {landmarks_px.shape}")
    height, width = decomposition.shape[-2:]
    packed = LUMBAR_PACK.empty_target(height, width)
    packed[LUMBAR_PACK["decomposition"]] = F.pixel_unshuffle(
        decomposition.reshape(1, height, width).float(), LUMBAR_PACK.stride
    )
    target = packed.numpy()
    cells = LUMBAR_PACK.cells_from_px(landmarks_px)
    for level in np.flatnonzero(np.asarray(present, bool)):
        column, row = np.rint(cells[level, list(ENDPLATES)].mean(axis=0)).astype(int)
        if not (0 <= row < target.shape[1] and 0 <= column < target.shape[2]):
            continue
        _draw_gaussian(target[LUMBAR_PACK["heatmap"]][level], int(column), int(row), _sigma_cells(cells[level]))
        u, v = landmarks_px[level, :, 0], landmarks_px[level, :, 1]
        inside = (u >= -0.5) & (u <= width - 0.5) & (v >= -0.5) & (v <= height - 0.5)
        _write_offsets(target, cells[level], inside, (int(column), int(row)))
    return packed


class EncodeTarget(Transform):
    """Array form of `encode_target`."""

    channels = LUMBAR_PACK.target_channels

    def __call__(self, decomposition: torch.Tensor, landmarks_px: np.ndarray, present: np.ndarray) -> torch.Tensor:
        """See `encode_target`."""
        return encode_target(decomposition, landmarks_px, present)


class EncodeTargetd(MapTransform):
    """Dictionary form: reads decomposition, `landmarks_px` and `present`, writes the packed target.

    Args:
        keys: key of the decomposition [1, H, W].
        target_key: key of the result; the landmark and presence keys are named below.
    """

    def __init__(
        self,
        keys: str = "decomposition",
        target_key: str = "label",
        landmarks_key: str = "landmarks_px",
        present_key: str = "present",
    ) -> None:
        super().__init__(keys)
        self.target_key, self.landmarks_key, self.present_key = target_key, landmarks_key, present_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """A copy of the dictionary with the packed target."""
        result = dict(data)
        image = torch.as_tensor(result[self.keys[0]])
        result[self.target_key] = encode_target(image, result[self.landmarks_key], result[self.present_key])
        return result
