"""Landmarks that a user has dragged in 3D Slicer take the place of the network's.

The file is `landmarks.mrk.json` of an earlier reconstruction of the same study. A point that lies where the network sees it
now is the network's still; a point that was moved or placed is certain, a point that was deleted is left out. Where a user
has set three points of a vertebra or more, its pose follows from these alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.landmarks.markups import NAMES, read_points
from lumbar_ext.landmarks.triangulated import MIN_LANDMARKS, Landmarks3D, ViewLandmarks, triangulate_landmarks
from lumbar_ext.workflow.observe import ObservedStudy

_MOVED_MM = 0.05
_MARGIN = 0.25


@dataclass(frozen=True)
class EditedLandmarks:
    """What a reconstruction starts from after a user's corrections.

    Args:
        observed: with the corrected landmarks in the pixels of the network's grids, confidence 1 for those set by hand, 0
            for those that they supersede.
        landmarks: in space, marked where they were set by hand.
        by_hand: [5, 7] the landmarks that were set by hand.
    """

    observed: ObservedStudy
    landmarks: Landmarks3D
    by_hand: np.ndarray


def edited_landmarks(path: str | Path, observed: ObservedStudy, found: Landmarks3D) -> EditedLandmarks:
    """Puts a user's landmarks in place of the network's.

    Args:
        path: the markups file; its LPS axes are those of the reconstruction's mesh files.
        observed: what the network sees.
        found: its landmarks in space.

    Raises:
        InputError: if the file is no list of the landmarks in mm, or a point lies far outside of a radiograph.
    """
    points_mm = read_points(path)
    given, known = np.isfinite(points_mm).all(-1), np.isfinite(found.points_mm).all(-1)
    stayed = given & known & (np.linalg.norm(points_mm - found.points_mm, axis=-1) < _MOVED_MM)
    by_hand, deleted = given & ~stayed, known & ~given
    superseded = (by_hand.sum(1, keepdims=True) >= MIN_LANDMARKS) & ~by_hand
    decoded = {}
    for view in VIEWS:
        seen = observed.decoded[view]
        pixels = observed.geometry[view].project(np.nan_to_num(points_mm))
        _check_inside(path, view, pixels, by_hand, observed.canonical[view].camera.size_px)
        placed = np.where(by_hand[..., None], pixels, seen.landmarks_px)
        placed[deleted] = np.nan
        confidence = np.where(by_hand, 1.0, np.where(superseded | deleted, 0.0, seen.landmark_confidence))
        decoded[view] = replace(seen, landmarks_px=placed, landmark_confidence=confidence)
    edited = replace(observed, decoded=decoded)
    landmarks = triangulate_landmarks(edited.geometry, edited.landmarks)
    # What is superseded keeps its place, so that the file that is written next still shows it.
    kept_mm = np.where((superseded & stayed)[..., None], found.points_mm, landmarks.points_mm)
    return EditedLandmarks(edited, replace(landmarks, points_mm=kept_mm, by_hand=by_hand), by_hand)


def marked_by_hand(views: dict[str, ViewLandmarks], by_hand: np.ndarray) -> dict[str, ViewLandmarks]:
    """The landmarks of both views, marked where they were set by hand: there they weigh more in a registration."""
    return {view: replace(seen, by_hand=by_hand) for view, seen in views.items()}


def landmark_names(which: np.ndarray) -> list[str]:
    """The landmarks of a mask [5, 7], as a markups file names them."""
    return [name for name, own in zip(NAMES, which.ravel(), strict=True) if own]


def _check_inside(
    path: str | Path, view: str, pixels: np.ndarray, by_hand: np.ndarray, size_px: tuple[int, int]
) -> None:
    size = np.array(size_px)
    away = by_hand & ((pixels < -_MARGIN * size) | (pixels > (1 + _MARGIN) * size)).any(-1)
    if away.any():
        name = NAMES[int(np.flatnonzero(away.ravel())[0])]
        raise InputError(
            f"{path}: {name}: lies far outside of the {view} radiograph, expected positions in the axes of the mesh files "
            "of a reconstruction of these radiographs; is it the file of another study?"
        )
