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
from lumbar_ext.report.colours import linear_from_srgb, uncertainty_scale_mm, viridis
from lumbar_ext.report.overlay import LEVEL_COLOURS

_MM_PER_M = 1000.0  # glTF 2.0 counts in metres
_MARGIN_MM = 3.0  # of empty voxels around the vertebrae


def write_gltf_scene(
    path: str | Path,
    meshes_mm: Mapping[str, np.ndarray],
    triangles: np.ndarray,
    sacral_rim_mm: np.ndarray | None = None,
    vertex_sd_mm: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Writes all vertebrae as one binary glTF scene: metres, Y up, Z to the front, one named node a level.

    Vertices have the colour of their uncertainty (COLOR_0): viridis, whose ends in mm stand in the material's name, and are
    those of the report's 3D view of the same study. A level without uncertainty has its own colour. glTF's colours are shares
    of light, not sRGB (glTF 2.0, 3.9.2 and 3.7.2.1).

    Args:
        path: the `.glb` file.
        meshes_mm: by level, vertices [V, 3] in world mm.
        triangles: [M, 3], shared by all meshes.
        sacral_rim_mm: [N, 3] rim of S1's superior endplate, world mm, which becomes the node S1, a disc.
        vertex_sd_mm: by level, [V] standard deviation along the normal; unknown by default.
    """
    import trimesh

    scene, spread = trimesh.Scene(), vertex_sd_mm or {}
    high_mm = uncertainty_scale_mm(spread)
    parts = {level: (vertices, triangles) for level, vertices in meshes_mm.items()}
    if sacral_rim_mm is not None:
        parts["S1"] = sacral_disc(sacral_rim_mm)
    for level, (vertices, own) in parts.items():
        mesh = trimesh.Trimesh(vertices @ GLTF_FROM_WORLD.T / _MM_PER_M, own, process=False)
        known = level in spread
        colour = np.ones(3) if known else linear_from_srgb(np.array(LEVEL_COLOURS[level]))
        material = trimesh.visual.material.PBRMaterial(
            name=f"{level}, uncertainty 0 (dark) to {high_mm:.1f} mm (bright)" if known else level,
            baseColorFactor=[*colour, 1.0],
            metallicFactor=0.0,
            roughnessFactor=0.8,
            doubleSided=level == "S1",
        )
        mesh.visual = trimesh.visual.TextureVisuals(material=material)
        if known:
            light = np.rint(255 * linear_from_srgb(viridis(spread[level], high_mm)))
            opaque = np.full((len(light), 1), 255)
            mesh.visual.vertex_attributes["color"] = np.hstack([light, opaque]).astype(np.uint8)
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
