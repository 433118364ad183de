"""Where neighbouring vertebrae run into each other, and how deep.

A vertex is taken to be inside a neighbour when it lies behind the tangent plane of the neighbour's nearest vertex; its
depth is the distance to that plane.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numba
import numpy as np

from lumbar_ext.compiled import compiled
from lumbar_ext.mesh.surface import vertex_normals


@dataclass(frozen=True)
class Contact:
    """Vertices of one vertebra that lie inside its neighbour.

    Args:
        intruder, host: indices of the two vertebrae.
        vertices: [N] of the intruder.
        nearest: [N] the host's vertex nearest to each.
        normals: [N, 3] the host's outward normals there, world.
        depth_mm: [N] positive.
    """

    intruder: int
    host: int
    vertices: np.ndarray
    nearest: np.ndarray
    normals: np.ndarray
    depth_mm: np.ndarray


def contacts(
    triangles: Sequence[np.ndarray], world_mm: Sequence[np.ndarray], reach_mm: float, run: Callable = map
) -> list[Contact]:
    """All contacts of neighbours.

    Args:
        triangles: [M, 3] of the vertebrae, cranial to caudal.
        world_mm: [V, 3] where their vertices are.
        reach_mm: vertices farther from every vertex of the neighbour do not count.
        run: `map`, or that of a pool of threads.
    """
    normals, boxes = list(run(vertex_normals, world_mm, triangles)), [box(own) for own in world_mm]
    pairs = [(i, j) for i in range(len(world_mm)) for j in (i - 1, i + 1) if 0 <= j < len(world_mm)]

    def contact(pair: tuple[int, int]) -> Contact:
        intruder, host = pair
        low = np.maximum(boxes[intruder][0], boxes[host][0]) - reach_mm
        high = np.minimum(boxes[intruder][1], boxes[host][1]) + reach_mm
        inside, nearest, depth_mm = vertices_inside(
            world_mm[intruder], world_mm[host], normals[host], low, high, reach_mm
        )
        return Contact(intruder, host, inside, nearest, normals[host][nearest], depth_mm)

    return [found for found in run(contact, pairs) if len(found.vertices)]


@compiled()
def box(points):
    """The lowest and the highest coordinates [2, 3] of points [N, 3]; NumPy's own reductions over short rows are slow."""
    limits = np.empty((2, 3))
    limits[0], limits[1] = np.inf, -np.inf
    for i in range(points.shape[0]):
        for axis in range(3):
            limits[0, axis] = min(limits[0, axis], points[i, axis])
            limits[1, axis] = max(limits[1, axis], points[i, axis])
    return limits


@compiled()
def vertices_inside(points, hosts, normals, low, high, reach):
    """Points behind the tangent plane at the nearest host vertex, where one is within reach.

    Hosts are sorted into cells of the size of the reach, so that only those in 27 cells around a point are looked at.

    Args:
        points: [N, 3].
        hosts, normals: [V, 3] vertices and their outward normals.
        low, high: [3] the box in which points and hosts are looked at.
        reach: edge of a cell, mm.

    Returns:
        Indices of points [n] and of their hosts [n], and depths [n].
    """
    shape = np.empty(3, np.int64)
    for axis in range(3):
        if not high[axis] > low[axis]:
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
        shape[axis] = int((high[axis] - low[axis]) / reach) + 1
    first = np.full(shape[0] * shape[1] * shape[2], -1, np.int64)
    following = np.full(hosts.shape[0], -1, np.int64)
    cell = np.empty(3, np.int64)
    for i in range(hosts.shape[0]):
        if _cell(hosts[i], low, high, reach, cell):
            place = (cell[0] * shape[1] + cell[1]) * shape[2] + cell[2]
            following[i] = first[place]
            first[place] = i
    inside, nearest = np.empty(points.shape[0], np.int64), np.empty(points.shape[0], np.int64)
    depths = np.empty(points.shape[0])
    count = 0
    for i in range(points.shape[0]):
        if not _cell(points[i], low, high, reach, cell):
            continue
        best, found = reach * reach, -1
        for x in range(max(cell[0] - 1, 0), min(cell[0] + 2, shape[0])):
            for y in range(max(cell[1] - 1, 0), min(cell[1] + 2, shape[1])):
                for z in range(max(cell[2] - 1, 0), min(cell[2] + 2, shape[2])):
                    j = first[(x * shape[1] + y) * shape[2] + z]
                    while j >= 0:
                        squared = 0.0
                        for axis in range(3):
                            squared += (points[i, axis] - hosts[j, axis]) ** 2
                        if squared < best:
                            best, found = squared, j
                        j = following[j]
        if found < 0:
            continue
        depth = 0.0
        for axis in range(3):
            depth -= (points[i, axis] - hosts[found, axis]) * normals[found, axis]
        if depth > 0.0:
            inside[count], nearest[count], depths[count] = i, found, depth
            count += 1
    return inside[:count], nearest[:count], depths[:count]


@numba.njit(inline="always")
def _cell(point, low, high, size, cell):
    """Fills the cell [3] of a point; False outside of the box."""
    for axis in range(3):
        if not (low[axis] < point[axis] < high[axis]):
            return False
        cell[axis] = int((point[axis] - low[axis]) / size)
    return True
