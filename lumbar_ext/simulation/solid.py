"""Closed triangle meshes as the simulator uses them: bodies of tissue to be moved, shrunk and rendered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np

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
        return self.with_vertices(target_from_source.apply(self.vertices_mm))

    def shrunk(self, depth_mm: float | np.ndarray) -> Solid:
        """The surface moved inwards along the vertex normals by a depth in mm, one number or [V]."""
        return self.with_vertices(self.vertices_mm - np.reshape(depth_mm, (-1, 1)) * self.normals)


@numba.njit(nogil=True, cache=True)
def vertex_normals(vertices_mm, triangles):
    """Unit outward normals [V, 3], each the mean of the adjacent triangles' normals weighted by their area."""
    normals = np.zeros_like(vertices_mm)
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, az = vertices_mm[j] - vertices_mm[i]
        bx, by, bz = vertices_mm[k] - vertices_mm[i]
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for v in (i, j, k):
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
    for v in range(normals.shape[0]):
        length = np.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2)
        normals[v] /= max(length, 1e-12)
    return normals
