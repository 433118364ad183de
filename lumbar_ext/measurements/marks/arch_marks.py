"""Finds the canal and the tips of the processes of a vertebra."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.measurements.marks.pedicle_marks import paired, section_area_mm2, surrounds
from lumbar_ext.mesh.material_points import MaterialPoints
from lumbar_ext.mesh.plane_cut import Hit, WalkableSurface

_HEIGHTS_MM = np.arange(-6.0, 4.5, 1.0)
_AXIAL = np.array([0.0, 0.0, 1.0])  # axes of the vertebra frame
_FRONT = np.array([1.0, 0.0, 0.0])
_LEFT = np.array([0.0, 1.0, 0.0])
# how much farther than the body's side a section of the arch reaches where there are transverse processes
_BEYOND_BODY_MM = 3.0


@dataclass(frozen=True)
class CanalMarks:
    """What is marked on the vertebral canal, on axial sections on which bone closes it all around.

    Args:
        outline: [N] of the section of smallest area.
        width: [2] right and left pedicle wall on the section where they are nearest.
        depth: [2] posterior wall of the body and front of the lamina in the midsagittal plane, where they are nearest.
    """

    outline: MaterialPoints
    width: MaterialPoints
    depth: MaterialPoints


def mark_canal(surface: WalkableSurface, landmarks_mm: np.ndarray) -> CanalMarks | None:
    """Marks the canal.

    Args:
        surface: a vertebra in its own frame, mm.
        landmarks_mm: [7, 3], of which the pedicle centres give the height.

    Returns:
        None if no axial section near the pedicles shows a closed canal.
    """
    middle_mm = landmarks_mm[4:6].mean(0)
    outlines, widths, depths = [], [], []
    for height in _HEIGHTS_MM:
        walls = _walls(surface, np.array([0.0, 0.0, middle_mm[2] + height]))
        if walls is None:
            continue
        front, back = walls
        cut = surface.walk(back, _AXIAL, _LEFT)
        centre = (front.point_mm + back.point_mm) / 2
        if not cut.closed or not surrounds(cut.points_mm, centre, _AXIAL):
            continue
        y = cut.points_mm[:, 1]
        sides = [int(y.argmin()), int(y.argmax())]
        outlines.append((section_area_mm2(cut.points_mm, _AXIAL), cut.marks))
        widths.append((np.ptp(y), cut.marks[sides]))
        depths.append((front.point_mm[0] - back.point_mm[0], paired(surface.at(front), surface.at(back))))
    if not outlines:
        return None
    return CanalMarks(*(min(found, key=lambda pair: pair[0])[1] for found in (outlines, widths, depths)))


def mark_transverse_tips(
    surface: WalkableSurface, body_width_mm: float
) -> tuple[MaterialPoints, MaterialPoints] | None:
    """The most lateral points [1], left and right; None if one does not reach beyond the body.

    Args:
        surface: a vertebra in its own frame, mm.
        body_width_mm: width of its wider endplate.
    """
    y = surface.vertices_mm[:, 1]
    if min(y.max(), -y.min()) < body_width_mm / 2 + _BEYOND_BODY_MM:
        return None
    return _vertex(int(y.argmax())), _vertex(int(y.argmin()))


def mark_spinous_tip(surface: WalkableSurface, canal: CanalMarks | None) -> MaterialPoints | None:
    """The most posterior point [1]; None without a canal to be behind of."""
    if canal is None:
        return None
    return _vertex(int(surface.vertices_mm[:, 0].argmin()))


def _walls(surface: WalkableSurface, inside_body_mm: np.ndarray) -> tuple[Hit, Hit] | None:
    """Where a midsagittal line to the back leaves the body and where it meets bone again."""
    behind = [hit for hit in surface.line_hits(inside_body_mm, _FRONT) if hit.distance_mm < 0]
    return (behind[-1], behind[-2]) if len(behind) >= 2 else None


def _vertex(index: int) -> MaterialPoints:
    return MaterialPoints(np.array([[index]]), np.ones((1, 1)))
