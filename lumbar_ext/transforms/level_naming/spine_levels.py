"""The second-generation network's levels, T12 to S1, as the joint decision of both views takes them, and back.

`joint_levels` reads heatmaps in the first generation's cells of 4 px. The logarithm of the heatmaps and the positions
that cells point at are interpolated to those; positions are linear in the place, so nothing is lost.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lumbar_ext.anatomy import SPINE_LEVELS
from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK
from lumbar_ext.networks.spine_packing import SPINE_PACK
from lumbar_ext.transforms.decode import DecodedView
from lumbar_ext.transforms.level_naming.level_choice import HeatmapView, LevelChoice, Peak
from lumbar_ext.transforms.level_naming.level_readings import LevelRules
from lumbar_ext.transforms.spine_decode import Candidate, assemble_view, candidate_at, read_spine, spine_candidates
from lumbar_ext.transforms.spine_targets import S1

SPINE_RULES = LevelRules(names=SPINE_LEVELS, optional=frozenset({"L6"}), endplate="S1", taken_up="L5")
"""L5's centre is 14 to 23 mm from the middle of S1's endplate in 36 validation people; half a worn disc and half a low body
are 9."""
_RATIO = 2  # cells of 4 px in one of 8
_LEAST_PROBABILITY = 1e-6  # keeps logarithms finite
# a chosen peak and a refined candidate this near (px, a cell and a half) are the same
_SAME_PX = 12.0


def level_maps(packed: Tensor | np.ndarray) -> HeatmapView:
    """Heatmaps [8, H/4, W/4] of T12 to S1 and the offsets to centres and landmarks, in cells of 4 px.

    Where S1 is the likeliest, a cell's centre offset is that to the endplate of S1, and its landmark offsets are zero.

    Args:
        packed: network output [111, H/8, W/8], or with a batch axis of one.
    """
    maps = read_spine(packed)
    heat = maps.heatmap[0]
    sacral = (heat.argmax(dim=0) == S1)[None]
    centre = torch.where(sacral, maps.s1_offsets[0, :2], maps.centre_offset[0])
    landmarks = torch.where(sacral, torch.zeros(()), maps.landmark_offsets[0])
    fine_heat = _interpolated(heat.clamp(min=_LEAST_PROBABILITY).log()).exp()
    return HeatmapView(fine_heat.numpy(), *((_RATIO * _interpolated(part)).numpy() for part in (centre, landmarks)))


def _interpolated(maps: Tensor) -> Tensor:
    return F.interpolate(maps[None], scale_factor=_RATIO, mode="bilinear", align_corners=False)[0]


def decode_chosen(packed: Tensor | np.ndarray, choice: LevelChoice) -> DecodedView:
    """Reads the vertebrae that were chosen from `level_maps`.

    Args:
        packed: network output.
        choice: a peak, in cells of 4 px, or None for each of `anatomy.SPINE_LEVELS`.
    """
    candidates = spine_candidates(packed)
    chosen = {
        name: _at(packed, level, peak, candidates[level])
        for level, (name, peak) in enumerate(zip(SPINE_LEVELS, choice.peaks, strict=True))
        if peak is not None
    }
    decomposition = read_spine(packed).decomposition[0, 0].clamp(0, 1).numpy()
    confidence = dict(zip(SPINE_LEVELS, choice.confidence.tolist(), strict=True))
    return assemble_view(decomposition, chosen, confidence, choice.consistent)


def _at(packed: Tensor | np.ndarray, level: int, peak: Peak, candidates: list[Candidate]) -> Candidate:
    place = LUMBAR_PACK.px_from_cells(np.array([peak.column, peak.row], float))
    nearest = min(candidates, key=lambda own: float(np.linalg.norm(own.centre_px - place)))
    if np.linalg.norm(nearest.centre_px - place) <= _SAME_PX:
        return nearest
    column, row = np.rint(SPINE_PACK.cells_from_px(place)).astype(int)
    return candidate_at(packed, level, int(row), int(column))
