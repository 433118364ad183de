"""The landmarks file of a study: seven landmarks of L1 to L5, the centre of T12 and five landmarks of S1, in world mm and in
pixels of both images.

A sixth lumbar vertebra may stand in the file; arrays leave it out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import ANCHOR_POINTS, LANDMARKS, LEVELS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import write_text
from lumbar_ext.io.json_document import check_document, read_document

_SCHEMA = "landmarks.schema.json"
_DIGITS = 6  # of mm, px and confidences in the file


_SHAPE = (len(LEVELS), len(LANDMARKS))


class _InFiles:
    """Landmarks with the arrays that a file has of them."""

    def by_key(self) -> dict[str, np.ndarray]:
        """The arrays by the keys that a landmark has in the file."""
        return {
            "position_mm": self.positions_mm,
            **{f"{view}_px": self.positions_px[view] for view in VIEWS},
            **{f"confidence_{view}": self.confidence[view] for view in VIEWS},
            "gap_mm": self.gap_mm,
        }


@dataclass(frozen=True)
class AnchorLandmarks(_InFiles):
    """The points of T12 and S1 in the order of `anatomy.ANCHOR_POINTS`; NaN where unknown.

    Args:
        positions_mm: [6, 3] in world mm.
        positions_px: for each view, [6, 2] (u, v) in its image.
        confidence: for each view, [6] in [0, 1].
        gap_mm: [6] distance of the two rays at the point.
    """

    positions_mm: np.ndarray
    positions_px: dict[str, np.ndarray]
    confidence: dict[str, np.ndarray]
    gap_mm: np.ndarray

    @classmethod
    def unknown(cls) -> AnchorLandmarks:
        """Points of which nothing is known."""
        n = len(ANCHOR_POINTS)
        pixels, confidence = ({view: np.full(size, np.nan) for view in VIEWS} for size in ((n, 2), n))
        return cls(np.full((n, 3), np.nan), pixels, confidence, np.full(n, np.nan))


@dataclass(frozen=True)
class StudyLandmarks(_InFiles):
    """Landmarks in the order of `anatomy.LEVELS` and `anatomy.LANDMARKS`; NaN where unknown.

    Args:
        positions_mm: [5, 7, 3] in world mm.
        positions_px: for each view, [5, 7, 2] (u, v) in its image.
        confidence: for each view, [5, 7] in [0, 1].
        gap_mm: [5, 7] distance of the two rays at the landmark.
        anchors: T12 and S1, unknown by default.
        level_scores: by view and level, how sure the network was of a vertebra, in [0, 1]; empty where that is not told.

    Raises:
        InputError: if a shape is wrong or a view is missing.
    """

    positions_mm: np.ndarray
    positions_px: dict[str, np.ndarray]
    confidence: dict[str, np.ndarray]
    gap_mm: np.ndarray
    anchors: AnchorLandmarks = field(default_factory=AnchorLandmarks.unknown)
    level_scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "positions_mm", _array("positions_mm", self.positions_mm, 3))
        object.__setattr__(self, "gap_mm", _array("gap_mm", self.gap_mm))
        for name, components in (("positions_px", (2,)), ("confidence", ())):
            given = getattr(self, name)
            if set(given) != set(VIEWS):
                raise InputError(f"{name} must hold the views {VIEWS}, found {sorted(given)}")
            object.__setattr__(
                self, name, {view: _array(f"{name}[{view!r}]", given[view], *components) for view in VIEWS}
            )

    @classmethod
    def unknown(cls) -> StudyLandmarks:
        """Landmarks of which nothing is known yet."""
        pixels = {view: np.full((*_SHAPE, 2), np.nan) for view in VIEWS}
        confidence = {view: np.full(_SHAPE, np.nan) for view in VIEWS}
        return cls(np.full((*_SHAPE, 3), np.nan), pixels, confidence, np.full(_SHAPE, np.nan))


def write_landmarks(path: str | Path, landmarks: StudyLandmarks) -> None:
    """Writes the landmarks as JSON, atomically, rounded to 1e-6; unknown values become null.

    T12 and S1 stand in the file where anything is known of them.

    Raises:
        InputError: if a confidence is outside [0, 1] or a gap is negative.
    """
    values, others = landmarks.by_key(), landmarks.anchors.by_key()
    vertebrae = {
        level: {name: {key: _plain(value[i, j]) for key, value in values.items()} for j, name in enumerate(LANDMARKS)}
        for i, level in enumerate(LEVELS)
    }
    for place, (level, name) in enumerate(ANCHOR_POINTS):
        entry = {key: _plain(value[place]) for key, value in others.items()}
        if any(value is not None for value in entry.values()):
            vertebrae.setdefault(level, {})[name] = entry
    document = {"vertebrae": vertebrae}
    if landmarks.level_scores:
        document["level_scores"] = {
            view: {level: _plain(np.float64(score)) for level, score in own.items()}
            for view, own in landmarks.level_scores.items()
        }
    try:
        check_document(document, _SCHEMA)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    write_text(path, json.dumps(document, indent=1) + "\n")


def read_landmarks(path: str | Path) -> StudyLandmarks:
    """Reads a landmarks file; what it leaves out or gives as null becomes NaN.

    Raises:
        InputError: naming the file and key, if the document violates `lumbar_ext/io/schemas/landmarks.schema.json`.
    """
    document = read_document(path, _SCHEMA)
    vertebrae = document["vertebrae"]
    landmarks = replace(StudyLandmarks.unknown(), level_scores=document.get("level_scores", {}))
    values, others = landmarks.by_key(), landmarks.anchors.by_key()
    for i, level in enumerate(LEVELS):
        for j, landmark in enumerate(LANDMARKS):
            _fill(values, (i, j), vertebrae.get(level, {}).get(landmark, {}))
    for place, (level, name) in enumerate(ANCHOR_POINTS):
        _fill(others, place, vertebrae.get(level, {}).get(name, {}))
    return landmarks


def _fill(values: dict[str, np.ndarray], place: int | tuple[int, int], entry: dict) -> None:
    """Puts what a file says of one landmark into the arrays."""
    for name, value in entry.items():
        if value is not None:
            values[name][place] = value


def _array(name: str, given: np.ndarray, *components: int) -> np.ndarray:
    value = np.array(given, dtype=np.float64)
    if value.shape != (*_SHAPE, *components):
        raise InputError(f"{name} must have the shape {(*_SHAPE, *components)}, found {value.shape}")
    return value


def _plain(value: np.ndarray) -> float | list[float] | None:
    """A JSON value; None if any component is not finite."""
    return np.round(value, _DIGITS).tolist() if np.isfinite(value).all() else None
