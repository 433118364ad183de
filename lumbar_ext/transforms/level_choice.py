"""Which heatmap peaks become which vertebrae: four vertebrae seen are four vertebrae reported, in order down the image.

Each level has its own heatmap, so a vertebra between two names (a sacralised L5, say) can raise a peak in both. Peaks are
therefore chosen together: the choice with the greatest sum of log(peak / threshold) wins among all that move strictly
down the image from L1 to L5 and put no two levels on the same vertebra. A level may stay without a peak, which costs
nothing, so a peak below the threshold is never chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

CANDIDATES = 3
# neighbouring centres are about 1.3 vertebral heights apart; at half a height both names mean one vertebra
MIN_SEPARATION = 0.5
# keeps the logarithm finite where the threshold is zero
_LEAST = 1e-6


@dataclass(frozen=True)
class Peak:
    """A local maximum of a level's heatmap.

    Args:
        row, column: its cell.
        confidence: its value.
        height_cells: distance of the endplate centres that this cell predicts.
    """

    row: int
    column: int
    confidence: float
    height_cells: float = 0.0


@dataclass(frozen=True)
class LevelChoice:
    """What the heatmaps say about five levels.

    Args:
        peaks: the chosen peak of each level, None where the level is absent.
        confidence: [5] value of the chosen peak; for absent levels that of the strongest one, if below the threshold,
            and 0 where all peaks of the level belong to other vertebrae.
        consistent: whether the strongest peaks alone were a valid choice.
    """

    peaks: tuple[Peak | None, ...]
    confidence: np.ndarray
    consistent: bool


def find_peaks(heatmap: Tensor, height_cells: Tensor) -> list[list[Peak]]:
    """Up to three local maxima (3x3) of each level's heatmap, strongest first; never an empty list.

    Args:
        heatmap: [5, h, w].
        height_cells: [h, w], see `Peak`.
    """
    local_maximum = F.max_pool2d(heatmap[None], 3, stride=1, padding=1)[0] == heatmap
    count = min(CANDIDATES, heatmap[0].numel())
    values, places = (heatmap * local_maximum).flatten(1).topk(count, dim=1)
    heights = height_cells.flatten()[places]
    width = heatmap.shape[2]
    return [
        [Peak(p // width, p % width, c, h) for c, p, h in zip(*level, strict=True)]
        for level in zip(values.tolist(), places.tolist(), heights.tolist(), strict=True)
    ]


def choose_levels(peaks: Sequence[Sequence[Peak]], threshold: float) -> LevelChoice:
    """The best ordered choice of at most one peak a level, each peak at or above `threshold`."""
    options = [[peak for peak in level if peak.confidence >= threshold] for level in peaks]
    strongest = tuple(level[0] if level else None for level in options)
    consistent = _possible(strongest)
    chosen = strongest if consistent else _best(options, threshold)
    weaker = [level[0].confidence if level[0].confidence < threshold else 0.0 for level in peaks]
    confidence = [weak if peak is None else peak.confidence for peak, weak in zip(chosen, weaker, strict=True)]
    return LevelChoice(chosen, np.array(confidence), consistent)


def _best(options: list[list[Peak]], threshold: float) -> tuple[Peak | None, ...]:
    floor = max(threshold, _LEAST)

    def worth(choice: tuple[Peak | None, ...]) -> tuple[float, int]:
        chosen = [peak for peak in choice if peak is not None]
        # peaks exactly at the threshold are worth nothing, yet better than none
        return float(sum(np.log(max(peak.confidence, floor) / floor) for peak in chosen)), len(chosen)

    return max(filter(_possible, product(*[[*level, None] for level in options])), key=worth)


def _possible(choice: Sequence[Peak | None]) -> bool:
    chosen = [peak for peak in choice if peak is not None]
    return all(a.row < b.row and not same_vertebra(a, b) for a, b in pairwise(chosen))


def same_vertebra(a: Peak, b: Peak) -> bool:
    """Whether two peaks lie so close together that they mean one vertebra."""
    distance = np.hypot(a.row - b.row, a.column - b.column)
    return bool(distance < MIN_SEPARATION * (a.height_cells + b.height_cells) / 2)


def endplate_distance(landmark_offsets: Tensor) -> Tensor:
    """Distance [h, w] in cells of the two endplate centres (the first two landmarks) that each cell predicts."""
    return torch.linalg.vector_norm(landmark_offsets[2:4] - landmark_offsets[0:2], dim=0)
