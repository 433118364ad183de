"""One vertebra from a mesh file as users have them: checked, repaired where that is safe, refused where it is not.

Repairs: points that are not numbers go with their triangles, double points merge, triangles are turned the same way
round and outward, small holes are closed, units are recognised by the size of a lumbar vertebra. Every repair is noted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh

from lumbar_ext.errors import InputError
from lumbar_ext.mesh.files import MM_PER_UNIT, read_triangle_soup
from lumbar_ext.mesh.remeshing import polydata
from lumbar_ext.mesh.surface import Surface, clean_surface

VERTEBRA_EXTENT_MM = (40.0, 170.0)
"""Largest side of the bounding box of a lumbar vertebra or of a large part of one, generous on both ends."""

_LARGEST_HOLE_MM = 15.0  # that is closed: a gap of a scan, not a missing part
_TOLERATED_FRACTION = 0.01  # of edges with more than two triangles, which are removed
_LARGEST_LOST_FRACTION = 0.05  # of the vertices in parts that are dropped


@dataclass(frozen=True)
class VertebraMesh:
    """A usable vertebra.

    Args:
        surface: cleaned surface, mm, outward normals.
        mm_per_unit: length of the file's unit.
        notes: what was repaired, one sentence each.
    """

    surface: Surface
    mm_per_unit: float
    notes: tuple[str, ...]


def load_vertebra(path: str | Path, unit: str = "auto", component: int | None = None) -> VertebraMesh:
    """Reads one vertebra.

    Args:
        path: STL, PLY or OBJ file, or `*_vertices.csv` with its `*_faces.csv`.
        unit: length unit of the file, or "auto" to tell it by the size.
        component: which of several bones, from the top; the largest when omitted.

    Raises:
        InputError: if the file cannot be read, is no surface, has a large hole or no plausible size.
    """
    path = Path(path)
    if unit != "auto" and unit not in MM_PER_UNIT:
        raise InputError(f"{path}: unit {unit!r} is unknown, expected auto or one of {', '.join(MM_PER_UNIT)}")
    notes: list[str] = []
    surface = _without_lost_points(read_triangle_soup(path), path, notes)
    try:
        surface = _turned_alike(surface, path, component, notes)
        factor = _mm_per_unit(surface, unit, path, notes)
        surface = _closed(surface.with_vertices(surface.vertices_mm * factor), path, notes)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{path}: the mesh needs repair (holes, or triangles turned differently), for which {error.name} is not installed: "
            "pip install 'lumbar_ext[build]'"
        ) from error
    return VertebraMesh(surface, factor, tuple(notes))


def guess_unit(extent: float) -> str | None:
    """The unit in which a vertebra of this extent was written, None if no unit gives a plausible size."""
    low, high = VERTEBRA_EXTENT_MM
    return next((unit for unit, factor in MM_PER_UNIT.items() if low <= extent * factor <= high), None)


def _without_lost_points(mesh: trimesh.Trimesh, path: Path, notes: list[str]) -> Surface:
    """The mesh without points that are not finite and the triangles at them."""
    lost = ~np.isfinite(mesh.vertices).all(axis=1)
    if not lost.any():
        return Surface(mesh.vertices, mesh.faces)
    if lost.mean() > _LARGEST_LOST_FRACTION:
        raise InputError(f"{path}: {lost.sum()} of {len(lost)} vertices are not finite numbers, expected none")
    kept = mesh.faces[~lost[mesh.faces].any(axis=1)]
    notes.append(f"{lost.sum()} vertices that were not finite removed, with {len(mesh.faces) - len(kept)} triangles")
    return Surface(np.where(lost[:, None], 0.0, mesh.vertices), kept)


def _turned_alike(surface: Surface, path: Path, component: int | None, notes: list[str]) -> Surface:
    """One component of the surface with consistent outward normals."""
    part = clean_surface(surface, component=component, name=str(path), outward=False)
    mesh = part.to_trimesh()
    if not mesh.is_winding_consistent:
        trimesh.repair.fix_winding(mesh)
        notes.append("triangles turned the same way round")
        part = Surface(mesh.vertices, mesh.faces)
    if part.volume_mm3 < 0:
        notes.append("normals pointed inward: turned outward")
        part = Surface(part.vertices_mm, part.triangles[:, ::-1])
    return part


def _mm_per_unit(surface: Surface, unit: str, path: Path, notes: list[str]) -> float:
    """Factor to mm, checked against the size of a vertebra."""
    extent = float(np.ptp(surface.vertices_mm, axis=0).max())
    found = guess_unit(extent)
    if found is None:
        low, high = VERTEBRA_EXTENT_MM
        raise InputError(
            f"{path}: the largest side is {extent:.4g} in the file's unit, expected a lumbar vertebra of "
            f"{low:g}-{high:g} mm in {', '.join(MM_PER_UNIT)}"
        )
    if unit not in ("auto", found):
        raise InputError(
            f"{path}: unit is given as {unit!r}, but the largest side of {extent:.4g} looks like {found!r}: "
            f"correct the unit or leave it out"
        )
    if unit == "auto" and found != "mm":
        notes.append(f"unit taken as {found}: largest side {extent:.4g}")
    return MM_PER_UNIT[found]


def _closed(surface: Surface, path: Path, notes: list[str]) -> Surface:
    """The surface with its small holes filled.

    Raises:
        InputError: if a hole is large or many edges belong to three triangles.
    """
    uses = _edge_uses(surface)
    if not (uses == 1).any():
        return _tolerated(surface, uses, path, notes)
    widest = _widest_hole_mm(surface)
    if widest > _LARGEST_HOLE_MM:
        raise InputError(
            f"{path}: the mesh is open, its largest hole is {widest:.0f} mm wide; holes up to {_LARGEST_HOLE_MM:g} mm "
            f"are closed: close it, or give a label map"
        )
    # VTK measures holes by the radius of their bounding sphere.
    filled = polydata(surface).fill_holes(2 * _LARGEST_HOLE_MM).triangulate().clean()
    faces = np.asarray(filled.faces).reshape(-1, 4)[:, 1:]
    closed = _turned_alike(Surface(np.asarray(filled.points), faces), path, None, [])
    uses = _edge_uses(closed)
    if (uses == 1).any():
        raise InputError(f"{path}: the mesh is open along {(uses == 1).sum()} edges and could not be closed")
    notes.append(f"holes up to {widest:.1f} mm wide closed")
    return _tolerated(closed, uses, path, notes)


def _tolerated(surface: Surface, uses: np.ndarray, path: Path, notes: list[str]) -> Surface:
    """The surface, if no more than a few edges join more than two triangles."""
    crowded = int((uses > 2).sum())
    if crowded > _TOLERATED_FRACTION * len(uses):
        raise InputError(
            f"{path}: {crowded} of {len(uses)} edges belong to more than two triangles, expected a surface"
        )
    if crowded:
        notes.append(f"{crowded} edges belong to more than two triangles: left as they are")
    return surface


def _edge_uses(surface: Surface) -> np.ndarray:
    """[E] number of triangles at each edge."""
    edges = np.sort(surface.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    return np.unique(edges, axis=0, return_counts=True)[1]


def _widest_hole_mm(surface: Surface) -> float:
    """Largest side of the box around a boundary loop."""
    boundary = polydata(surface).extract_feature_edges(
        boundary_edges=True, non_manifold_edges=False, feature_edges=False, manifold_edges=False
    )
    loops = boundary.connectivity()
    region = np.asarray(loops.point_data["RegionId"])
    points = np.asarray(loops.points)
    return max(float(np.ptp(points[region == r], axis=0).max()) for r in np.unique(region))
