"""A coarser mesh with the same shape modes, for the first, coarse stages of a registration."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from lumbar_ext.registration.level_shape import LevelShape


def reduce_shapes(shapes: tuple[LevelShape, ...], n_vertices: int) -> tuple[LevelShape, ...]:
    """The same shapes on a mesh of about `n_vertices` vertices; unchanged when they have no more.

    Vertices are grouped around evenly spread seeds (farthest points of the first level's mean, then nearest along the
    surface). Merging the vertices of each group maps the closed mesh to a closed mesh, whatever the groups are, so rays still
    leave as often as they enter.

    Args:
        shapes: levels that share their triangles.
        n_vertices: wanted number of vertices.
    """
    if not shapes or n_vertices >= len(shapes[0].mean_mm):
        return shapes
    groups = surface_groups(shapes[0].mean_mm, shapes[0].triangles, n_vertices)
    triangles = groups[shapes[0].triangles]
    a, b, c = triangles.T
    triangles = np.ascontiguousarray(triangles[(a != b) & (b != c) & (c != a)], dtype=np.int32)
    return tuple(shape.reduced(groups, triangles) for shape in shapes)


def surface_groups(vertices_mm: np.ndarray, triangles: np.ndarray, n_groups: int) -> np.ndarray:
    """The group [V] in 0 .. n_groups - 1 of each vertex: that of the nearest seed along the surface."""
    vertices_mm = np.asarray(vertices_mm, dtype=np.float64)
    seeds = _farthest_points(vertices_mm, n_groups)
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    lengths = np.linalg.norm(vertices_mm[edges[:, 0]] - vertices_mm[edges[:, 1]], axis=1)
    # Every edge of a closed mesh appears once in each direction, so the graph is symmetric.
    graph = coo_matrix((np.maximum(lengths, 1e-9), edges.T), shape=(len(vertices_mm),) * 2).tocsr()
    _, _, nearest = dijkstra(graph, indices=seeds, min_only=True, return_predecessors=True)
    rank = np.full(len(vertices_mm), -1)
    rank[seeds] = np.arange(n_groups)
    return rank[nearest].astype(np.int32)


def _farthest_points(points: np.ndarray, count: int) -> np.ndarray:
    """Indices [count] of points, each the one farthest from all before it."""
    chosen = np.zeros(count, dtype=np.int64)
    squared = ((points - points[0]) ** 2).sum(-1)
    for i in range(1, count):
        chosen[i] = squared.argmax()
        np.minimum(squared, ((points - points[chosen[i]]) ** 2).sum(-1), out=squared)
    return chosen
