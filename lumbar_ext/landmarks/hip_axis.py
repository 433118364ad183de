"""Where the hips are: the middle between the femoral heads that a user marked, in space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.geometry import BiplanarGeometry, triangulate
from lumbar_ext.landmarks.located_anchors import LARGEST_GAP_MM
from lumbar_ext.landmarks.marked_points import FEMORAL_HEADS, MarkedPoints
from lumbar_ext.landmarks.sacral_endplate import SacralEndplate, endplate_frame

NOT_MARKED = "the femoral heads are not marked on the films (--marked_points)"
MARK_SD_MM, LATERAL_SD_MM = 2.0, 3.0
"""Of the middle of both heads along an axis, marked in both views or on the lateral film alone: centres of circles 45 mm wide
are set by eye, and a lateral beam shows the two heads enlarged differently."""

_FROM_S1_MM = (50.0, 170.0)
"""Distances of the hips from the centre of S1's endplate, about 100 mm in adults, with room for the smallest and largest."""


@dataclass(frozen=True)
class HipAxis:
    """The middle between both femoral heads.

    Args:
        middle_mm: [3] world mm; None where it cannot be had.
        reason: why not.
        sd_mm: of the middle along an axis.
    """

    middle_mm: np.ndarray | None = None
    reason: str = NOT_MARKED
    sd_mm: float = MARK_SD_MM

    def samples(self, count: int, seed: int = 2) -> HipAxis:
        """Plausible places of it, `middle_mm` [count, 3]."""
        if self.middle_mm is None:
            return self
        noise = np.random.default_rng(seed).normal(0, self.sd_mm, (count, 3))
        return HipAxis(self.middle_mm + noise, "")


def locate_hips(geometry: BiplanarGeometry, marked: MarkedPoints, sacrum: SacralEndplate | None) -> HipAxis:
    """The middle between the femoral heads, from both views or from the lateral one.

    A lateral film alone shows it in the plane in which pelvic angles are told; how far to the side it lies is then taken from
    S1, whose midsagittal plane it is put on.

    Args:
        geometry: cameras of the films.
        marked: what a user marked.
        sacrum: S1's endplate.
    """
    heads = {view: [marked[view][name] for name in FEMORAL_HEADS if name in marked[view]] for view in VIEWS}
    if not any(heads.values()):
        return HipAxis()
    if len(heads["lat"]) < len(FEMORAL_HEADS):
        return HipAxis(reason="both femoral heads must be marked on the lateral film, where pelvic angles are told")
    if sacrum is None:
        return HipAxis(reason="S1 is not located")
    if len(heads["ap"]) == len(FEMORAL_HEADS):
        found = triangulate(geometry.ap, geometry.lat, *(np.array(heads[view]) for view in VIEWS))
        gap = float(np.sqrt(np.mean(found.gap_mm**2)))
        if gap > LARGEST_GAP_MM:
            return HipAxis(reason=f"the marks of both films show the femoral heads {gap:.0f} mm apart")
        middle, sd_mm = found.points_mm.mean(0), MARK_SD_MM
    else:
        sd_mm = LATERAL_SD_MM
        middle = _on_midsagittal_plane(geometry, np.mean(heads["lat"], axis=0), sacrum)
    low, high = _FROM_S1_MM
    away = float(np.linalg.norm(middle - sacrum.points_mm[0]))
    if not low <= away <= high:
        return HipAxis(reason=f"the marks lie {away:.0f} mm from S1, expected {low:g} to {high:g}")
    return HipAxis(middle, "", sd_mm)


def _on_midsagittal_plane(geometry: BiplanarGeometry, pixel: np.ndarray, sacrum: SacralEndplate) -> np.ndarray:
    """Where the ray of a pixel of the lateral film meets S1's midsagittal plane."""
    origin, rotation = endplate_frame(sacrum.points_mm)
    left = rotation[:, 1]
    source, end = geometry.lat.sources_mm(pixel), geometry.lat.detector_point(pixel)
    share = (origin - source) @ left / ((end - source) @ left)
    return source + share * (end - source)
