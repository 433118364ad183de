"""Landmarks of L1 to L5, T12 and S1 as a point list of 3D Slicer (.mrk.json), and back.

Positions are LPS, as 3D Slicer takes them: of a person (`geometry.axes`), or in the plane of a radiograph that Slicer shows
(`lumbar_ext.label.image_markups`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lumbar_ext.anatomy import ANCHOR_POINTS, LANDMARKS, LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import write_text
from lumbar_ext.io.json_document import parse_json

SUFFIX = ".mrk.json"
NAMES = tuple(f"{level} {landmark}" for level in LEVELS for landmark in LANDMARKS)
"""Labels of the control points, in the order of landmark arrays [5, 7] read row by row."""

ANCHOR_NAMES = tuple(f"{level} {name}" for level, name in ANCHOR_POINTS)
"""Labels of the points of T12 and S1, which may follow."""

_ALL_NAMES = (*NAMES, *ANCHOR_NAMES)
_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
_LPS_FROM = {"LPS": np.ones(3), "RAS": np.array([-1.0, -1.0, 1.0])}

_SHOWN = 60
"""Characters of a foreign label that a message shows."""


def write_points(
    path: str | Path,
    positions_mm: np.ndarray,
    confidence: np.ndarray,
    anchors_mm: np.ndarray | None = None,
    anchor_confidence: np.ndarray | None = None,
) -> None:
    """Writes one point list with all 35 landmarks; those not found are "undefined", so that a user can place them.

    Args:
        path: the file, atomically replaced.
        positions_mm: [5, 7, 3] LPS, NaN where unknown.
        confidence: [5, 7] in [0, 1], shown as the points' descriptions.
        anchors_mm: [6, 3] the same of `anatomy.ANCHOR_POINTS`; without them the list ends with L5.
        anchor_confidence: [6] of these.
    """
    places, shares = positions_mm.reshape(-1, 3), np.ravel(confidence)
    if anchors_mm is not None:
        places, shares = np.concatenate([places, anchors_mm]), np.concatenate([shares, anchor_confidence])
    values = zip(places, shares, strict=True)
    markup = {
        "type": "Fiducial",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "labelFormat": "%N-%d",
        "controlPoints": [_control_point(index, position, value) for index, (position, value) in enumerate(values)],
    }
    write_text(path, json.dumps({"@schema": _SCHEMA, "markups": [markup]}, indent=1) + "\n")


def read_points(path: str | Path) -> np.ndarray:
    """LPS positions [5, 7, 3] in mm of the point lists in a file; NaN where a point is missing or undefined.

    Raises:
        InputError: naming the file and the point, for anything but point lists in mm with known labels, once each.
    """
    return _read_all(path)[: len(NAMES)].reshape(len(LEVELS), len(LANDMARKS), 3)


def read_anchor_points(path: str | Path) -> np.ndarray:
    """LPS positions [6, 3] of T12 and S1 in the same file; arguments and errors as of `read_points`."""
    return _read_all(path)[len(NAMES) :]


def _read_all(path: str | Path) -> np.ndarray:
    """[41, 3] positions of all points that may stand in a file."""
    positions_mm = np.full((len(_ALL_NAMES), 3), np.nan)
    for markup in _lists(path, parse_json(path, "a markups file")):
        sign = _sign(path, markup)
        for point in markup["controlPoints"]:
            index = _index(path, point)
            if not np.isnan(positions_mm[index]).all():
                raise InputError(f"{path}: the point {point['label']!r} is there twice, expected once")
            if point.get("positionStatus", "defined") == "defined":
                positions_mm[index] = sign * _position(path, point)
    if np.isnan(positions_mm).all():
        raise InputError(f"{path}: no point has a position, expected at least one of {NAMES[0]!r} ...")
    return positions_mm


def _control_point(index: int, position_mm: np.ndarray, confidence: float) -> dict[str, Any]:
    known = bool(np.isfinite(position_mm).all())
    return {
        "id": str(index + 1),
        "label": _ALL_NAMES[index],
        "description": f"confidence {confidence:.2f}" if known else "not found",
        "position": np.round(position_mm, 4).tolist() if known else [0.0, 0.0, 0.0],
        "selected": True,
        "locked": False,
        "visibility": True,
        "positionStatus": "defined" if known else "undefined",
    }


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


def _sign(path: str | Path, markup: dict[str, Any]) -> np.ndarray:
    """[3] what brings positions of a list to LPS."""
    system, units = markup.get("coordinateSystem", "LPS"), markup.get("coordinateUnits", "mm")
    sign = _LPS_FROM.get(system) if isinstance(system, str) else None
    if sign is None:
        raise InputError(f"{path}: coordinateSystem is {system!r}, expected 'LPS' or 'RAS'")
    if units != "mm":
        raise InputError(f"{path}: coordinateUnits is {units!r}, expected 'mm'")
    return sign


def _index(path: str | Path, point: dict[str, Any]) -> int:
    label = point.get("label")
    if label not in _ALL_NAMES:
        raise InputError(
            f"{path}: a point is labelled {str(label)[:_SHOWN]!r}, expected a level and a landmark such as {NAMES[0]!r}"
        )
    return _ALL_NAMES.index(label)


def _position(path: str | Path, point: dict[str, Any]) -> np.ndarray:
    position = point.get("position")
    numbers = isinstance(position, list) and len(position) == 3 and all(type(n) in (int, float) for n in position)
    if not numbers or not np.isfinite(position).all():
        raise InputError(f"{path}: {point['label']}: position is {position!r}, expected three finite numbers")
    return np.array(position, dtype=np.float64)
