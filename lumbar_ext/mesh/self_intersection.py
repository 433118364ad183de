"""Self-intersections of a triangle mesh, and their removal after a registration."""

from __future__ import annotations

import numpy as np

from lumbar_ext.compiled import compiled
from lumbar_ext.mesh.surface import Surface

_PARALLEL = 1e-12  # determinant of a segment and a triangle that do not meet in one point
_MOST_CELLS = 200
"""Cells along an axis of the grid in which crossing triangles are looked for."""
_RINGS = 2  # of neighbours around crossing triangles that are smoothed with them
_ROUNDS = 12  # of search and smoothing before what is left is reported
_STEPS_PER_ROUND = 5  # of smoothing


def intersecting_pairs(surface: Surface) -> np.ndarray:
    """Pairs of triangles [P, 2] that cross each other.

    Two triangles cross where an edge of one passes through the other. Neighbours that share an edge are not tested;
    of those that share one vertex only the edges opposite to it are.
    """
    vertices = np.ascontiguousarray(surface.vertices_mm, dtype=np.float64)
    return _crossing_pairs(vertices, np.ascontiguousarray(surface.triangles))


def self_intersections(surface: Surface) -> int:
    """Number of triangles that cross another triangle of the same surface."""
    return len(np.unique(intersecting_pairs(surface)))


def folded_triangles(surface: Surface) -> np.ndarray:
    """Indices of triangles that face against the mean normal of their corners: folds too tight to cross anything."""
    around = surface.normals[surface.triangles].mean(axis=1)
    return np.flatnonzero((surface.triangle_vectors * around).sum(axis=1) <= 0)


def untangled(surface: Surface) -> Surface:
    """The surface with its folds and self-intersections relaxed away where that is possible.

    Vertices around bad triangles move to the mean of their neighbours, a few steps at a time, until nothing is bad or
    the rounds are spent. Everything else stays in place.
    """
    vertices = surface.vertices_mm
    for _ in range(_ROUNDS):
        current = surface.with_vertices(vertices)
        bad = np.union1d(np.unique(intersecting_pairs(current)), folded_triangles(current))
        if len(bad) == 0:
            return current
        vertices = _relaxed(current, bad)
    return surface.with_vertices(vertices)


def _relaxed(surface: Surface, bad: np.ndarray) -> np.ndarray:
    """Vertices [V, 3] after umbrella steps in a neighbourhood of some triangles."""
    edges = surface.to_trimesh().edges_unique
    both = np.concatenate([edges, edges[:, ::-1]])
    moving = np.zeros(len(surface.vertices_mm), dtype=bool)
    moving[surface.triangles[bad]] = True
    for _ in range(_RINGS):
        moving[both[moving[both[:, 0]], 1]] = True
    both = both[moving[both[:, 0]]]
    degree = np.maximum(np.bincount(both[:, 0], minlength=len(moving)), 1)[:, None]
    vertices = surface.vertices_mm.copy()
    for _ in range(_STEPS_PER_ROUND):
        sums = np.stack([np.bincount(both[:, 0], vertices[both[:, 1], k], len(vertices)) for k in range(3)], axis=1)
        vertices[moving] = 0.5 * (vertices + sums / degree)[moving]
    return vertices


@compiled()
def _crossing_pairs(vertices, triangles):
    """The pairs [P, 2], lower index first. Triangles are sorted into cells twice as large as most of them, so that only those
    in 27 cells have to be looked at; the few that are larger than a cell are compared with all.
    """
    count = triangles.shape[0]
    low, high, extent = np.empty((count, 3)), np.empty((count, 3)), np.empty(count)
    for t in range(count):
        extent[t] = 0.0
        for axis in range(3):
            a = vertices[triangles[t, 0], axis]
            b = vertices[triangles[t, 1], axis]
            c = vertices[triangles[t, 2], axis]
            low[t, axis], high[t, axis] = min(a, b, c), max(a, b, c)
            extent[t] = max(extent[t], high[t, axis] - low[t, axis])
    size = max(2.0 * extent.mean(), (high.max() - low.min()) / _MOST_CELLS, 1e-9) if count else 1.0
    found, n_found = np.empty((64, 2), np.int64), 0
    for t in np.flatnonzero(extent > size):
        for other in range(count):
            # Two large ones are compared once.
            if (extent[other] <= size or other > t) and _boxes_meet(low, high, t, other):
                if _cross(vertices, triangles, t, other):
                    found, n_found = _noted(found, n_found, t, other)
    small = np.flatnonzero(extent <= size)
    origin, shape = np.zeros(3), np.ones(3, np.int64)
    for axis in range(3):
        if len(small):
            origin[axis] = low[small, axis].min()
            shape[axis] = int((low[small, axis].max() - origin[axis]) / size) + 1
    # Each triangle lies in the cell of its lower corner: one that it meets lies at most one cell farther in each direction.
    # It is compared with those that were put into the cells before it, so that no pair comes twice.
    first, following = np.full((shape[0], shape[1], shape[2]), -1), np.full(count, -1)
    for t in small:
        x0 = int((low[t, 0] - origin[0]) / size)
        y0 = int((low[t, 1] - origin[1]) / size)
        z0 = int((low[t, 2] - origin[2]) / size)
        for x in range(max(x0 - 1, 0), min(x0 + 2, shape[0])):
            for y in range(max(y0 - 1, 0), min(y0 + 2, shape[1])):
                for z in range(max(z0 - 1, 0), min(z0 + 2, shape[2])):
                    other = first[x, y, z]
                    while other >= 0:
                        if _boxes_meet(low, high, t, other) and _cross(vertices, triangles, t, other):
                            found, n_found = _noted(found, n_found, t, other)
                        other = following[other]
        following[t], first[x0, y0, z0] = first[x0, y0, z0], t
    return found[:n_found]


@compiled()
def _noted(found, count, one, other):
    """The pairs with one more, in an array that grows, and their new number."""
    if count == found.shape[0]:
        found = np.concatenate((found, np.empty_like(found)))
    found[count, 0], found[count, 1] = min(one, other), max(one, other)
    return found, count + 1


@compiled()
def _boxes_meet(low, high, one, other):
    for axis in range(3):
        if low[one, axis] > high[other, axis] or low[other, axis] > high[one, axis]:
            return False
    return True


@compiled()
def _cross(vertices, triangles, one, other):
    """Whether an edge of one of two triangles, free of common vertices, passes through the other."""
    common = 0
    for i in range(3):
        for j in range(3):
            common += triangles[one, i] == triangles[other, j]
    if common >= 2:
        return False
    for mine, theirs in ((one, other), (other, one)):
        for start in range(3):
            a, b = triangles[mine, start], triangles[mine, (start + 1) % 3]
            shared = False
            for j in range(3):
                shared = shared or triangles[theirs, j] == a or triangles[theirs, j] == b
            if not shared and _segment_hits(vertices, a, b, triangles[theirs]):
                return True
    return False


@compiled()
def _segment_hits(vertices, start, end, corners):
    """Whether the segment between two vertices passes through a triangle (Moeller and Trumbore 1997).

    In single numbers: arrays of three, made anew for a hundred thousand pairs, take ten times as long.
    """
    ox, oy, oz = vertices[corners[0], 0], vertices[corners[0], 1], vertices[corners[0], 2]
    fx, fy, fz = vertices[corners[1], 0] - ox, vertices[corners[1], 1] - oy, vertices[corners[1], 2] - oz
    gx, gy, gz = vertices[corners[2], 0] - ox, vertices[corners[2], 1] - oy, vertices[corners[2], 2] - oz
    sx, sy, sz = vertices[start, 0], vertices[start, 1], vertices[start, 2]
    dx, dy, dz = vertices[end, 0] - sx, vertices[end, 1] - sy, vertices[end, 2] - sz
    sx, sy, sz = sx - ox, sy - oy, sz - oz
    px, py, pz = dy * gz - dz * gy, dz * gx - dx * gz, dx * gy - dy * gx
    determinant = fx * px + fy * py + fz * pz
    if abs(determinant) <= _PARALLEL:
        return False
    u = (sx * px + sy * py + sz * pz) / determinant
    if u < 0 or u > 1:
        return False
    qx, qy, qz = sy * fz - sz * fy, sz * fx - sx * fz, sx * fy - sy * fx
    v = (dx * qx + dy * qy + dz * qz) / determinant
    if v < 0 or u + v > 1:
        return False
    t = (gx * qx + gy * qy + gz * qz) / determinant
    return 0 <= t <= 1
