"""Endplate planes of a vertebra: what discs stand on and what lordosis is measured between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import LANDMARKS
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.solid import Surface

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
        behind_mm: from the centre back to its hind edge.
    """

    centre_mm: np.ndarray
    normal: np.ndarray
    half_depth_mm: float
    behind_mm: float

    @property
    def forward(self) -> np.ndarray:
        """[3] the front (X) in its plane."""
        forward = np.array([1.0, 0.0, 0.0]) - self.normal[0] * self.normal
        return forward / np.linalg.norm(forward)

    def moved(self, target_from_source: RigidTransform) -> Endplate:
        """The endplate in another frame."""
        return Endplate(
            target_from_source.apply(self.centre_mm),
            target_from_source.rotation @ self.normal,
            self.half_depth_mm,
            self.behind_mm,
        )


@dataclass(frozen=True)
class EndplatePair:
    """Both endplates of one vertebra."""

    superior: Endplate
    inferior: Endplate


def find_endplates(vertebra: Surface, landmarks_mm: np.ndarray) -> EndplatePair:
    """Fits planes to the endplates of a vertebra in its own frame.

    Args:
        vertebra: mesh in the vertebra frame.
        landmarks_mm: [7, 3] its landmarks.
    """
    superior = _fit(vertebra, landmarks_mm[LANDMARKS.index("superior_endplate")], side=1)
    return EndplatePair(superior, _fit(vertebra, landmarks_mm[LANDMARKS.index("inferior_endplate")], side=-1))


def _fit(vertebra: Surface, centre_mm: np.ndarray, *, side: int) -> Endplate:
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
    low, high = (middle[:, 0].min(), middle[:, 0].max()) if len(middle) > 1 else (-_MAX_RADIUS_MM, _MAX_RADIUS_MM)
    return Endplate(np.array(centre_mm), normal / np.linalg.norm(normal), float(high - low) / 2, float(-low))


def slip_fraction(upper: Endplate, lower: Endplate, upper_from_lower: RigidTransform) -> float:
    """How far an upper vertebra stands forward over a lower one (Meyerding 1932).

    Args:
        upper: inferior endplate of the upper vertebra, in its frame.
        lower: superior endplate of the lower vertebra, in its frame.
        upper_from_lower: pose of the lower vertebra in the frame of the upper one.

    Returns:
        Distance of the hind edges along the lower endplate as a fraction of its depth, positive forward.
    """
    forward = lower.forward
    centre = upper_from_lower.inverse().apply(upper.centre_mm)
    upper_forward = upper_from_lower.rotation.T @ upper.forward
    hind = centre - upper.behind_mm * upper_forward
    from_edge = (hind - lower.centre_mm) @ forward + lower.behind_mm
    return float(from_edge / (2 * lower.half_depth_mm))
