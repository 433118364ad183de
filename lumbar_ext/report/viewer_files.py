"""Meshes for viewers: PLY with a scalar for every vertex, one glTF scene, and a label map."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import VERSE_LABELS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry.axes import GLTF_FROM_WORLD, RAS_FROM_WORLD
from lumbar_ext.io.atomic import atomic_path, write_bytes
from lumbar_ext.mesh.plane_cut import WalkableSurface
from lumbar_ext.report.overlay import LEVEL_COLOURS

_MM_PER_M = 1000.0
_MARGIN_MM = 3.0


def write_ply(
    path: str | Path, vertices_mm: np.ndarray, triangles: np.ndarray, scalars: Mapping[str, np.ndarray]
) -> None:
    """Writes a binary PLY file atomically.

    Args:
        path: the file.
        vertices_mm: [V, 3] mm; viewers take them for LPS.
        triangles: [M, 3].
        scalars: by property name, [V] values.

    Raises:
        InputError: if a scalar has not one value a vertex.
    """
    for name, values in scalars.items():
        if np.shape(values) != (len(vertices_mm),):
            raise InputError(f"{path}: scalar {name} has the shape {np.shape(values)}, expected ({len(vertices_mm)},)")
    names = ["x", "y", "z", *scalars]
    rows = np.zeros(len(vertices_mm), dtype=[(name, "<f4") for name in names])
    for name, values in zip(names, [*np.asarray(vertices_mm).T, *scalars.values()], strict=True):
        rows[name] = values
    faces = np.zeros(len(triangles), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, triangles
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment lumbar_ext mesh, mm, LPS: x to the person's left, y to the back, z up",
        f"element vertex {len(rows)}",
        *(f"property float {name}" for name in names),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
        "",
    ]
    write_bytes(path, "\n".join(header).encode() + rows.tobytes() + faces.tobytes())


def write_gltf_scene(path: str | Path, meshes_mm: Mapping[str, np.ndarray], triangles: np.ndarray) -> None:
    """Writes all vertebrae as one binary glTF scene: metres, Y up, Z to the front, one named node and colour a level.

    Args:
        path: the `.glb` file.
        meshes_mm: by level, vertices [V, 3] in world mm.
        triangles: [M, 3], shared by all meshes.
    """
    import trimesh

    scene = trimesh.Scene()
    for level, vertices in meshes_mm.items():
        mesh = trimesh.Trimesh(vertices @ GLTF_FROM_WORLD.T / _MM_PER_M, triangles, process=False)
        colour = [*(channel / 255 for channel in LEVEL_COLOURS[level]), 1.0]
        material = trimesh.visual.material.PBRMaterial(
            name=level, baseColorFactor=colour, metallicFactor=0.0, roughnessFactor=0.8
        )
        mesh.visual = trimesh.visual.TextureVisuals(material=material)
        scene.add_geometry(mesh, node_name=level, geom_name=level)
    write_bytes(path, scene.export(file_type="glb"))


def label_volume(
    meshes_mm: Mapping[str, np.ndarray], triangles: np.ndarray, spacing_mm: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """A label map of the vertebrae, labels of VerSe (20 to 24 for L1 to L5).

    Voxels whose centre lies inside a mesh take its label; a voxel of two overlapping meshes takes that of the lower one.

    Args:
        meshes_mm: by level, vertices [V, 3] in world mm.
        triangles: [M, 3], shared by all meshes.
        spacing_mm: voxel size.

    Returns:
        uint8 [X, Y, Z] along the world axes, and the world position [3] of the first voxel's centre.
    """
    everything = np.concatenate(list(meshes_mm.values()))
    origin = np.floor(everything.min(0) - _MARGIN_MM)
    size = np.ceil((everything.max(0) + _MARGIN_MM - origin) / spacing_mm).astype(int) + 1
    labels = np.zeros(size, dtype=np.uint8)
    for level, vertices in meshes_mm.items():
        _fill(labels, WalkableSurface(vertices, triangles), origin, spacing_mm, VERSE_LABELS[level])
    return labels, origin


def write_label_map(
    path: str | Path, meshes_mm: Mapping[str, np.ndarray], triangles: np.ndarray, spacing_mm: float = 1.0
) -> None:
    """Writes the label map as NIfTI, atomically; its affine is in NIfTI's axes, right to left, back to front, up."""
    import nibabel

    labels, origin = label_volume(meshes_mm, triangles, spacing_mm)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = RAS_FROM_WORLD * spacing_mm, RAS_FROM_WORLD @ origin
    image = nibabel.Nifti1Image(labels, affine)
    image.header.set_xyzt_units(xyz="mm")
    with atomic_path(path) as temporary:
        nibabel.save(image, temporary)


def _fill(labels: np.ndarray, surface: WalkableSurface, origin: np.ndarray, spacing_mm: float, value: int) -> None:
    """Fills every column of voxels along Z between pairs of meetings with the surface."""
    low = np.floor((surface.vertices_mm.min(0) - origin) / spacing_mm).astype(int)
    high = np.ceil((surface.vertices_mm.max(0) - origin) / spacing_mm).astype(int)
    for i in range(max(low[0], 0), min(high[0], labels.shape[0] - 1) + 1):
        for j in range(max(low[1], 0), min(high[1], labels.shape[1] - 1) + 1):
            # Off the grid of round coordinates, on which meshes have edges.
            start = origin + spacing_mm * np.array([i + 1.3e-5, j + 1.7e-5, 0.0])
            heights = [hit.distance_mm / spacing_mm for hit in surface.line_hits(start, np.array([0.0, 0.0, 1.0]))]
            for enters, leaves in zip(heights[::2], heights[1::2], strict=False):
                labels[i, j, max(int(np.ceil(enters)), 0) : int(np.floor(leaves)) + 1] = value
