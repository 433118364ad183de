"""The landmarks file of a study: seven landmarks of L1 to L5 in world mm and in pixels of both images.

A sixth lumbar vertebra may stand in the file; arrays leave it out."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import write_text
from lumbar_ext.io.json_document import check_document, read_document

_SCHEMA = "landmarks.schema.json"
_COMPONENTS = {"position_mm": 3, "ap_px": 2, "lat_px": 2, "confidence_ap": 0, "confidence_lat": 0, "gap_mm": 0}
_DIGITS = 6


@dataclass(frozen=True)
class StudyLandmarks:
    """Landmarks in the order of `anatomy.LEVELS` and `anatomy.LANDMARKS`; NaN where unknown.

    Args:
        position_mm: [5, 7, 3] in world mm.
        ap_px: [5, 7, 2] (u, v) in the AP image.
        lat_px: [5, 7, 2] (u, v) in the lateral image.
        confidence_ap: [5, 7] in [0, 1].
        confidence_lat: [5, 7] in [0, 1].
        gap_mm: [5, 7] distance of the two rays at the landmark.

    Raises:
        InputError: if a shape is wrong.
    """

    position_mm: np.ndarray
    ap_px: np.ndarray
    lat_px: np.ndarray
    confidence_ap: np.ndarray
    confidence_lat: np.ndarray
    gap_mm: np.ndarray

    def __post_init__(self) -> None:
        for name in _COMPONENTS:
            value = np.array(getattr(self, name), dtype=np.float64)
            if value.shape != _shape(name):
                raise InputError(f"{name} must have the shape {_shape(name)}, found {value.shape}")
            object.__setattr__(self, name, value)


def write_landmarks(path: str | Path, landmarks: StudyLandmarks) -> None:
    """Writes the landmarks as JSON, atomically, rounded to 1e-6; unknown values become null.

    Raises:
        InputError: if a confidence is outside [0, 1] or a gap is negative.
    """
    vertebrae = {
        level: {name: _entry(landmarks, i, j) for j, name in enumerate(LANDMARKS)} for i, level in enumerate(LEVELS)
    }
    document = {"vertebrae": vertebrae}
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
    vertebrae = read_document(path, _SCHEMA)["vertebrae"]
    values = {name: np.full(_shape(name), np.nan) for name in _COMPONENTS}
    for i, level in enumerate(LEVELS):
        for j, landmark in enumerate(LANDMARKS):
            for name, value in vertebrae.get(level, {}).get(landmark, {}).items():
                if value is not None:
                    values[name][i, j] = value
    return StudyLandmarks(**values)


def _shape(name: str) -> tuple[int, ...]:
    components = _COMPONENTS[name]
    return (len(LEVELS), len(LANDMARKS), components) if components else (len(LEVELS), len(LANDMARKS))


def _entry(landmarks: StudyLandmarks, level: int, landmark: int) -> dict[str, Any]:
    fields = (field.name for field in dataclasses.fields(landmarks))
    return {name: _plain(getattr(landmarks, name)[level, landmark]) for name in fields}


def _plain(value: np.ndarray) -> float | list[float] | None:
    """A JSON value; None if any component is not finite."""
    return np.round(value, _DIGITS).tolist() if np.isfinite(value).all() else None
