"""Self-intersections of a triangle mesh, and their removal after a registration."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from lumbar_ext.mesh.surface import Surface

_PARALLEL = 1e-12
_RINGS = 2
_ROUNDS = 12
_STEPS_PER_ROUND = 5


def intersecting_pairs(surface: Surface) -> np.ndarray:
    """Pairs of triangles [P, 2] that cross each other.

    Two triangles cross where an edge of one passes through the other. Neighbours that share an edge are not tested;
    of those that share one vertex only the edges opposite to it are.
    """
    corners = surface.vertices_mm[surface.triangles]
    pairs = _near_pairs(corners)
    shared = surface.triangles[pairs[:, 0]][:, :, None] == surface.triangles[pairs[:, 1]][:, None, :]
    pairs, shared = pairs[shared.sum((1, 2)) < 2], shared[shared.sum((1, 2)) < 2]
    crossing = np.zeros(len(pairs), dtype=bool)
    for mine, other, common in ((0, 1, shared.any(axis=2)), (1, 0, shared.any(axis=1))):
        edges, plane = corners[pairs[:, mine]], corners[pairs[:, other]]
        for start in range(3):
            end = (start + 1) % 3
            free = ~(common[:, start] | common[:, end])
            crossing |= free & _segment_hits(edges[:, start], edges[:, end], plane)
    return pairs[crossing]


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


def _near_pairs(corners: np.ndarray) -> np.ndarray:
    """Pairs [P, 2] of triangles [M, 3, 3] whose bounding boxes overlap."""
    low, high = corners.min(axis=1), corners.max(axis=1)
    centre, half = (low + high) / 2, (high - low) / 2
    pairs = cKDTree(centre).query_pairs(2 * np.linalg.norm(half, axis=1).max(), output_type="ndarray")
    gap = np.abs(centre[pairs[:, 0]] - centre[pairs[:, 1]]) - half[pairs[:, 0]] - half[pairs[:, 1]]
    return pairs[(gap <= 0).all(axis=1)]


def _segment_hits(start: np.ndarray, end: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """[P] whether segments [P, 3] pass through triangles [P, 3, 3] (Moeller and Trumbore 1997)."""
    direction = end - start
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    across = np.cross(direction, second)
    determinant = (first * across).sum(axis=1)
    safe = np.where(np.abs(determinant) > _PARALLEL, determinant, np.inf)
    offset = start - corners[:, 0]
    u = (offset * across).sum(axis=1) / safe
    turned = np.cross(offset, first)
    v = (direction * turned).sum(axis=1) / safe
    t = (second * turned).sum(axis=1) / safe
    inside = (u >= 0) & (v >= 0) & (u + v <= 1) & (t >= 0) & (t <= 1)
    return inside & np.isfinite(safe)
