"""Contact between neighbouring bones: how deep they overlap, and which way parts them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
from scipy.spatial import cKDTree

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.simulation.solid import Solid

_MAX_DEPTH_MM = 4.5


class ContactBody:
    """A bone prepared for contact queries in its own frame.

    Args:
        solid: mesh with vertices dense against the depths looked for.
        index: [N] the vertices to look at, all if omitted.
    """

    def __init__(self, solid: Solid, index: np.ndarray | None = None) -> None:
        self.index = np.arange(len(solid.vertices_mm)) if index is None else index
        self.vertices_mm = solid.vertices_mm[self.index]
        self.normals = solid.normals[self.index]
        self.low_mm, self.high_mm = self.vertices_mm.min(0), self.vertices_mm.max(0)

    @cached_property
    def tree(self) -> cKDTree:
        """Search tree of the vertices."""
        return cKDTree(self.vertices_mm, balanced_tree=False, compact_nodes=False)


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


@dataclass(frozen=True)
class Hits:
    """Vertices of one bone that lie below the surface of another.

    Args:
        index: [N] of the vertices.
        depth_mm: [N] how deep.
        normals: [N, 3] outward normals of the surface they are below, in its bone's frame.
    """

    index: np.ndarray
    depth_mm: np.ndarray
    normals: np.ndarray


def find_contact(
    first: ContactBody,
    second: ContactBody,
    first_from_second: RigidTransform,
    *,
    clearance_mm: float = 0.0,
    stride: int = 1,
) -> Contact:
    """Measures the overlap of two neighbours.

    Args:
        first, second: the bones.
        first_from_second: pose of the second in the frame of the first.
        clearance_mm: gap below which they count as touching.
        stride: only every `stride`-th vertex is tested, for a quick look.
    """
    hit_first = find_hits(first, second, first_from_second, clearance_mm=clearance_mm, stride=stride)
    hit_second = find_hits(second, first, first_from_second.inverse(), clearance_mm=clearance_mm, stride=stride)
    depths = np.concatenate([hit_first.depth_mm, hit_second.depth_mm])
    if len(depths) == 0:
        return Contact(0.0, np.zeros(3))
    # A normal points out of the bone that is hit: those of the first want the second away, so the first goes backwards.
    away = -hit_first.depth_mm @ hit_first.normals
    away = away + first_from_second.rotation @ (hit_second.depth_mm @ hit_second.normals)
    length = np.linalg.norm(away)
    cancels = length < 0.1 * depths.sum()
    return Contact(float(depths.max()), np.zeros(3) if cancels else away / length)


def find_hits(
    target: ContactBody,
    other: ContactBody,
    target_from_other: RigidTransform,
    *,
    clearance_mm: float = 0.0,
    stride: int = 1,
) -> Hits:
    """The vertices of `other` inside `target`, by the tangent plane of the nearest vertex; see `find_contact`."""
    near, points = _moved_into_box(
        other.vertices_mm,
        stride,
        target_from_other.rotation,
        target_from_other.translation_mm,
        target.low_mm - clearance_mm,
        target.high_mm + clearance_mm,
    )
    if len(near) == 0:
        return Hits(near, np.zeros(0), np.zeros((0, 3)))
    index = other.index[near]
    distance, nearest = target.tree.query(points, distance_upper_bound=_MAX_DEPTH_MM)
    found = np.isfinite(distance)
    index, points, distance, nearest = index[found], points[found], distance[found], nearest[found]
    signed = ((points - target.vertices_mm[nearest]) * target.normals[nearest]).sum(1)
    # Beside a sharp rim the nearest vertex may face away: only what lies in front of or behind the surface counts.
    hit = (signed < clearance_mm) & ((np.abs(signed) > 0.5 * distance) | (distance < clearance_mm))
    return Hits(index[hit], clearance_mm - signed[hit], target.normals[nearest[hit]])


@numba.njit(nogil=True, cache=True)
def _moved_into_box(vertices_mm, stride, rotation, translation_mm, low_mm, high_mm):
    """Indices [N] of every `stride`-th vertex that a rigid transform takes into a box, and where it takes it [N, 3]."""
    count = (vertices_mm.shape[0] + stride - 1) // stride
    index, points = np.empty(count, np.int64), np.empty((count, 3))
    found = 0
    for i in range(0, vertices_mm.shape[0], stride):
        inside = True
        # Height first: neighbours lie above each other, so it discards most vertices.
        for axis in (2, 0, 1):
            value = translation_mm[axis]
            for k in range(3):
                value += rotation[axis, k] * vertices_mm[i, k]
            if value <= low_mm[axis] or value >= high_mm[axis]:
                inside = False
                break
            points[found, axis] = value
        if inside:
            index[found] = i
            found += 1
    return index[:found], points[:found]
