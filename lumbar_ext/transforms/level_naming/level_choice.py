"""Which heatmap peaks of ONE view become which vertebrae: four seen are four reported, in order down the image.

Each level has its own heatmap, so a vertebra between two names (a sacralised L5, say) can raise a peak in both. Peaks are
therefore chosen together: the choice with the greatest sum of log(peak / threshold) wins among all that move strictly
down the image from L1 to L5 and put no two levels on the same vertebra. A level may stay without a peak, which costs
nothing, so a peak below the threshold is never chosen. Where both views are at hand, `joint_levels` decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product

import numpy as np
import torch
from torch.nn import functional as F

CONFIDENCE_THRESHOLD = 0.3  # heatmap value from which on a vertebra is there
CANDIDATES = 3  # peaks of a level that are looked at
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
        offset_cells: (u, v) from the cell to the vertebra's centre that it predicts.
    """

    row: int
    column: int
    confidence: float
    height_cells: float = 0.0
    offset_cells: tuple[float, float] = (0.0, 0.0)

    @property
    def centre_cells(self) -> tuple[float, float]:
        """(u, v) of the vertebra's centre."""
        return self.column + self.offset_cells[0], self.row + self.offset_cells[1]


@dataclass(frozen=True)
class HeatmapView:
    """Where one view shows vertebrae.

    Args:
        heatmap: [L, h, w] one map a level, values in [0, 1].
        centre_offset: [2, h, w] (u, v) cells from each cell to the vertebra's centre.
        landmark_offsets: [14, h, w] the same to each of its seven landmarks.
    """

    heatmap: np.ndarray
    centre_offset: np.ndarray
    landmark_offsets: np.ndarray

    def peak(self, level: int, row: int, column: int) -> Peak:
        """The cell of a level's heatmap as a peak, with its height of a body in cells and its centre's offset."""
        du, dv = self.centre_offset[:, row, column].tolist()
        superior, inferior = self.landmarks_cells(row, column)[:2]
        height = float(np.hypot(*(inferior - superior)))
        return Peak(int(row), int(column), float(self.heatmap[level, row, column]), height, (du, dv))

    def landmarks_cells(self, row: int, column: int) -> np.ndarray:
        """[7, 2] (u, v) of the landmarks that a cell predicts, relative to the cell."""
        return self.landmark_offsets[:, row, column].reshape(-1, 2)

    @cached_property
    def peaks(self) -> list[list[Peak]]:
        """Up to three local maxima (3x3) of each level's heatmap, strongest first; never an empty list."""
        own = torch.from_numpy(np.where(local_maxima(self.heatmap), self.heatmap, 0.0)).flatten(1)
        places = own.topk(min(CANDIDATES, own.shape[1]), dim=1).indices.tolist()
        width = self.heatmap.shape[2]
        return [[self.peak(k, *divmod(p, width)) for p in own] for k, own in enumerate(places)]


def local_maxima(heatmap: np.ndarray) -> np.ndarray:
    """Which cells [L, h, w] are not exceeded by any of their eight neighbours."""
    maps = torch.from_numpy(np.ascontiguousarray(heatmap))
    return (F.max_pool2d(maps[None], 3, stride=1, padding=1)[0] == maps).numpy()


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
