"""Meshes for viewers: one glTF scene, and a label map."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import VERSE_LABELS
from lumbar_ext.geometry.axes import GLTF_FROM_WORLD, RAS_FROM_WORLD
from lumbar_ext.io.atomic import atomic_path, write_bytes
from lumbar_ext.measurements.marks.sacral_marks import sacral_disc
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.mesh.voxels import VoxelGrid, occupancy
from lumbar_ext.report.overlay import LEVEL_COLOURS

_MM_PER_M = 1000.0  # glTF 2.0 counts in metres
_MARGIN_MM = 3.0  # of empty voxels around the vertebrae


def write_gltf_scene(
    path: str | Path,
    meshes_mm: Mapping[str, np.ndarray],
    triangles: np.ndarray,
    sacral_rim_mm: np.ndarray | None = None,
) -> None:
    """Writes all vertebrae as one binary glTF scene: metres, Y up, Z to the front, one named node and colour a level.

    Args:
        path: the `.glb` file.
        meshes_mm: by level, vertices [V, 3] in world mm.
        triangles: [M, 3], shared by all meshes.
        sacral_rim_mm: [N, 3] rim of S1's superior endplate, world mm, which becomes the node S1, a disc.
    """
    import trimesh

    scene = trimesh.Scene()
    parts = {level: (vertices, triangles) for level, vertices in meshes_mm.items()}
    if sacral_rim_mm is not None:
        parts["S1"] = sacral_disc(sacral_rim_mm)
    for level, (vertices, own) in parts.items():
        mesh = trimesh.Trimesh(vertices @ GLTF_FROM_WORLD.T / _MM_PER_M, own, process=False)
        colour = [*(channel / 255 for channel in LEVEL_COLOURS[level]), 1.0]
        material = trimesh.visual.material.PBRMaterial(
            name=level, baseColorFactor=colour, metallicFactor=0.0, roughnessFactor=0.8, doubleSided=level == "S1"
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
    grid = VoxelGrid(origin, spacing_mm, labels.shape)
    for level, vertices in meshes_mm.items():
        part = grid.slices_around(vertices)
        labels[part][occupancy(Surface(vertices, triangles), grid.part(part))] = VERSE_LABELS[level]
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
