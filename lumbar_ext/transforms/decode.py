"""Packed network output to decomposition image and landmark positions, the inverse of `multitask_targets`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from lumbar_ext.anatomy import LANDMARKS, LEFT_RIGHT_SWAP, LEVELS, S1_LANDMARKS, S1_LEFT_RIGHT_SWAP
from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK
from lumbar_ext.transforms.level_naming.level_choice import (
    CONFIDENCE_THRESHOLD,
    HeatmapView,
    LevelChoice,
    Peak,
    choose_levels,
)

# a landmark whose neighbouring cells disagree by this many pixels (one standard deviation) keeps half its confidence
SPREAD_PX = 3.0


@dataclass(frozen=True)
class SpineAnchors:
    """The vertebrae above L1 and below L5 that anchor the count, in pixels; NaN where absent.

    Args:
        t12_centre_px: [2] (u, v).
        l6_landmarks_px: [7, 2], of a sixth lumbar vertebra.
        s1_landmarks_px: [5, 2], `anatomy.S1_LANDMARKS`.
        t12_scale_px: scale b of the centre's error, see `networks.spine_packing`.
        s1_scale_px: [5] the same of each landmark of S1.
        confidence: of "T12", "L6" and "S1", as `DecodedView.confidence`.
        certain: those of them that a person has set.
    """

    t12_centre_px: np.ndarray
    l6_landmarks_px: np.ndarray
    s1_landmarks_px: np.ndarray
    t12_scale_px: float
    s1_scale_px: np.ndarray
    confidence: dict[str, float]
    certain: frozenset[str] = frozenset()

    @classmethod
    def nothing(cls) -> SpineAnchors:
        """Anchors of a view that shows none of them: places NaN, confidences 0."""
        return cls(
            t12_centre_px=np.full(2, np.nan),
            l6_landmarks_px=np.full((len(LANDMARKS), 2), np.nan),
            s1_landmarks_px=np.full((len(S1_LANDMARKS), 2), np.nan),
            t12_scale_px=np.nan,
            s1_scale_px=np.full(len(S1_LANDMARKS), np.nan),
            confidence={"T12": 0.0, "L6": 0.0, "S1": 0.0},
        )

    def with_points(self, positions_px: np.ndarray, scales_px: np.ndarray, certain: Collection[str]) -> SpineAnchors:
        """The same with other positions [6, 2] and scales [6] of `anatomy.ANCHOR_POINTS`; levels that are certain are so."""
        return replace(
            self,
            t12_centre_px=positions_px[0],
            s1_landmarks_px=positions_px[1:],
            t12_scale_px=float(scales_px[0]),
            s1_scale_px=scales_px[1:],
            confidence={**self.confidence, **dict.fromkeys(certain, 1.0)},
            certain=self.certain.union(certain),
        )

    def with_sides_exchanged(self) -> SpineAnchors:
        """Left and right landmarks exchanged."""
        return replace(
            self,
            l6_landmarks_px=self.l6_landmarks_px[list(LEFT_RIGHT_SWAP)],
            s1_landmarks_px=self.s1_landmarks_px[list(S1_LEFT_RIGHT_SWAP)],
            s1_scale_px=self.s1_scale_px[list(S1_LEFT_RIGHT_SWAP)],
        )


@dataclass(frozen=True)
class DecodedView:
    """What the network saw in one radiograph, in pixels of the network grid.

    Args:
        decomposition: [H, W] float32 in [0, 1].
        centres_px: [5, 2] (u, v) vertebra centres; NaN where absent.
        landmarks_px: [5, 7, 2] (u, v); NaN where absent.
        confidence: [5] in [0, 1]: heatmap value of the chosen peak, see `level_choice.LevelChoice`; or, once
            calibrated, the probability that the vertebra is where and what it is said to be.
        present: [5] bool, whether a peak was chosen for the level: of one view at or above the threshold, of two views
            see `joint_levels`.
        landmark_confidence: [5, 7] in [0, 1]: level confidence lowered by the disagreement of neighbouring cells; or,
            once calibrated (`confidence`), the probability of an error below 4 mm on the detector.
        order_consistent: whether the strongest peaks alone already lay in cranio-caudal order (v grows from L1 to L5)
            on different vertebrae.
        anchors: T12, L6 and S1; None from a network that does not name them.
    """

    decomposition: np.ndarray
    centres_px: np.ndarray
    landmarks_px: np.ndarray
    confidence: np.ndarray
    present: np.ndarray
    landmark_confidence: np.ndarray
    order_consistent: bool
    anchors: SpineAnchors | None = None

    def with_nothing_found(self) -> DecodedView:
        """The same picture with no vertebra, T12 or S1 on it."""
        return replace(
            self,
            centres_px=np.full_like(self.centres_px, np.nan),
            landmarks_px=np.full_like(self.landmarks_px, np.nan),
            confidence=np.zeros_like(self.confidence),
            present=np.zeros_like(self.present),
            landmark_confidence=np.zeros_like(self.landmark_confidence),
            anchors=self.anchors and SpineAnchors.nothing(),
        )


def levels_in_order(centres_px: np.ndarray, present: np.ndarray) -> bool:
    """Whether the present centres [5, 2] move strictly down the image (growing v) from L1 to L5."""
    v = np.asarray(centres_px, float)[np.asarray(present, bool), 1]
    return bool(np.all(np.diff(v) > 0))


def _read_level(maps: np.ndarray, weights: np.ndarray, peak: Peak) -> tuple[np.ndarray, np.ndarray]:
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


@dataclass(frozen=True)
class PackedView:
    """The parts of one packed output, before it is decided which vertebra is where.

    Args:
        decomposition: [H, W] float32 in [0, 1].
        levels: heatmaps and offsets.
    """

    decomposition: np.ndarray
    levels: HeatmapView


def read_packed(packed: Tensor | np.ndarray) -> PackedView:
    """Takes one packed output [37, H/4, W/4] (or [1, 37, H/4, W/4], or a packed target) apart.

    Args:
        packed: network output; further channels are ignored.

    Raises:
        InputError: for another shape, or more than one image.
    """
    maps = LUMBAR_PACK.unpack(LUMBAR_PACK.one_image(packed))
    heatmap, centre, landmarks = (part[0].numpy() for part in (maps.heatmap, maps.centre_offset, maps.landmark_offsets))
    return PackedView(maps.decomposition[0, 0].clamp(0, 1).numpy(), HeatmapView(heatmap, centre, landmarks))


def decode_view(view: PackedView, choice: LevelChoice) -> DecodedView:
    """Reads the chosen vertebrae; positions are the heatmap-weighted mean of what the 3x3 cells around a centre predict."""
    present = np.array([peak is not None for peak in choice.peaks])
    positions = np.full((len(LEVELS), 1 + len(LANDMARKS), 2), np.nan)
    landmark_confidence = np.zeros((len(LEVELS), len(LANDMARKS)))
    offsets = np.concatenate([view.levels.centre_offset, view.levels.landmark_offsets]).astype(float)
    for level in np.flatnonzero(present):
        cells, spread = _read_level(offsets, view.levels.heatmap[level].astype(float), choice.peaks[level])
        positions[level] = LUMBAR_PACK.px_from_cells(cells)
        relative = LUMBAR_PACK.px_from_cells(spread[1:]) - LUMBAR_PACK.px_from_cells(0.0)
        landmark_confidence[level] = choice.confidence[level] / (1 + (relative / SPREAD_PX) ** 2)
    return DecodedView(
        decomposition=view.decomposition,
        centres_px=positions[:, 0],
        landmarks_px=positions[:, 1:],
        confidence=choice.confidence,
        present=present,
        landmark_confidence=landmark_confidence,
        order_consistent=choice.consistent,
    )


def decode_packed(packed: Tensor | np.ndarray, threshold: float = CONFIDENCE_THRESHOLD) -> DecodedView:
    """Reads one packed output on its own, levels chosen by `level_choice.choose_levels`.

    Args:
        packed: see `read_packed`.
        threshold: smallest heatmap value of a vertebra that is present.

    Raises:
        InputError: see `read_packed`.
    """
    view = read_packed(packed)
    return decode_view(view, choose_levels(view.levels.peaks, threshold))
