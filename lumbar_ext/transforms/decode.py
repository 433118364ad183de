"""Packed network output to decomposition image and landmark positions, the inverse of ``targets``."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.networks.packing import PACKED_CHANNELS, px_from_cells, unpack

CONFIDENCE_THRESHOLD = 0.3
CANDIDATES = 3
# a landmark whose neighbouring cells disagree by this many pixels (one standard deviation) keeps half its confidence
SPREAD_PX = 3.0
# below this probability a second choice is noise, not a candidate
CANDIDATE_THRESHOLD = 0.05


@dataclass(frozen=True)
class DecodedView:
    """What the network saw in one radiograph, in pixels of the network grid.

    Args:
        decomposition: [H, W] float32 in [0, 1].
        centres_px: [5, 2] (u, v) vertebra centres; NaN where absent.
        landmarks_px: [5, 7, 2] (u, v); NaN where absent.
        confidence: [5] heatmap value of the chosen peak, in [0, 1].
        present: [5] bool, confidence at or above the threshold.
        landmark_confidence: [5, 7] in [0, 1]: level confidence lowered by the disagreement of neighbouring cells.
        order_consistent: whether the strongest peaks alone already lay in cranio-caudal order (v grows from L1 to L5).
    """

    decomposition: np.ndarray
    centres_px: np.ndarray
    landmarks_px: np.ndarray
    confidence: np.ndarray
    present: np.ndarray
    landmark_confidence: np.ndarray
    order_consistent: bool


@dataclass(frozen=True)
class _Peak:
    row: int
    column: int
    confidence: float


def levels_in_order(centres_px: np.ndarray, present: np.ndarray) -> bool:
    """Whether the present centres [5, 2] move strictly down the image (growing v) from L1 to L5."""
    v = np.asarray(centres_px, float)[np.asarray(present, bool), 1]
    return bool(np.all(np.diff(v) > 0))


def _peaks(heatmap: Tensor) -> list[list[_Peak]]:
    """Up to three local maxima (3x3) of each level's heatmap [5, h, w], strongest first; never an empty list."""
    local_maximum = F.max_pool2d(heatmap[None], 3, stride=1, padding=1)[0] == heatmap
    values, places = (heatmap * local_maximum).flatten(1).topk(CANDIDATES, dim=1)
    width = heatmap.shape[2]
    found = []
    for level_values, level_places in zip(values.tolist(), places.tolist(), strict=True):
        peaks = [_Peak(p // width, p % width, c) for c, p in zip(level_values, level_places, strict=True)]
        found.append([peak for k, peak in enumerate(peaks) if k == 0 or peak.confidence >= CANDIDATE_THRESHOLD])
    return found


def _choose_ordered(peaks: list[list[_Peak]], threshold: float) -> tuple[list[_Peak], bool]:
    """One peak per level; falls back to second choices only where the strongest ones are out of order.

    Among all ordered combinations the one with the greatest product of confidences wins; without any, the
    strongest stay.
    """
    strongest = [level[0] for level in peaks]
    if _ordered(strongest, threshold):
        return strongest, True
    choices = [choice for choice in product(*peaks) if _ordered(choice, threshold)]
    if not choices:
        return strongest, False
    return list(max(choices, key=lambda c: sum(np.log(max(p.confidence, 1e-6)) for p in c))), False


def _ordered(peaks: list[_Peak] | tuple[_Peak, ...], threshold: float) -> bool:
    rows = [peak.row for peak in peaks if peak.confidence >= threshold]
    return all(a < b for a, b in pairwise(rows))


def _read_level(maps: np.ndarray, weights: np.ndarray, peak: _Peak) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and spread (cells) of the 8 positions (centre, 7 landmarks) that the 3x3 cells around a peak give.

    Args:
        maps: [16, h, w] centre and landmark offsets.
        weights: [h, w] heatmap of the level.

    Returns:
        positions [8, 2] in cells, spread [8] in cells.
    """
    rows, columns = weights.shape
    window_rows = np.arange(max(peak.row - 1, 0), min(peak.row + 2, rows))
    window_columns = np.arange(max(peak.column - 1, 0), min(peak.column + 2, columns))
    block = maps[:, window_rows[0] : window_rows[-1] + 1, window_columns[0] : window_columns[-1] + 1]
    cell_u, cell_v = np.meshgrid(window_columns, window_rows)
    positions = block.reshape(-1, 2, *cell_u.shape) + np.stack([cell_u, cell_v])
    weight = weights[np.ix_(window_rows, window_columns)] + 1e-6
    weight = weight / weight.sum()
    mean = (positions * weight).sum(axis=(2, 3))
    variance = ((positions - mean[..., None, None]) ** 2 * weight).sum(axis=(1, 2, 3))
    return mean, np.sqrt(variance)


def decode_packed(packed: Tensor | np.ndarray, threshold: float = CONFIDENCE_THRESHOLD) -> DecodedView:
    """Reads one packed output [37, H/4, W/4] (or [1, 37, H/4, W/4], or a packed target).

    Per level the strongest local maximum (3x3) of its heatmap is the centre cell, unless the levels' order down
    the image
    contradicts it; positions are the heatmap-weighted mean of what the 3x3 cells around it predict.

    Args:
        packed: network output; further channels are ignored.
        threshold: smallest heatmap value of a vertebra that is present.

    Raises:
        InputError: for another shape, or more than one image.
    """
    tensor = torch.as_tensor(packed).detach().float().cpu()
    tensor = tensor[None] if tensor.ndim == 3 else tensor
    if tensor.ndim != 4 or tensor.shape[0] != 1 or tensor.shape[1] < PACKED_CHANNELS:
        raise InputError(f"packed: expected [{PACKED_CHANNELS}, H/4, W/4] of one image, found {tuple(tensor.shape)}")
    maps = unpack(tensor)
    peaks, consistent = _choose_ordered(_peaks(maps.heatmap[0]), threshold)
    offsets = torch.cat([maps.centre_offset[0], maps.landmark_offsets[0]]).numpy().astype(float)
    heat = maps.heatmap[0].numpy().astype(float)
    confidence = np.array([peak.confidence for peak in peaks])
    present = confidence >= threshold
    positions = np.full((len(LEVELS), 1 + len(LANDMARKS), 2), np.nan)
    landmark_confidence = np.zeros((len(LEVELS), len(LANDMARKS)))
    for level in np.flatnonzero(present):
        cells, spread = _read_level(offsets, heat[level], peaks[level])
        positions[level] = px_from_cells(cells)
        relative = px_from_cells(spread[1:]) - px_from_cells(0.0)
        landmark_confidence[level] = confidence[level] / (1 + (relative / SPREAD_PX) ** 2)
    return DecodedView(
        decomposition=maps.decomposition[0, 0].clamp(0, 1).numpy(),
        centres_px=positions[:, 0],
        landmarks_px=positions[:, 1:],
        confidence=confidence,
        present=present,
        landmark_confidence=landmark_confidence,
        order_consistent=consistent,
    )
