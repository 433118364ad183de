"""Contact between neighbouring bones: how deep they overlap, and which way parts them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lumbar_ext.compiled import compiled
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.surface import Surface

_MAX_DEPTH_MM = 4.5  # overlaps are searched this deep; bones are parted in steps far smaller
_CELL_MM = 2.25  # of the search grid, half of that


class ContactBody:
    """A bone prepared for contact queries in its own frame.

    Args:
        solid: mesh with vertices dense against the depths looked for.
        index: [N] the vertices to look at, all if omitted.
    """

    def __init__(self, solid: Surface, index: np.ndarray | None = None) -> None:
        self.solid = solid
        self.index = np.arange(len(solid.vertices_mm)) if index is None else index
        self.vertices_mm = solid.vertices_mm[self.index]
        self.normals = solid.normals[self.index]
        self.low_mm, self.high_mm = bounds(self.vertices_mm, np.eye(3), np.zeros(3))

    @cached_property
    def cells(self) -> _Cells:
        """The vertices by cell of a grid, for nearest-neighbour queries."""
        return _Cells(*_sorted_by_cell(self.vertices_mm, self.low_mm, self.high_mm))


@dataclass(frozen=True)
class _Cells:
    """Vertices sorted by cell, along x fastest, so that a row of cells is one range.

    Args:
        start: [cells + 1] where each cell starts in `order`.
        order: [N] vertex indices.
        shape: [3] cells along x, y, z.
    """

    start: np.ndarray
    order: np.ndarray
    shape: np.ndarray


@dataclass(frozen=True)
class BoneContact:
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
) -> BoneContact:
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
        return BoneContact(0.0, np.zeros(3))
    # A normal points out of the bone that is hit: those of the first want the second away, so the first goes backwards.
    away = -hit_first.depth_mm @ hit_first.normals
    away = away + first_from_second.rotation @ (hit_second.depth_mm @ hit_second.normals)
    length = np.linalg.norm(away)
    cancels = length < 0.1 * depths.sum()
    return BoneContact(float(depths.max()), np.zeros(3) if cancels else away / length)


def find_hits(
    target: ContactBody,
    other: ContactBody,
    target_from_other: RigidTransform,
    *,
    clearance_mm: float = 0.0,
    stride: int = 1,
) -> Hits:
    """The vertices of `other` inside `target`, by the tangent plane of the nearest vertex; see `find_contact`."""
    cells = target.cells
    hit, depth_mm, nearest = _hits(
        target.vertices_mm,
        target.normals,
        cells.start,
        cells.order,
        cells.shape,
        target.low_mm,
        target.high_mm,
        other.vertices_mm,
        target_from_other.rotation,
        target_from_other.translation_mm,
        clearance_mm,
        stride,
    )
    return Hits(other.index[hit], depth_mm, target.normals[nearest])


@compiled()
def bounds(vertices_mm, rotation, translation_mm):
    """Corners (low [3], high [3]) of the box around vertices [V, 3] after a rigid transform."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for i in range(vertices_mm.shape[0]):
        for axis in range(3):
            value = translation_mm[axis]
            for k in range(3):
                value += rotation[axis, k] * vertices_mm[i, k]
            low[axis] = min(low[axis], value)
            high[axis] = max(high[axis], value)
    return low, high


@compiled()
def _sorted_by_cell(vertices_mm, low_mm, high_mm):
    """Counting sort of vertices [N, 3] into cells: (start, order, shape) of `_Cells`."""
    shape = np.empty(3, np.int64)
    for axis in range(3):
        shape[axis] = int((high_mm[axis] - low_mm[axis]) / _CELL_MM) + 1
    count = vertices_mm.shape[0]
    cell = np.empty(count, np.int64)
    start = np.zeros(shape[0] * shape[1] * shape[2] + 1, np.int64)
    for i in range(count):
        x = int((vertices_mm[i, 0] - low_mm[0]) / _CELL_MM)
        y = int((vertices_mm[i, 1] - low_mm[1]) / _CELL_MM)
        z = int((vertices_mm[i, 2] - low_mm[2]) / _CELL_MM)
        cell[i] = (z * shape[1] + y) * shape[0] + x
        start[cell[i] + 1] += 1
    for c in range(start.shape[0] - 1):
        start[c + 1] += start[c]
    filled = start[:-1].copy()
    order = np.empty(count, np.int64)
    for i in range(count):
        order[filled[cell[i]]] = i
        filled[cell[i]] += 1
    return start, order, shape


@compiled()
def _nearest(vertices_mm, start, order, shape, low_mm, x, y, z):
    """Index of the vertex nearest to a point and its squared distance; -1 beyond `_MAX_DEPTH_MM`."""
    best, found = _MAX_DEPTH_MM * _MAX_DEPTH_MM, -1
    reach = int(np.ceil(_MAX_DEPTH_MM / _CELL_MM))
    cx = int(np.floor((x - low_mm[0]) / _CELL_MM))
    cy = int(np.floor((y - low_mm[1]) / _CELL_MM))
    cz = int(np.floor((z - low_mm[2]) / _CELL_MM))
    x0, x1 = max(cx - reach, 0), min(cx + reach, shape[0] - 1)
    if x0 > x1:
        return found, best
    # From the middle outwards: the first finds shrink the search.
    for step_z in range(2 * reach + 1):
        iz = cz + (step_z + 1) // 2 * (1 - 2 * (step_z % 2))
        if iz < 0 or iz >= shape[2]:
            continue
        gap_z = max(low_mm[2] + iz * _CELL_MM - z, z - low_mm[2] - (iz + 1) * _CELL_MM, 0.0)
        if gap_z * gap_z >= best:
            continue
        for step_y in range(2 * reach + 1):
            iy = cy + (step_y + 1) // 2 * (1 - 2 * (step_y % 2))
            if iy < 0 or iy >= shape[1]:
                continue
            gap_y = max(low_mm[1] + iy * _CELL_MM - y, y - low_mm[1] - (iy + 1) * _CELL_MM, 0.0)
            if gap_z * gap_z + gap_y * gap_y >= best:
                continue
            row = (iz * shape[1] + iy) * shape[0]
            for k in range(start[row + x0], start[row + x1 + 1]):
                i = order[k]
                dx, dy, dz = x - vertices_mm[i, 0], y - vertices_mm[i, 1], z - vertices_mm[i, 2]
                distance = dx * dx + dy * dy + dz * dz
                if distance < best:
                    best, found = distance, i
    return found, best


@compiled()
def _hits(
    vertices_mm,
    normals,
    start,
    order,
    shape,
    low_mm,
    high_mm,
    others_mm,
    rotation,
    translation_mm,
    clearance_mm,
    stride,
):
    """(vertices of the other bone below the surface, how deep, the surface's vertex nearest to each)."""
    count = (others_mm.shape[0] + stride - 1) // stride
    index, nearest, depth = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count)
    found = 0
    point = np.empty(3)
    for i in range(0, others_mm.shape[0], stride):
        inside = True
        # Height first: neighbours lie above each other, so it discards most vertices.
        for axis in (2, 0, 1):
            value = translation_mm[axis]
            for k in range(3):
                value += rotation[axis, k] * others_mm[i, k]
            if value <= low_mm[axis] - clearance_mm or value >= high_mm[axis] + clearance_mm:
                inside = False
                break
            point[axis] = value
        if not inside:
            continue
        v, squared = _nearest(vertices_mm, start, order, shape, low_mm, point[0], point[1], point[2])
        if v < 0:
            continue
        signed = 0.0
        for axis in range(3):
            signed += (point[axis] - vertices_mm[v, axis]) * normals[v, axis]
        distance = np.sqrt(squared)
        # Beside a sharp rim the nearest vertex may face away: only what lies in front of or behind the surface counts.
        if signed < clearance_mm and (abs(signed) > 0.5 * distance or distance < clearance_mm):
            index[found], nearest[found], depth[found] = i, v, clearance_mm - signed
            found += 1
    return index[:found], depth[:found], nearest[:found]
