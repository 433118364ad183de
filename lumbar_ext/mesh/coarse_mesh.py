"""A coarser mesh with the same shape modes, for the first, coarse stages of a registration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from lumbar_ext.mesh.sampling import farthest_points


@dataclass(frozen=True)
class CoarseMesh:
    """How a mesh is coarsened: vertices are merged in groups.

    Merging the vertices of each group maps a closed mesh to a closed mesh, whatever the groups are, so rays still leave
    as often as they enter.

    Args:
        groups: [V] the coarse vertex each vertex goes to.
        triangles: [M', 3] int32 triangles of the coarse mesh.
    """

    groups: np.ndarray
    triangles: np.ndarray

    @classmethod
    def of(cls, vertices_mm: np.ndarray, triangles: np.ndarray, n_vertices: int) -> CoarseMesh:
        """A mesh of `n_vertices` (or as many as there are): groups around evenly spread seeds (farthest points).

        Args:
            vertices_mm: [V, 3].
            triangles: [M, 3] of a closed mesh.
            n_vertices: wanted number of vertices.
        """
        groups = _surface_groups(
            np.asarray(vertices_mm, dtype=np.float64), triangles, min(n_vertices, len(vertices_mm))
        )
        merged = groups[triangles]
        a, b, c = merged.T
        return cls(groups, np.ascontiguousarray(merged[(a != b) & (b != c) & (c != a)], dtype=np.int32))

    def reduce(self, fields: np.ndarray) -> np.ndarray:
        """The group means [..., V', 3] float32 of values [..., V, 3] at the vertices."""
        order = np.argsort(self.groups, kind="stable")
        sizes = np.bincount(self.groups)
        first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        sums = np.add.reduceat(fields[..., order, :], first, axis=-2)
        return np.ascontiguousarray(sums / sizes[:, None].astype(np.float32), dtype=np.float32)


def _surface_groups(vertices_mm: np.ndarray, triangles: np.ndarray, n_groups: int) -> np.ndarray:
    """The group [V] in 0 .. n_groups - 1 of each vertex: that of the nearest seed along the surface."""
    seeds = farthest_points(vertices_mm, n_groups)
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    lengths = np.linalg.norm(vertices_mm[edges[:, 0]] - vertices_mm[edges[:, 1]], axis=1)
    # Every edge of a closed mesh appears once in each direction, so the graph is symmetric.
    graph = coo_matrix((np.maximum(lengths, 1e-9), edges.T), shape=(len(vertices_mm),) * 2).tocsr()
    _, _, nearest = dijkstra(graph, indices=seeds, min_only=True, return_predecessors=True)
    rank = np.full(len(vertices_mm), -1, dtype=np.int32)
    rank[seeds] = np.arange(n_groups)
    return rank[nearest]
