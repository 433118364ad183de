"""Finds a pedicle: its narrowest section, its axis, and the longest straight line for a screw through it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from lumbar_ext.mesh.material_points import MaterialPoints
from lumbar_ext.mesh.plane_cut import Cut, Hit, WalkableSurface

SCREW_RADIUS_MM = 3.25
"""Half of 6.5 mm, the usual diameter of a lumbar pedicle screw."""

_AIM_AHEAD_MM = 50.0  # ahead of the pedicle, on the midline: where its axis is expected to point
# turn across and rise in rad, offset along the axis in mm, from which the narrowest section is searched
_STARTS = ((0.0, 0.0, 0.0), (0.0, 0.0, -3.0), (0.2, 0.0, 0.0), (0.2, 0.0, -3.0), (-0.2, 0.0, 0.0))
_FIRST_STEP = (0.14, 0.14, 2.0)  # of that search, rad, rad, mm; halved until it stays
_LAST_SHARE = 1 / 16  # of the first step: 0.5 deg and 0.1 mm
_MAX_TURN_RAD = 0.7  # from the expected axis, 40 deg
_MAX_OFFSET_MM = 8.0  # along it, half a pedicle beyond its ends
_MAX_PERIMETER_MM = 120.0  # of a section: far above a pedicle's
_NEIGHBOURHOOD_MM = 30.0  # around the landmark: what a section of the pedicle can meet
_TILTS_RAD = np.radians(np.arange(-12.0, 13.0, 6.0))
_LINE_STEP_MM = 1.0  # between the places along a screw's line where its room is measured


@dataclass(frozen=True)
class PedicleMarks:
    """What is marked on a pedicle.

    Args:
        isthmus: [N] the outline of its narrowest section, whose normal is the pedicle's axis.
        screw: [2] where the longest safe line meets the posterior and the anterior cortex; None if no line fits.
    """

    isthmus: MaterialPoints
    screw: MaterialPoints | None


def mark_pedicle(surface: WalkableSurface, centre_mm: np.ndarray) -> PedicleMarks | None:
    """Marks a pedicle: of all plane sections near its landmark the one of smallest area, by pattern search.

    Args:
        surface: a vertebra in its own frame, mm.
        centre_mm: [3] landmark of the pedicle's centre.

    Returns:
        None if no closed section of pedicle size surrounds the landmark.
    """
    centre = np.asarray(centre_mm, dtype=np.float64)
    found = _narrowest(surface.near(centre, _NEIGHBOURHOOD_MM), centre)
    if found is None:
        return None
    cut, axis = found
    line = _screw_line(surface, section_centroid_mm(cut.points_mm, axis), axis)
    return PedicleMarks(cut.marks, line and paired(surface.at(line[0]), surface.at(line[1])))


def paired(first: MaterialPoints, second: MaterialPoints) -> MaterialPoints:
    """The points of both, those of the first one before."""
    return MaterialPoints(
        np.concatenate([first.vertices, second.vertices]), np.concatenate([first.weights, second.weights])
    )


def _narrowest(surface: WalkableSurface, centre_mm: np.ndarray) -> tuple[Cut, np.ndarray] | None:
    """The section of smallest area and its normal, which points to the front."""
    forward = np.array([_AIM_AHEAD_MM, -centre_mm[1], 0.0])
    forward /= np.linalg.norm(forward)

    best, place, step = (np.inf, None, forward), np.zeros(3), 1.0

    def smaller(trials: list[np.ndarray]) -> bool:
        """Whether one of the trials has a smaller section than the best so far, and becomes the best."""
        nonlocal best, place
        before = place
        for across, rise, offset in trials:
            if max(abs(across), abs(rise)) > _MAX_TURN_RAD or abs(offset) > _MAX_OFFSET_MM:
                continue
            axis = _turned(forward, across, rise)
            found = _section(surface, centre_mm + offset * axis, axis, best[0])
            if found is not None:
                best, place = (*found, axis), np.array([across, rise, offset])
        return place is not before

    smaller([np.array(start) for start in _STARTS])
    while np.isfinite(best[0]) and step >= _LAST_SHARE:
        if not smaller([place + sign * step * row for row in np.diag(_FIRST_STEP) for sign in (1, -1)]):
            step /= 2
    return None if best[1] is None else (best[1], best[2])


def _turned(forward: np.ndarray, across_rad: float, rise_rad: float) -> np.ndarray:
    left = np.array([-forward[1], forward[0], 0.0])
    axis = forward + np.tan(across_rad) * left + np.tan(rise_rad) * np.array([0.0, 0.0, 1.0])
    return axis / np.linalg.norm(axis)


def section_area_mm2(points_mm: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Area [...] of a plane polygon [..., N, 3] of unit normal [..., 3]."""
    return np.abs((_vector_area(points_mm) * normal).sum(-1))


def section_centroid_mm(points_mm: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Centroid [..., 3] of the area of a plane polygon [..., N, 3] of unit normal [..., 3]."""
    origin = points_mm.mean(-2, keepdims=True)
    p = points_mm - origin
    q = np.roll(p, -1, axis=-2)
    weights = (np.cross(p, q) * np.expand_dims(normal, -2)).sum(-1) / 2
    moment = (weights[..., None] * (p + q) / 3).sum(-2)
    return origin[..., 0, :] + moment / weights.sum(-1)[..., None]


def _vector_area(points_mm: np.ndarray) -> np.ndarray:
    p = points_mm - points_mm.mean(-2, keepdims=True)
    return np.cross(p, np.roll(p, -1, axis=-2)).sum(-2) / 2


def _section(
    surface: WalkableSurface, centre_mm: np.ndarray, axis: np.ndarray, below_mm2: float
) -> tuple[float, Cut] | None:
    """Area and closed outline around a point, in the plane across the axis; None where the area is no smaller than asked."""
    up = np.array([0.0, 0.0, 1.0]) - axis[2] * axis
    hits = surface.line_hits(centre_mm, up)
    above = [hit for hit in hits if hit.distance_mm > 0]
    if not above or len(above) == len(hits):
        return None
    cut = surface.walk(above[0], axis, np.cross(axis, up))
    if not cut.closed or len(cut.points_mm) < 4:
        return None
    area_mm2 = float(section_area_mm2(cut.points_mm, axis))
    # First what is quick and refuses most.
    if not area_mm2 < below_mm2 or not surrounds(cut.points_mm, centre_mm, axis):
        return None
    perimeter = np.linalg.norm(np.diff(cut.points_mm, axis=0, append=cut.points_mm[:1]), axis=1).sum()
    return (area_mm2, cut) if perimeter <= _MAX_PERIMETER_MM else None


def surrounds(points_mm: np.ndarray, centre_mm: np.ndarray, normal: np.ndarray) -> bool:
    """Whether a plane polygon [N, 3] winds around a point."""
    first = np.cross(normal, [0.0, 0.0, 1.0] if abs(normal[2]) < 0.9 else [1.0, 0.0, 0.0])
    second = np.cross(normal, first)
    offsets = points_mm - centre_mm
    angles = np.arctan2(offsets @ second, offsets @ first)
    turns = np.diff(angles, append=angles[:1])
    return bool(abs((turns - 2 * np.pi * np.round(turns / (2 * np.pi))).sum()) > np.pi)


def _screw_line(surface: WalkableSurface, isthmus_mm: np.ndarray, axis: np.ndarray) -> tuple[Hit, Hit] | None:
    """Entry and exit of the longest straight line through the isthmus that keeps a screw's radius from the cortex.

    Directions lie within 12 degrees of the pedicle's axis. Between the isthmus and the place 80 % along, and back to
    where the posterior cortex is met, the line keeps `SCREW_RADIUS_MM`, or all that the isthmus allows where that is
    less; the first and last millimetres of the line lie in the cortex itself and are not tested.
    """
    tree = cKDTree(surface.vertices_mm)
    room = min(SCREW_RADIUS_MM, 0.9 * float(tree.query(isthmus_mm)[0]))
    left = np.cross([0.0, 0.0, 1.0], axis)
    left /= np.linalg.norm(left)
    up = np.cross(axis, left)
    best: tuple[Hit, Hit] | None = None
    for across in _TILTS_RAD:
        for rise in _TILTS_RAD:
            direction = axis + np.tan(across) * left + np.tan(rise) * up
            direction /= np.linalg.norm(direction)
            line = _inside(surface, isthmus_mm, direction)
            if line is None:
                continue
            length = line[1].distance_mm - line[0].distance_mm
            if best is not None and length <= best[1].distance_mm - best[0].distance_mm:
                continue
            along = np.arange(
                line[0].distance_mm + 2 * SCREW_RADIUS_MM, line[0].distance_mm + 0.8 * length, _LINE_STEP_MM
            )
            if tree.query(isthmus_mm + along[:, None] * direction)[0].min(initial=np.inf) >= room:
                best = line
    return best


def _inside(surface: WalkableSurface, point_mm: np.ndarray, direction: np.ndarray) -> tuple[Hit, Hit] | None:
    """The last meeting behind and the first ahead of a point inside the surface."""
    hits = surface.line_hits(point_mm, direction)
    behind, ahead = [hit for hit in hits if hit.distance_mm < 0], [hit for hit in hits if hit.distance_mm > 0]
    return (behind[-1], ahead[0]) if behind and ahead else None
