"""Closed triangle meshes as values: volume, normals, motion, cleaning and closest points, all in millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from lumbar_ext.compiled import compiled
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.material_points import MaterialPoints


@dataclass(frozen=True)
class Surface:
    """A triangle mesh: one bone or other body, or several in one.

    Args:
        vertices_mm: [V, 3] vertex positions; float64.
        triangles: [M, 3] vertex indices, counter-clockwise seen from outside; int64.

    Raises:
        ValueError: if a shape is wrong, a value is not finite or an index is out of range.
    """

    vertices_mm: np.ndarray
    triangles: np.ndarray

    def __post_init__(self) -> None:
        vertices = np.ascontiguousarray(self.vertices_mm, dtype=np.float64)
        triangles = np.ascontiguousarray(self.triangles, dtype=np.int64)
        if vertices.ndim != 2 or vertices.shape[1] != 3 or triangles.ndim != 2 or triangles.shape[1] != 3:
            raise ValueError(
                f"Surface needs vertices [V, 3] and triangles [M, 3], found {vertices.shape}, {triangles.shape}"
            )
        if not np.isfinite(vertices).all():
            raise ValueError("Surface holds a vertex that is not finite")
        if triangles.size and (triangles.min() < 0 or triangles.max() >= len(vertices)):
            raise ValueError(
                f"triangle indices must lie in 0..{len(vertices) - 1}, found {triangles.min()}..{triangles.max()}"
            )
        object.__setattr__(self, "vertices_mm", vertices)
        object.__setattr__(self, "triangles", triangles)

    @cached_property
    def triangle_vectors(self) -> np.ndarray:
        """[M, 3] normals whose lengths are twice the triangle areas."""
        corners = self.vertices_mm[self.triangles]
        return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])

    @cached_property
    def normals(self) -> np.ndarray:
        """[V, 3] unit outward vertex normals, area weighted."""
        return vertex_normals(self.vertices_mm, self.triangles)

    @cached_property
    def box_corners_mm(self) -> np.ndarray:
        """[8, 3] corners of the bounding box."""
        return _box_corners(self.vertices_mm)

    @cached_property
    def vertex_areas_mm2(self) -> np.ndarray:
        """[V] a third of the area of the triangles around each vertex."""
        areas = np.linalg.norm(self.triangle_vectors, axis=1) / 6
        return np.bincount(self.triangles.ravel(), np.repeat(areas, 3), minlength=len(self.vertices_mm))

    @cached_property
    def volume_mm3(self) -> float:
        """Enclosed volume by the divergence theorem; positive for outward normals."""
        return float(np.einsum("ij,ij->", self.vertices_mm[self.triangles[:, 0]], self.triangle_vectors) / 6)

    @property
    def euler_number(self) -> int:
        """V - E + F: 2 for a sphere, 0 for a vertebra with its one vertebral foramen."""
        return int(self.to_trimesh().euler_number)

    @property
    def is_watertight(self) -> bool:
        """Whether every edge is shared by exactly two triangles."""
        return bool(self.to_trimesh().is_watertight)

    def with_vertices(self, vertices_mm: np.ndarray) -> Surface:
        """The same topology at other positions."""
        return Surface(vertices_mm, self.triangles)

    def moved(self, target_from_source: RigidTransform) -> Surface:
        """The same mesh in another frame; normals that were computed turn with it."""
        result = self.with_vertices(target_from_source.apply(self.vertices_mm))
        if "normals" in self.__dict__:
            result.__dict__["normals"] = self.normals @ target_from_source.rotation.T
        return result

    def shrunk(self, depth_mm: float | np.ndarray) -> Surface:
        """The surface moved inwards along the vertex normals by a depth in mm, one number or [V]."""
        return self.with_vertices(self.vertices_mm - np.reshape(depth_mm, (-1, 1)) * self.normals)

    @classmethod
    def merged(cls, surfaces: list[Surface]) -> Surface:
        """One mesh of several; where they overlap, path lengths count twice."""
        starts = np.cumsum([0, *(len(surface.vertices_mm) for surface in surfaces[:-1])])
        triangles = [surface.triangles + start for surface, start in zip(surfaces, starts, strict=True)]
        return cls(np.concatenate([surface.vertices_mm for surface in surfaces]), np.concatenate(triangles))

    def to_trimesh(self) -> trimesh.Trimesh:
        """A trimesh of copies, which may be changed without changing this value; nothing is merged or dropped."""
        return trimesh.Trimesh(self.vertices_mm.copy(), self.triangles.copy(), process=False)


def clean_surface(
    surface: Surface, *, component: int | None = None, name: str = "mesh", outward: bool = True
) -> Surface:
    """Merges equal vertices, keeps one component and turns the normals outward.

    Args:
        surface: any triangle soup.
        component: for files that hold several bones: which component, counted from the highest mean z down; the largest
            when omitted.
        name: how errors call this mesh.
        outward: turn the normals outward; False keeps the order of the corners.

    Raises:
        InputError: if no triangle is left or the component does not exist.
    """
    mesh = surface.to_trimesh()
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    mesh.update_faces(mesh.nondegenerate_faces() & mesh.unique_faces())
    parts = mesh.split(only_watertight=False)
    if len(parts) == 0:
        raise InputError(f"{name}: holds no triangles")
    if component is None:
        part = max(parts, key=lambda p: len(p.faces))
    else:
        parts = sorted(parts, key=lambda p: -p.vertices[:, 2].mean())
        if not 0 <= component < len(parts):
            raise InputError(f"{name}: component {component} asked for, but it has {len(parts)}")
        part = parts[component]
    cleaned = Surface(part.vertices, part.faces)
    return (
        cleaned if cleaned.volume_mm3 >= 0 or not outward else Surface(cleaned.vertices_mm, cleaned.triangles[:, ::-1])
    )


def locate(surface: Surface, points_mm: np.ndarray, *, candidates: int = 12) -> tuple[np.ndarray, MaterialPoints]:
    """Closest points on the surface, by the exact distance to the triangles with the nearest centroids.

    Args:
        surface: the surface; its triangles should be of similar size.
        points_mm: [N, 3] query points.
        candidates: how many near triangles to test per point.

    Returns:
        Their positions [N, 3], and the same as points that stick to the surface, each to the corners of a triangle.
    """
    corners = surface.vertices_mm[surface.triangles]
    candidates = min(candidates, len(corners))
    _, near = cKDTree(corners.mean(axis=1)).query(points_mm, k=candidates)
    near = near.reshape(len(points_mm), candidates)
    closest = trimesh.triangles.closest_point(corners[near.ravel()], np.repeat(points_mm, candidates, axis=0))
    closest = closest.reshape(len(points_mm), candidates, 3)
    rows = np.arange(len(points_mm))
    best = np.argmin(((closest - np.asarray(points_mm)[:, None]) ** 2).sum(-1), axis=1)
    triangle, point = near[rows, best], closest[rows, best]
    weights = trimesh.triangles.points_to_barycentric(corners[triangle], point)
    return point, MaterialPoints(surface.triangles[triangle], weights)


def surface_distance_mm(source: Surface, target: Surface) -> np.ndarray:
    """[V] distance of every source vertex to the target surface."""
    closest, _ = locate(target, source.vertices_mm)
    return np.linalg.norm(closest - source.vertices_mm, axis=1)


def tube(rings_mm: np.ndarray) -> Surface:
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
    return Surface(vertices, np.concatenate([sides, bottom, top]))


@compiled()
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


@compiled()
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
