"""Landmarks of one radiograph as a Slicer markups file (.mrk.json), and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import write_text
from lumbar_ext.label.image_space import ImageSpace

SUFFIX = ".mrk.json"
NAMES = tuple(f"{level} {landmark}" for level in LEVELS for landmark in LANDMARKS)
"""Labels of the control points, in the order of landmark arrays [5, 7] read row by row."""

_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
_LPS_FROM = {"LPS": np.ones(3), "RAS": np.array([-1.0, -1.0, 1.0])}
_MAX_BYTES = 2_000_000
_MARGIN = 0.5


def write_markups(path: str | Path, landmarks_px: np.ndarray, confidence: np.ndarray, space: ImageSpace) -> None:
    """Writes one point list with all 35 landmarks; those not found are "undefined", so that a user can place them.

    Args:
        path: the file, atomically replaced.
        landmarks_px: [5, 7, 2] (u, v), NaN where unknown.
        confidence: [5, 7] in [0, 1], shown as the points' descriptions.
        space: the frame of the image.
    """
    positions = space.position_mm(landmarks_px).reshape(-1, 3)
    points = [
        _control_point(index, position, value)
        for index, (position, value) in enumerate(zip(positions, np.ravel(confidence), strict=True))
    ]
    markup = {
        "type": "Fiducial",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "labelFormat": "%N-%d",
        "controlPoints": points,
    }
    write_text(path, json.dumps({"@schema": _SCHEMA, "markups": [markup]}, indent=1) + "\n")


def read_markups(path: str | Path, space: ImageSpace) -> np.ndarray:
    """Landmarks [5, 7, 2] (u, v) of a point list that a user has corrected; NaN where a point is missing or undefined.

    Raises:
        InputError: naming the file and the point, for anything but point lists with known labels, once each, on the
            image.
    """
    document = _parse(Path(path))
    landmarks_px = np.full((len(NAMES), 2), np.nan)
    for markup in _lists(path, document):
        sign = _LPS_FROM.get(markup.get("coordinateSystem", "LPS"))
        if sign is None:
            raise InputError(f"{path}: coordinateSystem is {markup['coordinateSystem']!r}, expected 'LPS' or 'RAS'")
        for point in markup["controlPoints"]:
            index = _index(path, point)
            if not np.isnan(landmarks_px[index]).all():
                raise InputError(f"{path}: the point {point['label']!r} is there twice, expected once")
            if point.get("positionStatus", "defined") == "defined":
                landmarks_px[index] = _pixel(path, point, sign, space)
    if np.isnan(landmarks_px).all():
        raise InputError(f"{path}: no point has a position, expected at least one of {NAMES[0]!r} ...")
    return landmarks_px.reshape(len(LEVELS), len(LANDMARKS), 2)


def _control_point(index: int, position_mm: np.ndarray, confidence: float) -> dict[str, Any]:
    known = bool(np.isfinite(position_mm).all())
    return {
        "id": str(index + 1),
        "label": NAMES[index],
        "description": f"confidence {confidence:.2f}" if known else "not found",
        "position": np.round(position_mm, 4).tolist() if known else [0.0, 0.0, 0.0],
        "selected": True,
        "locked": False,
        "visibility": True,
        "positionStatus": "defined" if known else "undefined",
    }


def _parse(path: Path) -> Any:
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{path}: {path.stat().st_size} bytes, expected a markups file of at most {_MAX_BYTES}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path}: no markups file, not valid JSON ({error})") from error


def _lists(path: str | Path, document: Any) -> list[dict[str, Any]]:
    lists = document.get("markups") if isinstance(document, dict) else None
    fitting = isinstance(lists, list) and all(
        isinstance(markup, dict)
        and isinstance(markup.get("controlPoints"), list)
        and all(isinstance(point, dict) for point in markup["controlPoints"])
        for markup in lists
    )
    if not lists or not fitting:
        raise InputError(f"{path}: no point list, expected 'markups' with 'controlPoints', as 3D Slicer saves them")
    return lists


def _index(path: str | Path, point: dict[str, Any]) -> int:
    label = point.get("label")
    if label not in NAMES:
        raise InputError(f"{path}: a point is labelled {label!r}, expected a level and a landmark such as {NAMES[0]!r}")
    return NAMES.index(label)


def _pixel(path: str | Path, point: dict[str, Any], sign: np.ndarray, space: ImageSpace) -> np.ndarray:
    position = point.get("position")
    numbers = isinstance(position, list) and len(position) == 3 and all(type(n) in (int, float) for n in position)
    if not numbers or not np.isfinite(position).all():
        raise InputError(f"{path}: {point['label']}: position is {position!r}, expected three finite numbers")
    uv_px = space.pixel(sign * position)
    size_px = np.array(space.size_px)
    # A tip may lie a little beyond the border; half an image away is another image's file.
    if (uv_px < -_MARGIN * size_px).any() or (uv_px > (1 + _MARGIN) * size_px).any():
        raise InputError(
            f"{path}: {point['label']}: lies at pixel {np.round(uv_px).tolist()} of an image of {list(space.size_px)} "
            "[columns, rows]; is it the file of another image?"
        )
    return uv_px
