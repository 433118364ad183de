"""Landmarks of both views to landmarks in space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import LANDMARKS, LEVELS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import BiplanarGeometry, triangulate

_SHAPE = (len(LEVELS), len(LANDMARKS))
MIN_LANDMARKS = 3
"""Fewest landmarks that fix the pose of a vertebra."""
BY_HAND_WEIGHT = 25.0
"""Weight of a landmark set by hand against one that the network is sure of: a fifth of its standard deviation."""


@dataclass(frozen=True)
class ViewLandmarks:
    """The landmarks of one view.

    Args:
        positions_px: [5, 7, 2] (u, v); NaN where a landmark was not found.
        confidence: [5, 7] in [0, 1]; 1 for a landmark that was set by hand.
        by_hand: [5, 7] bool, which were set by hand; none by default.

    Raises:
        InputError: if a shape is wrong or a confidence outside of [0, 1].
    """

    positions_px: np.ndarray
    confidence: np.ndarray
    by_hand: np.ndarray | None = None

    def __post_init__(self) -> None:
        positions = np.array(self.positions_px, dtype=np.float64)
        confidence = np.array(self.confidence, dtype=np.float64)
        if positions.shape != (*_SHAPE, 2) or confidence.shape != _SHAPE:
            raise InputError(
                f"positions_px must be {(*_SHAPE, 2)} and confidence {_SHAPE}, "
                f"found {positions.shape} and {confidence.shape}"
            )
        found = np.isfinite(positions).all(-1)
        confidence = np.where(found, np.nan_to_num(confidence), 0.0)
        if not ((confidence >= 0) & (confidence <= 1)).all():
            raise InputError(f"confidence must be in [0, 1], found {confidence.min():.3g} to {confidence.max():.3g}")
        object.__setattr__(self, "positions_px", positions)
        object.__setattr__(self, "confidence", confidence)
        object.__setattr__(self, "by_hand", _mask(self.by_hand))

    @property
    def weight(self) -> np.ndarray:
        """[5, 7] how much each landmark counts: its confidence, or `BY_HAND_WEIGHT`."""
        return np.where(self.by_hand, BY_HAND_WEIGHT, self.confidence)

    @property
    def found(self) -> np.ndarray:
        """[5, 7] bool: the landmark has a position and a confidence above zero."""
        return np.isfinite(self.positions_px).all(-1) & (self.confidence > 0)


@dataclass(frozen=True)
class Landmarks3D:
    """Landmarks in space.

    Args:
        positions_mm: [5, 7, 3] world mm; NaN where a view does not show the landmark.
        gap_mm: [5, 7] distance between the two rays: how much the views disagree.
        confidence: [5, 7] product of the views' confidences.
        present: [5] bool: enough landmarks of the level are known to fix its pose.
        by_hand: [5, 7] bool, which were set by hand; none by default.
    """

    positions_mm: np.ndarray
    gap_mm: np.ndarray
    confidence: np.ndarray
    present: np.ndarray
    by_hand: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_hand", _mask(self.by_hand))

    @property
    def weight(self) -> np.ndarray:
        """[5, 7] how much each landmark counts: its confidence, or `BY_HAND_WEIGHT`."""
        return np.where(self.by_hand, BY_HAND_WEIGHT, self.confidence)

    @property
    def present_levels(self) -> tuple[str, ...]:
        """Names of the levels that can be registered."""
        return tuple(level for level, present in zip(LEVELS, self.present, strict=True) if present)

    @property
    def missing_levels(self) -> tuple[str, ...]:
        """Names of the levels that at least one view does not show well enough."""
        return tuple(level for level, present in zip(LEVELS, self.present, strict=True) if not present)


def triangulate_landmarks(geometry: BiplanarGeometry, landmarks: Mapping[str, ViewLandmarks]) -> Landmarks3D:
    """The landmarks in space that both views agree on best.

    Args:
        geometry: cameras of the images in which `landmarks` are given.
        landmarks: for each of "ap" and "lat".

    Raises:
        InputError: if a view is missing.
    """
    if set(landmarks) != set(VIEWS):
        raise InputError(f"landmarks must hold the views {VIEWS}, found {sorted(landmarks)}")
    ap, lat = landmarks["ap"], landmarks["lat"]
    found = ap.found & lat.found
    result = triangulate(geometry.ap, geometry.lat, ap.positions_px, lat.positions_px)
    return Landmarks3D(
        positions_mm=np.where(found[..., None], result.points_mm, np.nan),
        gap_mm=np.where(found, result.gap_mm, np.nan),
        confidence=np.where(found, ap.confidence * lat.confidence, 0.0),
        present=found.sum(-1) >= MIN_LANDMARKS,
        by_hand=found & ap.by_hand & lat.by_hand,
    )


def _mask(by_hand: np.ndarray | None) -> np.ndarray:
    return np.zeros(_SHAPE, dtype=bool) if by_hand is None else np.asarray(by_hand, dtype=bool)
