"""Closed triangle meshes as the simulator uses them: bodies of tissue to be moved, shrunk and rendered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np

from lumbar_ext.drr import MeshProjector
from lumbar_ext.geometry import RigidTransform


@dataclass(frozen=True)
class Solid:
    """A closed triangle mesh.

    Args:
        vertices_mm: [V, 3] float64.
        triangles: [M, 3] int32, counter-clockwise seen from outside.
    """

    vertices_mm: np.ndarray
    triangles: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "vertices_mm", np.ascontiguousarray(self.vertices_mm, dtype=np.float64))
        object.__setattr__(self, "triangles", np.ascontiguousarray(self.triangles, dtype=np.int32))

    @cached_property
    def normals(self) -> np.ndarray:
        """[V, 3] unit outward vertex normals, area weighted."""
        return vertex_normals(self.vertices_mm, self.triangles)

    @cached_property
    def box_corners_mm(self) -> np.ndarray:
        """[8, 3] corners of the bounding box."""
        return _box_corners(self.vertices_mm)

    @property
    def volume_mm3(self) -> float:
        """Enclosed volume by the divergence theorem."""
        a, b, c = (self.vertices_mm[self.triangles[:, corner]] for corner in range(3))
        return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)

    def with_vertices(self, vertices_mm: np.ndarray) -> Solid:
        """The same topology at other positions."""
        return Solid(vertices_mm, self.triangles)

    def moved(self, target_from_source: RigidTransform) -> Solid:
        """The mesh in another frame."""
        result = self.with_vertices(target_from_source.apply(self.vertices_mm))
        if "normals" in self.__dict__:
            result.__dict__["normals"] = self.normals @ target_from_source.rotation.T
        return result

    def shrunk(self, depth_mm: float | np.ndarray) -> Solid:
        """The surface moved inwards along the vertex normals by a depth in mm, one number or [V]."""
        return self.with_vertices(self.vertices_mm - np.reshape(depth_mm, (-1, 1)) * self.normals)

    @classmethod
    def merged(cls, solids: list[Solid]) -> Solid:
        """One mesh of several; where they overlap, path lengths count twice."""
        starts = np.cumsum([0, *(len(solid.vertices_mm) for solid in solids[:-1])])
        triangles = [solid.triangles + start for solid, start in zip(solids, starts, strict=True)]
        return cls(np.concatenate([solid.vertices_mm for solid in solids]), np.concatenate(triangles))


def add_path_length(
    total: np.ndarray,
    projector: MeshProjector,
    solid: Solid,
    *,
    also_to: np.ndarray | None = None,
    weight: float = 1.0,
) -> None:
    """Adds a mesh's path length to an image, rendering only the window it covers.

    Args:
        total: [rows, columns] of the projector's camera, changed in place.
        projector: the view.
        solid: the mesh, world frame.
        also_to: a second image that gets `weight` times the path length.
        weight: see `also_to`.
    """
    # What holds the images of the bounding box's corners holds the mesh's.
    window = projector.window_around(projector.project_with_inverse_depth(solid.box_corners_mm)[:, :2], 1.0)
    if window.columns == 0 or window.rows == 0:
        return
    path = projector.path_length(solid.vertices_mm, solid.triangles, window)
    total[window.slices] += path
    if also_to is not None:
        also_to[window.slices] += np.float32(weight) * path


def tube(rings_mm: np.ndarray) -> Solid:
    """The closed surface through rings [R, P, 3] that turn counter-clockwise about their succession."""
    n_rings, n_points = rings_mm.shape[:2]
    index = np.arange(n_rings * n_points).reshape(n_rings, n_points)
    following = np.roll(index, -1, axis=1)
    a, b, c, d = index[:-1], following[:-1], following[1:], index[1:]
    sides = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    first, last = n_rings * n_points, n_rings * n_points + 1
    bottom = np.stack([following[0], index[0], np.full(n_points, first)], -1)
    top = np.stack([index[-1], following[-1], np.full(n_points, last)], -1)
    vertices = np.concatenate([rings_mm.reshape(-1, 3), rings_mm[:1].mean(1), rings_mm[-1:].mean(1)])
    return Solid(vertices, np.concatenate([sides, bottom, top]))


@numba.njit(nogil=True, cache=True)
def _box_corners(vertices_mm):
    """[8, 3] corners of the bounding box of vertices [V, 3]."""
    bounds = np.empty((2, 3))
    bounds[0], bounds[1] = vertices_mm[0], vertices_mm[0]
    for v in range(vertices_mm.shape[0]):
        for axis in range(3):
            bounds[0, axis] = min(bounds[0, axis], vertices_mm[v, axis])
            bounds[1, axis] = max(bounds[1, axis], vertices_mm[v, axis])
    corners = np.empty((8, 3))
    for corner in range(8):
        for axis in range(3):
            corners[corner, axis] = bounds[corner >> axis & 1, axis]
    return corners


@numba.njit(nogil=True, cache=True)
def vertex_normals(vertices_mm, triangles):
    """Unit outward normals [V, 3], each the mean of the adjacent triangles' normals weighted by their area."""
    normals = np.zeros_like(vertices_mm)
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x, y, z = vertices_mm[i, 0], vertices_mm[i, 1], vertices_mm[i, 2]
        ax, ay, az = vertices_mm[j, 0] - x, vertices_mm[j, 1] - y, vertices_mm[j, 2] - z
        bx, by, bz = vertices_mm[k, 0] - x, vertices_mm[k, 1] - y, vertices_mm[k, 2] - z
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for v in (i, j, k):
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
    for v in range(normals.shape[0]):
        length = np.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2)
        scale = 1.0 / max(length, 1e-12)
        normals[v, 0] *= scale
        normals[v, 1] *= scale
        normals[v, 2] *= scale
    return normals
