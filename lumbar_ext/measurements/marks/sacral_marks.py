"""Marks of T12, L6, S1 and the hips, which have no mesh: what their landmarks give, in the form of marked vertebrae."""

from __future__ import annotations

import numpy as np

from lumbar_ext.landmarks.hip_axis import HipAxis
from lumbar_ext.landmarks.sacral_endplate import endplate_frame
from lumbar_ext.measurements.marks.endplate_marks import N_AZIMUTHS
from lumbar_ext.measurements.marks.vertebra_frame import Axes
from lumbar_ext.measurements.marks.vertebra_marks import ENDPLATE_PARTS, MarkedVertebra

HIPS = "hips"
"""Name of the hips among the marked vertebrae of a spine."""

_OF_S1 = "only the superior endplate of S1 is located"


def sacral_rim_mm(points_mm: np.ndarray, count: int = N_AZIMUTHS) -> np.ndarray:
    """[..., count, 3] the rim of S1's endplate by azimuth from the front over the left.

    The closed curve of lowest order through the four edges: an ellipse whose sides may lie higher than its front and back,
    as those of S1 do.

    Args:
        points_mm: [..., 5, 3] `anatomy.S1_LANDMARKS`.
        count: of points.
    """
    _, front, back, left, right = np.moveaxis(points_mm, -2, 0)
    turn = 2 * np.pi * np.arange(count) / count
    shares = np.stack([np.ones(count), np.cos(turn), np.sin(turn), np.cos(2 * turn)], axis=1)
    mean, saddle = (front + back + left + right) / 4, (front + back - left - right) / 4
    return shares @ np.stack([mean, (front - back) / 2, (left - right) / 2, saddle], axis=-2)


def sacral_disc(rim_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [N + 1, 3] and triangles [N, 3] of the surface inside a rim [N, 3], counter-clockwise seen from above."""
    here = np.arange(len(rim_mm))
    triangles = np.column_stack([here, np.roll(here, -1), np.full(len(here), len(here))])
    return np.vstack([rim_mm, rim_mm.mean(0)]), triangles


def mark_sacrum(points_mm: np.ndarray) -> MarkedVertebra:
    """S1 as far as its superior endplate goes; Z of its frame stands on the endplate.

    Args:
        points_mm: [..., 5, 3] `anatomy.S1_LANDMARKS`, world mm.
    """
    marks = {
        "superior_rim": sacral_rim_mm(points_mm),
        "superior_anterior": points_mm[..., 1:2, :],
        "superior_posterior": points_mm[..., 2:3, :],
        "superior_middle": points_mm[..., :1, :],
    }
    reasons = {f"{side}_{part}": _OF_S1 for side in ("superior", "inferior") for part in ENDPLATE_PARTS}
    return MarkedVertebra(
        marks, Axes(*endplate_frame(points_mm)), {"superior": np.ones(N_AZIMUTHS, dtype=bool)}, reasons
    )


def mark_centre(level: str, centre_mm: np.ndarray) -> MarkedVertebra:
    """A vertebra of which only the centre [..., 3] is known; its frame is that of the world."""
    centre_mm = np.asarray(centre_mm, dtype=np.float64)
    rotation = np.broadcast_to(np.eye(3), (*centre_mm.shape[:-1], 3, 3))
    reasons = {
        f"{side}_{part}": f"only the centre of {level} is located"
        for side in ("superior", "inferior")
        for part in ENDPLATE_PARTS
    }
    return MarkedVertebra({}, Axes(centre_mm, rotation), {}, reasons)


def mark_hips(hips: HipAxis) -> MarkedVertebra:
    """The mark "middle" between the femoral heads, or why there is none; the frame is that of the world."""
    unknown = np.full(3, np.nan)
    place = unknown if hips.middle_mm is None else np.asarray(hips.middle_mm, dtype=np.float64)
    axes = Axes(place, np.broadcast_to(np.eye(3), (*place.shape[:-1], 3, 3)))
    if hips.middle_mm is None:
        return MarkedVertebra({}, axes, {}, {"middle": hips.reason})
    return MarkedVertebra({"middle": place[..., None, :]}, axes, {}, {})
