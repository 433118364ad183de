"""Closed triangle surfaces as values: loading, cleaning, normals and closest points.

All coordinates are millimetres in the frame of the file that was read; units other than millimetres are converted on
loading.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from lumbar_ext.errors import InputError
from lumbar_ext.io.input_file import MAX_MESH_BYTES, one_line, require_file
from lumbar_ext.mesh.files import read_stored_mesh

MM_PER_UNIT = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001}
"""Length units a mesh file may be written in."""


@dataclass(frozen=True)
class Surface:
    """A triangle mesh.

    Args:
        vertices_mm: [V, 3] vertex positions.
        triangles: [M, 3] vertex indices, counter-clockwise seen from outside.

    Raises:
        ValueError: if a shape is wrong, a value is not finite or an index is out of range.
    """

    vertices_mm: np.ndarray
    triangles: np.ndarray

    def __post_init__(self) -> None:
        vertices = np.asarray(self.vertices_mm, dtype=np.float64)
        triangles = np.asarray(self.triangles, dtype=np.int64)
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
        normals = np.zeros_like(self.vertices_mm)
        for corner in range(3):
            np.add.at(normals, self.triangles[:, corner], self.triangle_vectors)
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)

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

    def to_trimesh(self) -> trimesh.Trimesh:
        """A trimesh view of this surface, without any processing."""
        return trimesh.Trimesh(self.vertices_mm, self.triangles, process=False)


def load_surface(path: str | Path, unit: str = "mm", component: int | None = None) -> Surface:
    """Reads a mesh file and makes it one clean closed component.

    Args:
        path: STL, PLY or OBJ file, or a `*_vertices.csv` (mm) with its `*_faces.csv` (1-based) beside it.
        unit: "mm", "cm", "m" or "um".
        component: for files that hold several bones: which component, counted from the highest mean z down; the largest
            component when omitted.

    Returns:
        The cleaned surface in mm with outward normals.

    Raises:
        InputError: if the file is missing, empty, in an unknown unit, or lacks the component.
    """
    path = Path(path)
    if unit not in MM_PER_UNIT:
        raise InputError(f"{path}: unit {unit!r} is unknown, expected one of {', '.join(MM_PER_UNIT)}")
    mesh = read_mesh(path)
    if not np.isfinite(mesh.vertices).all():
        raise InputError(f"{path}: holds vertices that are not finite numbers")
    surface = Surface(mesh.vertices, mesh.faces)
    return clean_surface(
        surface.with_vertices(surface.vertices_mm * MM_PER_UNIT[unit]), component=component, name=str(path)
    )


def clean_surface(
    surface: Surface, *, component: int | None = None, name: str = "mesh", outward: bool = True
) -> Surface:
    """Merges equal vertices, keeps one component and turns the normals outward.

    Args:
        surface: any triangle soup.
        component: see `load_surface`.
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


@dataclass(frozen=True)
class SurfacePoints:
    """Points on a surface.

    Args:
        points_mm: [N, 3] positions.
        vertices: [N, 3] corners of the triangles they lie in.
        weights: [N, 3] their barycentric weights.
    """

    points_mm: np.ndarray
    vertices: np.ndarray
    weights: np.ndarray


def locate(surface: Surface, points_mm: np.ndarray, *, candidates: int = 12) -> SurfacePoints:
    """Closest points on the surface, by the exact distance to the triangles with the nearest centroids.

    Args:
        surface: the surface; its triangles should be of similar size.
        points_mm: [N, 3] query points.
        candidates: how many near triangles to test per point.
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
    return SurfacePoints(point, surface.triangles[triangle], weights)


def surface_distance_mm(source: Surface, target: Surface) -> np.ndarray:
    """[V] distance of every source vertex to the target surface."""
    return np.linalg.norm(locate(target, source.vertices_mm).points_mm - source.vertices_mm, axis=1)


def read_mesh(path: str | Path) -> trimesh.Trimesh:
    """The triangles of a mesh file as they are stored.

    Args:
        path: STL, PLY or OBJ file, or a `*_vertices.csv` with its `*_faces.csv` (1-based) beside it.

    Raises:
        InputError: if the file is missing, cannot be read or holds no triangles.
    """
    path = Path(path)
    vertices, triangles = _read_csv(path) if path.suffix == ".csv" else read_stored_mesh(path)
    if len(triangles) == 0:
        raise InputError(f"{path}: holds no triangles")
    return trimesh.Trimesh(vertices, triangles, process=False)


def _read_csv(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of a vertex table and the table of 1-based faces beside it."""
    faces_path = path.with_name(path.name.replace("_vertices", "_faces"))
    if faces_path == path or not faces_path.is_file():
        raise InputError(f"{path}: expected a *_vertices.csv with its *_faces.csv beside it")
    vertices, faces = (_read_table(table) for table in (path, faces_path))
    triangles = faces.astype(np.int64) - 1
    if len(triangles) and not (triangles.min() >= 0 and triangles.max() < len(vertices)):
        raise InputError(f"{faces_path}: names vertex {triangles.max() + 1}, expected 1 to {len(vertices)}")
    return vertices, triangles


def _read_table(path: Path) -> np.ndarray:
    """[N, 3] numbers of a CSV file."""
    require_file(path, "a table of three columns", MAX_MESH_BYTES)
    try:
        table = np.loadtxt(path, delimiter=",", ndmin=2)
    except ValueError as error:
        raise InputError(f"{path}: cannot be read as a table ({one_line(error)})") from error
    if table.shape[1] != 3:
        raise InputError(
            f"{path}: {table.shape[1]} columns, expected three, separated by commas and with a decimal point"
        )
    return table
