"""Landmarks that a user has dragged in 3D Slicer take the place of the network's.

The file is `landmarks.mrk.json` of an earlier reconstruction of the same study. A point that lies where the network sees it
now is the network's still; a point that was moved or placed is certain, a point that was deleted is left out. Where a user
has set three points of a vertebra or more, its pose follows from these alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import ANCHOR_POINTS, LEVELS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry.axes import world_from_lps
from lumbar_ext.landmarks.markups import ANCHOR_NAMES, NAMES, read_anchor_points, read_points
from lumbar_ext.landmarks.triangulated import MIN_LANDMARKS, Landmarks3D, ViewLandmarks, triangulate_landmarks
from lumbar_ext.registration.result import RegistrationResult
from lumbar_ext.transforms.decode import SpineAnchors
from lumbar_ext.transforms.spine_decode import anchor_view
from lumbar_ext.workflow.observe import ObservedStudy

OVERRULED_MM = 1.5
"""Mean distance of a mesh's landmarks from where a user set them, from which on the user is told. Where both agree, what is
left is how exactly a landmark can be set: about a millimetre."""

_MOVED_MM = 0.05  # a point that lies closer to the network's was not touched: files round to 0.0001
_MARGIN = 0.25  # of the radiograph's size: how far outside of it a point may lie
_BY_HAND_SCALE_PX = 0.5  # scale b of the error of a point of T12 or S1 that a user set: a millimetre along an axis
_LEAST_STEP_MM = 10.0
"""Neighbouring lumbar vertebrae lie 25-45 mm apart; landmarks of the same name less than this below each other are misnamed."""
_LEAST_SPREAD_MM = 2.0
"""Root sum square distance of points from their line below which they do not fix the rotation about it."""


@dataclass(frozen=True)
class EditedLandmarks:
    """What a reconstruction starts from after a user's corrections.

    Args:
        observed: with the corrected landmarks in the pixels of the network's grids, confidence 1 for those set by hand, 0
            for those that they supersede.
        landmarks: in space, marked where they were set by hand.
        by_hand: [5, 7] the landmarks that were set by hand.
        anchors_by_hand: [6] the points of T12 and S1 that were (`anatomy.ANCHOR_POINTS`); none by default.
    """

    observed: ObservedStudy
    landmarks: Landmarks3D
    by_hand: np.ndarray
    anchors_by_hand: np.ndarray = field(default_factory=lambda: np.zeros(len(ANCHOR_NAMES), dtype=bool))


def edited_landmarks(path: str | Path, observed: ObservedStudy, found: Landmarks3D) -> EditedLandmarks:
    """Puts a user's landmarks in place of the network's.

    Args:
        path: the markups file, as a reconstruction wrote it: LPS axes, origin of the world.
        observed: what the network sees.
        found: its landmarks in space.

    Raises:
        InputError: if the file is no list of the landmarks in mm, a point lies far outside of a radiograph, the levels do not
            follow each other downwards, or the points that should fix a vertebra's pose lie on one line.
    """
    points_mm = world_from_lps(read_points(path))
    given, known = np.isfinite(points_mm).all(-1), np.isfinite(found.positions_mm).all(-1)
    stayed = given & known & (np.linalg.norm(points_mm - found.positions_mm, axis=-1) < _MOVED_MM)
    by_hand, deleted = given & ~stayed, known & ~given
    _check_order(path, points_mm, by_hand)
    _check_spread(path, points_mm, by_hand)
    superseded = (by_hand.sum(1, keepdims=True) >= MIN_LANDMARKS) & ~by_hand
    decoded = {}
    for view in VIEWS:
        seen = observed.decoded[view]
        pixels = observed.geometry[view].project(np.nan_to_num(points_mm))
        _check_inside(path, view, pixels, by_hand, NAMES, observed.canonical[view].camera.size_px)
        placed = np.where(by_hand[..., None], pixels, seen.landmarks_px)
        placed[deleted] = np.nan
        confidence = np.where(by_hand, 1.0, np.where(superseded | deleted, 0.0, seen.landmark_confidence))
        decoded[view] = replace(seen, landmarks_px=placed, landmark_confidence=confidence)
    edited, anchors_by_hand = _with_anchors(path, replace(observed, decoded=decoded))
    landmarks = triangulate_landmarks(edited.geometry, edited.landmarks)
    # What is superseded keeps its place, so that the file that is written next still shows it.
    kept_mm = np.where((superseded & stayed)[..., None], found.positions_mm, landmarks.positions_mm)
    found = replace(landmarks, positions_mm=kept_mm, by_hand=by_hand)
    return EditedLandmarks(edited, found, by_hand, anchors_by_hand)


def _with_anchors(path: str | Path, observed: ObservedStudy) -> tuple[ObservedStudy, np.ndarray]:
    """The study with a user's points of T12 and S1 in place of the network's, and which [6] these are."""
    points_mm, found_mm = world_from_lps(read_anchor_points(path)), observed.located_anchors().positions_mm
    given, known = np.isfinite(points_mm).all(-1), np.isfinite(found_mm).all(-1)
    by_hand = given & ~(known & (np.linalg.norm(points_mm - found_mm, axis=-1) < _MOVED_MM))
    deleted = known & ~given
    if not (by_hand | deleted).any():
        return observed, by_hand
    certain = {level for (level, _), own in zip(ANCHOR_POINTS, by_hand, strict=True) if own}
    decoded = {}
    for view in VIEWS:
        seen, canonical = observed.decoded[view], observed.canonical[view]
        anchors = seen.anchors or SpineAnchors.nothing()
        own = anchor_view(anchors, canonical)
        pixels = observed.geometry[view].project(np.nan_to_num(points_mm))
        _check_inside(path, view, pixels, by_hand, ANCHOR_NAMES, canonical.camera.size_px)
        positions_px = np.where(by_hand[:, None], pixels, own.positions_px)
        positions_px[deleted] = np.nan
        scales_px = np.where(by_hand, _BY_HAND_SCALE_PX, own.scales_px)
        decoded[view] = replace(seen, anchors=anchors.with_points(positions_px, scales_px, certain))
    return replace(observed, decoded=decoded), by_hand


def marked_by_hand(
    views: dict[str, ViewLandmarks], by_hand: np.ndarray, *, alone: bool = False
) -> dict[str, ViewLandmarks]:
    """The landmarks of both views, marked where they were set by hand: there they weigh more in a registration.

    Args:
        views: the landmarks.
        by_hand: [5, 7] which were set by hand.
        alone: the others do not count at all, as where those set by hand are to be held (`registration_config`).
    """
    if alone and by_hand.any():
        views = {
            view: replace(seen, confidence=np.where(by_hand, seen.confidence, 0.0)) for view, seen in views.items()
        }
    return {view: replace(seen, by_hand=by_hand) for view, seen in views.items()}


def overruled(landmarks: Landmarks3D, by_hand: np.ndarray, result: RegistrationResult) -> tuple[str, ...]:
    """Where the pictures drew a vertebra away from where a user had set its landmarks, a sentence each.

    Args:
        landmarks: in space, those set by hand among them.
        by_hand: [5, 7] which these are.
        result: the registration.
    """
    doubts = []
    for level, fit in result.vertebrae.items():
        own = by_hand[LEVELS.index(level)]
        if not own.any():
            continue
        points_mm = fit.world_from_vertebra.apply(
            fit.shape.landmarks(np.concatenate([fit.coefficients, fit.free_form]))
        )
        set_mm = landmarks.positions_mm[LEVELS.index(level)]
        distance = float(np.linalg.norm((points_mm - set_mm)[own], axis=1).mean())
        if distance > OVERRULED_MM:
            doubts.append(
                f"{level}: the pictures disagree with the {own.sum()} landmarks set by hand: the mesh's own lie "
                f"{distance:.1f} mm from them (mean); --hold_landmarks true holds them against the pictures"
            )
    return tuple(doubts)


def landmark_names(which: np.ndarray, anchors: np.ndarray) -> list[str]:
    """The landmarks of the masks [5, 7] and [6], as a markups file names them."""
    return [name for name, own in zip((*NAMES, *ANCHOR_NAMES), (*which.ravel(), *anchors), strict=True) if own]


def _check_inside(
    path: str | Path,
    view: str,
    pixels: np.ndarray,
    by_hand: np.ndarray,
    names: Sequence[str],
    size_px: tuple[int, int],
) -> None:
    size = np.array(size_px)
    away = by_hand & ((pixels < -_MARGIN * size) | (pixels > (1 + _MARGIN) * size)).any(-1)
    if away.any():
        name = names[int(np.flatnonzero(away.ravel())[0])]
        raise InputError(
            f"{path}: {name}: lies far outside of the {view} radiograph, expected the landmarks.mrk.json "
            "(LPS axes) of a reconstruction of these radiographs; is it the file of another study, or of an earlier version?"
        )


def _check_order(path: str | Path, points_mm: np.ndarray, by_hand: np.ndarray) -> None:
    """Refuses a level that was set by hand and does not lie below the next level above it in the file."""
    given = np.isfinite(points_mm).all(-1)
    levels = np.flatnonzero(given.any(1))
    for upper, lower in pairwise(levels):
        both = given[upper] & given[lower]
        if not both.any() or not (by_hand[upper] | by_hand[lower]).any():
            continue
        step = float((points_mm[upper, both, 2] - points_mm[lower, both, 2]).mean())
        if step < _LEAST_STEP_MM:
            raise InputError(
                f"{path}: {LEVELS[lower]} lies {step:.0f} mm below {LEVELS[upper]} (mean over landmarks of the same name), "
                f"expected more than {_LEAST_STEP_MM:g} mm: are levels exchanged?"
            )


def _check_spread(path: str | Path, points_mm: np.ndarray, by_hand: np.ndarray) -> None:
    """Refuses three points or more of a vertebra, set by hand, that lie on one line or in one place."""
    for level, own in enumerate(by_hand):
        if own.sum() < MIN_LANDMARKS:
            continue
        points = points_mm[level, own]
        across = float(np.linalg.svd(points - points.mean(0), compute_uv=False)[1])
        if across < _LEAST_SPREAD_MM:
            raise InputError(
                f"{path}: the {own.sum()} points of {LEVELS[level]} that were set by hand lie on one line (within "
                f"{across:.1f} mm), expected points that fix its pose"
            )
