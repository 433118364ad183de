"""Landmarks of one radiograph as a Slicer markups file (.mrk.json), and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.label.image_space import ImageSpace
from lumbar_ext.landmarks.markups import ANCHOR_NAMES, NAMES, read_anchor_points, read_points, write_points

_MARGIN = 0.5  # of the image's size: how far outside of it a point may lie


def write_markups(path: str | Path, landmarks_px: np.ndarray, confidence: np.ndarray, space: ImageSpace) -> None:
    """Writes one point list with all 35 landmarks; those not found are "undefined", so that a user can place them.

    Args:
        path: the file, atomically replaced.
        landmarks_px: [5, 7, 2] (u, v), NaN where unknown.
        confidence: [5, 7] in [0, 1], shown as the points' descriptions.
        space: the frame of the image.
    """
    write_points(path, space.position_mm(landmarks_px), confidence)


def read_markups(path: str | Path, space: ImageSpace) -> np.ndarray:
    """Landmarks [5, 7, 2] (u, v) of a point list that a user has corrected; NaN where a point is missing or undefined.

    Raises:
        InputError: naming the file and the point, for anything but point lists with known labels, once each, on the
            image; and for points of T12 or S1, which nothing that reads the labels of one radiograph would heed.
    """
    beside = np.isfinite(read_anchor_points(path)).all(-1)
    for index in np.flatnonzero(beside):
        raise InputError(
            f"{path}: {ANCHOR_NAMES[index]}: labels of one radiograph hold L1 to L5 only, expected the points of T12 and S1 in "
            "the landmarks.mrk.json of a reconstruction, where they are taken up"
        )
    landmarks_px = space.pixel(read_points(path))
    size_px = np.array(space.size_px)
    # A tip may lie a little beyond the border; half an image away is another image's file.
    away = ((landmarks_px < -_MARGIN * size_px) | (landmarks_px > (1 + _MARGIN) * size_px)).any(-1)
    for index in np.flatnonzero(away):
        raise InputError(
            f"{path}: {NAMES[index]}: lies at pixel {np.round(landmarks_px.reshape(-1, 2)[index]).tolist()} of an image of "
            f"{list(space.size_px)} [columns, rows]; is it the file of another image?"
        )
    return landmarks_px
