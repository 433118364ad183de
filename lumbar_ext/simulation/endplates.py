"""Endplate planes of a vertebra: what discs stand on and what lordosis is measured between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import LANDMARKS
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.simulation.solid import Solid

_MIN_FACING_COSINE = 0.75
_MAX_HEIGHT_DEVIATION_MM = 5.0
_MAX_RADIUS_MM = 17.0
_MIDSAGITTAL_HALF_WIDTH_MM = 5.0


@dataclass(frozen=True)
class Endplate:
    """The plane of an endplate.

    Args:
        centre_mm: [3] its centre.
        normal: [3] unit vector away from the vertebral body.
        half_depth_mm: half of its front-to-back extent.
    """

    centre_mm: np.ndarray
    normal: np.ndarray
    half_depth_mm: float

    def moved(self, target_from_source: RigidTransform) -> Endplate:
        """The endplate in another frame."""
        return Endplate(
            target_from_source.apply(self.centre_mm), target_from_source.rotation @ self.normal, self.half_depth_mm
        )


@dataclass(frozen=True)
class EndplatePair:
    """Both endplates of one vertebra."""

    superior: Endplate
    inferior: Endplate


def find_endplates(vertebra: Solid, landmarks_mm: np.ndarray) -> EndplatePair:
    """Fits planes to the endplates of a vertebra in its own frame.

    Args:
        vertebra: mesh in the vertebra frame.
        landmarks_mm: [7, 3] its landmarks.
    """
    superior = _fit(vertebra, landmarks_mm[LANDMARKS.index("superior_endplate")], side=1)
    return EndplatePair(superior, _fit(vertebra, landmarks_mm[LANDMARKS.index("inferior_endplate")], side=-1))


def _fit(vertebra: Solid, centre_mm: np.ndarray, *, side: int) -> Endplate:
    """Least-squares plane `z = a + b x + c y` through the vertices near the centre that face `side` (+1 up)."""
    offset = vertebra.vertices_mm - centre_mm
    near = (
        (vertebra.normals[:, 2] * side > _MIN_FACING_COSINE)
        & (np.abs(offset[:, 2]) < _MAX_HEIGHT_DEVIATION_MM)
        & (np.hypot(offset[:, 0], offset[:, 1]) < _MAX_RADIUS_MM)
    )
    if near.sum() < 10:
        raise ValueError(
            f"found {near.sum()} vertices on an endplate, expected at least 10: is the mesh in its vertebra frame?"
        )
    points = offset[near]
    design = np.column_stack([np.ones(len(points)), points[:, :2]])
    _, slope_x, slope_y = np.linalg.lstsq(design, points[:, 2], rcond=None)[0]
    normal = side * np.array([-slope_x, -slope_y, 1.0])
    middle = points[np.abs(points[:, 1]) < _MIDSAGITTAL_HALF_WIDTH_MM]
    half_depth = np.ptp(middle[:, 0]) / 2 if len(middle) > 1 else _MAX_RADIUS_MM
    return Endplate(np.array(centre_mm), normal / np.linalg.norm(normal), float(half_depth))
