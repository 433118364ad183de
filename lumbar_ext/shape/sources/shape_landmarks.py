"""Landmarks that a user gives with a vertebra, and the pose they stand for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import LANDMARKS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform, fit_rigid
from lumbar_ext.io.json_document import parse_json

_FEWEST = 3  # points that fix a pose
_LARGEST_RESIDUAL_MM = 20.0  # root mean square of a rigid fit: beyond it the points are of another shape or unit


def read_shape_landmarks(path: str | Path) -> dict[str, np.ndarray]:
    """Positions [3] by landmark name, in the unit and world of the vertebra's file.

    Raises:
        InputError: if the file is no JSON object of landmark names and three numbers each, or holds fewer than three.
    """
    document = parse_json(path, "a file of landmarks")
    if not isinstance(document, dict) or set(document) - set(LANDMARKS):
        found = sorted(document) if isinstance(document, dict) else type(document).__name__
        raise InputError(f"{path}: expected an object of landmarks {', '.join(LANDMARKS)}, found {found}")
    if len(document) < _FEWEST:
        raise InputError(f"{path}: {len(document)} landmarks are too few, expected at least {_FEWEST}")
    try:
        positions = {name: np.array(value, dtype=np.float64) for name, value in document.items()}
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: positions must be three numbers ({error})") from error
    for name, value in positions.items():
        if value.shape != (3,) or not np.isfinite(value).all():
            raise InputError(f"{path}: {name} is {document[name]}, expected three finite numbers")
    return positions


def pose_from_landmarks(
    landmarks_mm: dict[str, np.ndarray], template_landmarks_mm: np.ndarray, name: str
) -> RigidTransform:
    """`target_from_template` that brings the template's landmarks [7, 3] onto those given, by least squares.

    Raises:
        InputError: if they are in a line, or so far off that left and right or the unit must be wrong.
    """
    given = np.stack([landmarks_mm[n] for n in landmarks_mm])
    own = np.asarray(template_landmarks_mm)[[LANDMARKS.index(n) for n in landmarks_mm]]
    if np.linalg.matrix_rank(given - given.mean(axis=0), tol=1.0) < 2:
        raise InputError(f"{name}: the landmarks {', '.join(landmarks_mm)} lie in a line, the pose is undetermined")
    target_from_template = fit_rigid(own, given)
    residual = np.linalg.norm(target_from_template.apply(own) - given, axis=1).max()
    if residual > _LARGEST_RESIDUAL_MM:
        raise InputError(
            f"{name}: the landmarks do not fit a vertebra, one is {residual:.0f} mm off; are left and right swapped?"
        )
    return target_from_template
