"""Where neighbouring vertebrae run into each other, and how deep.

A vertex is taken to be inside a neighbour when it lies behind the tangent plane of the neighbour's nearest vertex; its
depth is the distance to that plane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from lumbar_ext.shape.model.level_shape import SurfaceModes


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


def contacts(surfaces: Sequence[SurfaceModes], world_mm: Sequence[np.ndarray], reach_mm: float) -> list[Contact]:
    """All contacts of neighbours.

    Args:
        surfaces: of the vertebrae, cranial to caudal.
        world_mm: [V, 3] where their vertices are.
        reach_mm: vertices farther from every vertex of the neighbour do not count.
    """
    found = []
    for upper in range(len(world_mm) - 1):
        pair = (upper, upper + 1)
        low = np.max([world_mm[i].min(0) for i in pair], axis=0) - reach_mm
        high = np.min([world_mm[i].max(0) for i in pair], axis=0) + reach_mm
        near = {i: np.flatnonzero(((world_mm[i] > low) & (world_mm[i] < high)).all(1)) for i in pair}
        for intruder, host in (pair, pair[::-1]):
            if not len(near[host]):
                continue
            tree = cKDTree(world_mm[host][near[host]])
            distance_mm, place = tree.query(world_mm[intruder][near[intruder]], distance_upper_bound=reach_mm)
            reached = np.isfinite(distance_mm)
            vertices, nearest = near[intruder][reached], near[host][place[reached]]
            normals = _normals(surfaces[host], world_mm[host], nearest)
            depth_mm = -((world_mm[intruder][vertices] - world_mm[host][nearest]) * normals).sum(1)
            inside = depth_mm > 0
            if inside.any():
                chosen = vertices[inside], nearest[inside], normals[inside], depth_mm[inside]
                found.append(Contact(intruder, host, *chosen))
    return found


def _normals(surface: SurfaceModes, world_mm: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Outward unit normals [N, 3] at vertices [N] of a surface whose vertices are at world_mm [V, 3]."""
    rows = _triangles_of_vertices(surface)[vertices]
    used, columns = np.unique(rows.indices, return_inverse=True)
    corners = world_mm[surface.triangles[used]]
    vectors = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = csr_matrix((rows.data, columns, rows.indptr), shape=(len(vertices), len(used))) @ vectors
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


@lru_cache(maxsize=32)
def _triangles_of_vertices(surface: SurfaceModes) -> csr_matrix:
    """[V, M] ones where a vertex is a corner of a triangle."""
    triangles = surface.triangles
    places = triangles.ravel(), np.repeat(np.arange(len(triangles)), 3)
    return csr_matrix((np.ones(triangles.size), places), shape=(len(surface.mean_mm), len(triangles)))
