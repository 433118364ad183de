"""Packed output of the second-generation network to vertebrae: sub-cell heatmap peaks, and landmarks by vote.

A peak is refined as in DARK (Zhang et al., "Distribution-Aware Coordinate Representation for Human Pose Estimation", CVPR
2020): the logarithm of a Gaussian is a parabola, whose summit follows from its derivatives at the cell. Every cell near a
peak whose own centre offset points at it votes for the landmarks with the inverse square of the scale it predicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter
from torch import Tensor

from lumbar_ext.anatomy import ANCHOR_POINTS, LANDMARKS, LEVELS, S1_LANDMARKS, SPINE_LEVELS
from lumbar_ext.landmarks.located_anchors import AnchorView
from lumbar_ext.networks.spine_packing import LOG_SCALE_RANGE, SPINE_PACK, SpineMaps
from lumbar_ext.transforms.canonical import NETWORK_SPACING_MM, CanonicalView
from lumbar_ext.transforms.decode import CONFIDENCE_THRESHOLD, DecodedView, SpineAnchors
from lumbar_ext.transforms.intensity import flat_pixels
from lumbar_ext.transforms.level_naming.level_choice import HeatmapView, Peak, choose_levels
from lumbar_ext.transforms.spine_targets import S1

# a landmark's confidence is the probability that it lies within this distance, as `confidence` has it
CONFIDENCE_RADIUS_MM = 4.0
_VOTE_REACH = 3  # cells on each side of a peak whose answers count
# cells whose own idea of the centre is off by this many cells (one standard deviation) count less
_AGREEMENT_CELLS = 0.5
_LEAST_PROBABILITY = 1e-6  # keeps logarithms finite
_LEAST_SURE = 0.22
"""Mean confidence of landmarks below which nothing is taken from a picture: see `doubt_of_spine`."""
_AROUND_PX, _MOSTLY = 5, 0.5
"""A place is shown where less than this share of the pixels up to so many away is flat: a pixel alone may be by chance."""


@dataclass(frozen=True)
class Candidate:
    """What the network sees at one peak of one level's heatmap, pixels of its image.

    Args:
        level: name, one of `anatomy.SPINE_LEVELS`.
        probability: heatmap at the refined peak, at most 1.
        centre_px: [2] (u, v), the refined peak.
        centre_scale_px: Laplace scale b of the centre, see `spine_packing`.
        landmarks_px: [7, 2] for a vertebra, [5, 2] for S1, by vote.
        scale_px: [7] or [5] the same of each landmark.
        cell: (row, column) of the peak.
    """

    level: str
    probability: float
    centre_px: np.ndarray
    centre_scale_px: float
    landmarks_px: np.ndarray
    scale_px: np.ndarray
    cell: tuple[int, int]

    def landmark_confidence(self, radius_mm: float = CONFIDENCE_RADIUS_MM) -> np.ndarray:
        """The probability of the level times that of each landmark lying within `radius_mm` on the detector."""
        return self.probability * probability_within(self.scale_px, radius_mm)


def probability_within(scale_px: np.ndarray, radius_mm: float = CONFIDENCE_RADIUS_MM) -> np.ndarray:
    """The probability that an error of a scale b (see `spine_packing`) is smaller than `radius_mm` on the detector."""
    ratio = radius_mm / NETWORK_SPACING_MM / scale_px
    return 1 - (1 + ratio) * np.exp(-ratio)


def refined_peak(heatmap: np.ndarray, row: int, column: int) -> tuple[np.ndarray, float]:
    """The summit of the parabola through the logarithm of a heatmap around a cell, and the heatmap there.

    Args:
        heatmap: [h, w] in [0, 1].
        row, column: a local maximum; on the border it is returned as it is.

    Returns:
        (u, v) in cells, at most one from the cell along each axis, and the value, at most 1.
    """
    here = np.array([column, row], float)
    rows, columns = heatmap.shape
    if not (0 < row < rows - 1 and 0 < column < columns - 1):
        return here, float(heatmap[row, column])
    log = np.log(np.maximum(heatmap[row - 1 : row + 2, column - 1 : column + 2].astype(float), _LEAST_PROBABILITY))
    slope = np.array([log[1, 2] - log[1, 0], log[2, 1] - log[0, 1]]) / 2
    mixed = (log[2, 2] - log[2, 0] - log[0, 2] + log[0, 0]) / 4
    curvature = np.array(
        [[log[1, 2] - 2 * log[1, 1] + log[1, 0], mixed], [mixed, log[2, 1] - 2 * log[1, 1] + log[0, 1]]]
    )
    if np.linalg.eigvalsh(curvature).max() >= -1e-9:
        return here, float(heatmap[row, column])
    shift = np.clip(-np.linalg.solve(curvature, slope), -1, 1)
    summit = log[1, 1] + slope @ shift + shift @ curvature @ shift / 2
    return here + shift, float(np.exp(min(summit, 0.0)))


def spine_candidates(packed: Tensor | np.ndarray) -> list[list[Candidate]]:
    """Up to three candidates of each level of `anatomy.SPINE_LEVELS`, the strongest first.

    Args:
        packed: network output [111, H/8, W/8] or [1, 111, H/8, W/8]; further channels are ignored.

    Raises:
        InputError: for another shape, or more than one image.
    """
    maps = read_spine(packed)
    heat = maps.heatmap[0].numpy()
    peaks = HeatmapView(heat, maps.centre_offset[0].numpy(), maps.landmark_offsets[0].numpy()).peaks
    return [
        [_candidate(maps, heat, level, peak.row, peak.column) for peak in peaks[level]]
        for level in range(len(SPINE_LEVELS))
    ]


def read_spine(packed: Tensor | np.ndarray) -> SpineMaps:
    """The parts of one packed output, on the CPU; arguments and errors as of `spine_candidates`."""
    return SPINE_PACK.unpack(SPINE_PACK.one_image(packed))


def candidate_at(packed: Tensor | np.ndarray, level: int, row: int, column: int) -> Candidate:
    """What the network sees at the largest of the 3 x 3 cells about a cell of a level's heatmap."""
    maps = read_spine(packed)
    heat = maps.heatmap[0].numpy()
    top, left = max(row - 1, 0), max(column - 1, 0)
    around = heat[level, top : row + 2, left : column + 2]
    down, right = np.unravel_index(around.argmax(), around.shape)
    return _candidate(maps, heat, level, top + int(down), left + int(right))


def _candidate(maps: SpineMaps, heat: np.ndarray, level: int, row: int, column: int) -> Candidate:
    centre, probability = refined_peak(heat[level], row, column)
    if level == S1:
        offsets, scales, centre_offset = maps.s1_offsets[0], maps.s1_scales[0], maps.s1_offsets[0, :2]
    else:
        offsets, scales, centre_offset = maps.landmark_offsets[0], maps.landmark_scales[0], maps.centre_offset[0]
    positions, b = voted(offsets.numpy(), scales.numpy(), centre_offset.numpy(), centre)
    # S1 has no centre of its own: the first of its landmarks is.
    own = b[0] if level == S1 else np.exp(np.clip(float(maps.centre_scale[0, 0, row, column]), *LOG_SCALE_RANGE))
    return Candidate(
        SPINE_LEVELS[level],
        probability,
        SPINE_PACK.px_from_cells(centre),
        float(own) * SPINE_PACK.stride,
        SPINE_PACK.px_from_cells(positions),
        b * SPINE_PACK.stride,
        (row, column),
    )


def voted(
    offsets: np.ndarray, log_scales: np.ndarray, centre_offset: np.ndarray, centre: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Positions that the cells around a centre vote for.

    Args:
        offsets: [2 N, h, w], cells.
        log_scales: [N, h, w], ln of cells.
        centre_offset: [2, h, w], each cell's way to the centre of its vertebra.
        centre: (u, v) in cells.

    Returns:
        positions [N, 2] and scales [N], both in cells.
    """
    rows, columns = offsets.shape[1:]
    column, row = np.rint(centre).astype(int)
    window = (
        slice(max(row - _VOTE_REACH, 0), min(row + _VOTE_REACH + 1, rows)),
        slice(max(column - _VOTE_REACH, 0), min(column + _VOTE_REACH + 1, columns)),
    )
    cells = np.stack(np.meshgrid(np.arange(columns)[window[1]], np.arange(rows)[window[0]]))
    disagreement = ((cells + centre_offset[:, *window] - centre[:, None, None]) ** 2).sum(axis=0)
    agreement = np.exp(-disagreement / (2 * _AGREEMENT_CELLS**2)) + 1e-9
    scales = np.exp(np.clip(log_scales[:, *window].astype(float), *LOG_SCALE_RANGE))
    weights = agreement / scales**2
    weights /= weights.sum(axis=(1, 2), keepdims=True)
    votes = offsets[:, *window].reshape(-1, 2, *cells.shape[1:]) + cells
    return (votes * weights[:, None]).sum(axis=(2, 3)), (scales * weights).sum(axis=(1, 2))


def decode_spine(packed: Tensor | np.ndarray, threshold: float = CONFIDENCE_THRESHOLD) -> DecodedView:
    """Reads one packed output into the same form as `decode.decode_packed`, with the anchors of the count.

    Args:
        packed: network output [111, H/8, W/8], or with a batch axis of one.
        threshold: smallest probability of a vertebra that is present.
    """
    maps = read_spine(packed)
    candidates = spine_candidates(packed)
    choice = choose_levels([[_as_peak(c) for c in level] for level in candidates], threshold)
    chosen = {
        name: next(c for c in options if c.cell == (peak.row, peak.column))
        for name, options, peak in zip(SPINE_LEVELS, candidates, choice.peaks, strict=True)
        if peak is not None
    }
    confidence = dict(zip(SPINE_LEVELS, choice.confidence, strict=True))
    return assemble_view(maps.decomposition[0, 0].clamp(0, 1).numpy(), chosen, confidence, choice.consistent)


def _as_peak(candidate: Candidate) -> Peak:
    """For `choose_levels`; S1 has no height, so that it may lie close beneath L5."""
    height = 0.0
    if candidate.level != SPINE_LEVELS[S1]:
        height = float(np.linalg.norm(candidate.landmarks_px[0] - candidate.landmarks_px[1])) / SPINE_PACK.stride
    return Peak(*candidate.cell, candidate.probability, height)


def assemble_view(
    decomposition: np.ndarray, chosen: dict[str, Candidate], confidence: dict[str, float], consistent: bool
) -> DecodedView:
    """The decoded view of a choice of at most one candidate a level.

    Args:
        decomposition: [H, W] in [0, 1].
        chosen: by the level they are named after, which a joint decision may have changed from the candidate's own.
        confidence: of each level.
        consistent: see `decode.DecodedView`.
    """
    found = [chosen.get(name) for name in LEVELS]
    return DecodedView(
        decomposition=decomposition,
        centres_px=_stacked([c and c.centre_px for c in found], (2,)),
        landmarks_px=_stacked([c and c.landmarks_px for c in found], (len(LANDMARKS), 2)),
        confidence=np.array([confidence[name] for name in LEVELS]),
        present=np.array([c is not None for c in found]),
        landmark_confidence=np.nan_to_num(_stacked([c and c.landmark_confidence() for c in found], (len(LANDMARKS),))),
        order_consistent=consistent,
        anchors=_anchors(chosen, confidence),
    )


def _anchors(chosen: dict[str, Candidate], confidence: dict[str, float]) -> SpineAnchors:
    t12, l6, s1 = (chosen.get(name) for name in ("T12", "L6", "S1"))
    return SpineAnchors(
        t12_centre_px=_or_nan(t12 and t12.centre_px, (2,)),
        l6_landmarks_px=_or_nan(l6 and l6.landmarks_px, (len(LANDMARKS), 2)),
        s1_landmarks_px=_or_nan(s1 and s1.landmarks_px, (len(S1_LANDMARKS), 2)),
        t12_scale_px=t12.centre_scale_px if t12 else np.nan,
        s1_scale_px=_or_nan(s1 and s1.scale_px, (len(S1_LANDMARKS),)),
        confidence={name: float(confidence[name]) for name in ("T12", "L6", "S1")},
    )


def _stacked(values: Sequence[np.ndarray | None], shape: tuple[int, ...]) -> np.ndarray:
    return np.stack([_or_nan(value, shape) for value in values])


def _or_nan(value: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, np.nan) if value is None else np.asarray(value, float)


def doubt_of_spine(seen: DecodedView) -> str:
    """Why nothing is to be taken from a picture on which the network is as unsure of landmarks as on noise; else empty.

    The scores of vertebrae do not tell: on noise they are as high as on films. The landmarks' own error scales do: figures in
    the bundle's `docs/README.md`. The network of the first generation tells none.

    Args:
        seen: as decoded, left and right of anybody.
    """
    if seen.anchors is None or not seen.present.any():
        return ""
    mean = float(np.nanmean(seen.landmark_confidence[seen.present]))
    if mean >= _LEAST_SURE:
        return ""
    return (
        f"is no radiograph of a lumbar spine, or one that the network cannot read: it expects {mean:.0%} of the landmarks "
        f"within {CONFIDENCE_RADIUS_MM:g} mm, as on noise, expected {_LEAST_SURE:.0%} or more"
    )


def anchor_view(anchors: SpineAnchors, canonical: CanonicalView) -> AnchorView:
    """The points of T12 and S1 that one view shows, in pixels of its network grid; what a person has set, a person has seen.

    Args:
        anchors: as decoded.
        canonical: the radiograph on that grid.
    """
    positions_px = np.vstack([anchors.t12_centre_px, anchors.s1_landmarks_px])
    scales_px = np.array([anchors.t12_scale_px, *anchors.s1_scale_px])
    named = np.array([anchors.confidence[level] for level, _ in ANCHOR_POINTS])
    confidence = np.nan_to_num(named * probability_within(scales_px))
    seen = np.array([level in anchors.certain for level, _ in ANCHOR_POINTS])
    return AnchorView(positions_px, scales_px, confidence, _on_film(positions_px, seen, canonical))


def _on_film(positions_px: np.ndarray, seen: np.ndarray, canonical: CanonicalView) -> np.ndarray:
    """[N] bool, whether there is film at positions [N, 2], which was seen or is not mostly flat around them."""
    columns, rows = canonical.camera.size_px
    nearest = np.rint(np.nan_to_num(positions_px, nan=-1.0)).astype(int)
    on_grid = ((nearest >= 0) & (nearest < (columns, rows))).all(-1)
    u, v = np.clip(nearest, 0, (columns - 1, rows - 1)).T
    flat = uniform_filter(flat_pixels(canonical.pixels).astype(float), 2 * _AROUND_PX + 1, mode="nearest")
    return on_grid & canonical.inside[v, u] & (seen | (flat[v, u] < _MOSTLY))
