"""Endplate planes of a vertebra: what discs stand on and what lordosis is measured between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import LANDMARKS
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.surface import Surface

_MIN_FACING_COSINE = 0.75  # of a plate's normals to the axis, 41 deg
_MAX_HEIGHT_DEVIATION_MM = 5.0  # from the plate's landmark
_MAX_RADIUS_MM = 17.0  # around it: within the rim of the smallest plate
_MIDSAGITTAL_HALF_WIDTH_MM = 5.0  # of the strip that gives the plate's depth
# The rim of an endplate is where its surface has turned by this much away from the plate's normal.
_RIM_COSINE = 0.7
_RIM_STRIP_MM = 2.5  # half the width of the strip towards each rim point
_CENTRE_RADIUS_MM = 6.0  # of the patch whose mean is the plate's centre

PLATE_POINTS = ("centre", "anterior", "posterior", "left", "right")
"""Points of an endplate: the middle of its surface, and where the rim meets its sagittal and its coronal plane."""


@dataclass(frozen=True)
class EndplatePlane:
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

    def moved(self, target_from_source: RigidTransform) -> EndplatePlane:
        """The endplate in another frame."""
        return EndplatePlane(
            target_from_source.apply(self.centre_mm),
            target_from_source.rotation @ self.normal,
            self.half_depth_mm,
            self.behind_mm,
        )


@dataclass(frozen=True)
class EndplatePair:
    """Both endplates of one vertebra."""

    superior: EndplatePlane
    inferior: EndplatePlane


def find_endplates(vertebra: Surface, landmarks_mm: np.ndarray) -> EndplatePair:
    """Fits planes to the endplates of a vertebra in its own frame.

    Args:
        vertebra: mesh in the vertebra frame.
        landmarks_mm: [7, 3] its landmarks.
    """
    superior = _fit(vertebra, landmarks_mm[LANDMARKS.index("superior_endplate")], side=1)
    return EndplatePair(superior, _fit(vertebra, landmarks_mm[LANDMARKS.index("inferior_endplate")], side=-1))


def _fit(vertebra: Surface, centre_mm: np.ndarray, *, side: int) -> EndplatePlane:
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
    return EndplatePlane(np.array(centre_mm), normal / np.linalg.norm(normal), float(high - low) / 2, float(-low))


def plate_points(bone: Surface, centre_mm: np.ndarray) -> tuple[np.ndarray, ...]:
    """The vertices that mark the `PLATE_POINTS` of a superior endplate, in whatever way the bone is deformed later.

    Args:
        bone: mesh in a frame with X front, Y left and Z along the endplate's normal.
        centre_mm: [3] about the middle of the endplate.

    Returns:
        For each point, indices of the vertices whose mean it is.
    """
    offset = bone.vertices_mm - centre_mm
    up = bone.normals[:, 2] > _RIM_COSINE
    on_plate = np.abs(offset[:, 2]) < _MAX_HEIGHT_DEVIATION_MM
    ends = [
        _rim_vertex(side * offset[:, along], np.abs(offset[:, across]), on_plate, up)
        for along, across in ((0, 1), (1, 0))
        for side in (1, -1)
    ]
    middle = (bone.vertices_mm[ends[:2], 0].mean(), bone.vertices_mm[ends[2:], 1].mean())
    distance = np.hypot(bone.vertices_mm[:, 0] - middle[0], bone.vertices_mm[:, 1] - middle[1])
    centre = np.flatnonzero(on_plate & up & (distance < _CENTRE_RADIUS_MM))
    return (centre, *(np.array([end]) for end in ends))


def _rim_vertex(along: np.ndarray, across: np.ndarray, on_plate: np.ndarray, up: np.ndarray) -> int:
    """The last vertex that faces up of a strip walked outwards from the middle of the plate.

    Args:
        along: [V] mm outwards.
        across: [V] mm beside the strip's middle.
        on_plate: [V] whether a vertex is near the height of the plate.
        up: [V] whether it faces up.
    """
    strip = np.flatnonzero((across < _RIM_STRIP_MM) & on_plate & (along > 0))
    strip = strip[np.argsort(along[strip])]
    turned = np.flatnonzero(~up[strip])
    last = turned[0] - 1 if len(turned) else len(strip) - 1
    return int(strip[max(last, 0)])


def slip_fraction(upper: EndplatePlane, lower: EndplatePlane, upper_from_lower: RigidTransform) -> float:
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
