"""Contact between neighbouring bones: how deep they overlap, and which way parts them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.simulation.solid import Solid

_MAX_DEPTH_MM = 5.0


class ContactBody:
    """A bone prepared for contact queries in its own frame.

    Args:
        solid: mesh with vertices dense against the depths looked for.
    """

    def __init__(self, solid: Solid) -> None:
        self.vertices_mm = solid.vertices_mm
        self.normals = solid.normals
        self.low_mm, self.high_mm = solid.vertices_mm.min(0), solid.vertices_mm.max(0)

    @cached_property
    def tree(self) -> cKDTree:
        """Search tree of the vertices."""
        return cKDTree(self.vertices_mm)


@dataclass(frozen=True)
class Contact:
    """The overlap of two bones.

    Args:
        depth_mm: greatest depth of a vertex of one bone inside the other, or nearer than the clearance; 0 if they are
            apart.
        direction: [3] unit vector along which moving the first bone reduces the overlap, in the first bone's frame;
            zero if opposite contacts cancel or there is none.
    """

    depth_mm: float
    direction: np.ndarray


def find_contact(
    first: ContactBody,
    second: ContactBody,
    first_from_second: RigidTransform,
    *,
    clearance_mm: float = 0.0,
    stride: int = 1,
) -> Contact:
    """Measures an overlap by the signed distances of each bone's vertices from the tangent plane of the other's nearest
    vertex.

    Args:
        first, second: the bones.
        first_from_second: pose of the second in the frame of the first.
        clearance_mm: gap below which they count as touching.
        stride: only every so-manieth vertex is tested, for a quick look.
    """
    hit_first = _hits(first, second.vertices_mm[::stride], first_from_second, clearance_mm)
    hit_second = _hits(second, first.vertices_mm[::stride], first_from_second.inverse(), clearance_mm)
    depths = np.concatenate([hit_first.depth_mm, hit_second.depth_mm])
    if len(depths) == 0:
        return Contact(0.0, np.zeros(3))
    # A normal points out of the bone that is hit: those of the first want the second away, so the first goes backwards.
    away = -hit_first.depth_mm @ hit_first.normals
    away = away + first_from_second.rotation @ (hit_second.depth_mm @ hit_second.normals)
    length = np.linalg.norm(away)
    cancels = length < 0.1 * depths.sum()
    return Contact(float(depths.max()), np.zeros(3) if cancels else away / length)


@dataclass(frozen=True)
class _Hits:
    """Where vertices of another bone lie below a surface: depths [N], and the surface's normals [N, 3], its frame."""

    depth_mm: np.ndarray
    normals: np.ndarray


def _hits(
    target: ContactBody, vertices_mm: np.ndarray, target_from_other: RigidTransform, clearance_mm: float
) -> _Hits:
    points = target_from_other.apply(vertices_mm)
    # Neighbours lie above each other: the height alone discards most vertices.
    points = points[
        (points[:, 2] > target.low_mm[2] - clearance_mm) & (points[:, 2] < target.high_mm[2] + clearance_mm)
    ]
    points = points[((points > target.low_mm - clearance_mm) & (points < target.high_mm + clearance_mm)).all(1)]
    if len(points) == 0:
        return _Hits(np.zeros(0), np.zeros((0, 3)))
    distance, index = target.tree.query(points, distance_upper_bound=_MAX_DEPTH_MM)
    found = np.isfinite(distance)
    points, distance, index = points[found], distance[found], index[found]
    signed = ((points - target.vertices_mm[index]) * target.normals[index]).sum(1)
    # Beside a sharp rim the nearest vertex may face away: only what lies in front of or behind the surface counts.
    hit = (signed < clearance_mm) & ((np.abs(signed) > 0.5 * distance) | (distance < clearance_mm))
    return _Hits(clearance_mm - signed[hit], target.normals[index[hit]])
