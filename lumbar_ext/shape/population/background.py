"""The bones around L1-L5 for the simulator: sacrum, pelvis and T12, decimated and put into local frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.files import load_surface
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.model.alignment import align_from_starts, axis_starts, flexion_starts
from lumbar_ext.shape.model.reference import Reference
from lumbar_ext.shape.population.atlas import BackgroundBones

_ENDPLATE_REACH_MM = 22.0  # around the plate's centre: a lumbar plate's half width
_ENDPLATE_COSINE = 0.85  # to the plate's normal, 32 deg


def build_background(
    description: dict,
    data_dir: Path,
    reference: Reference,
    world_from_l5: np.ndarray,
    l1_vertices_mm: np.ndarray,
    n_triangles: int,
) -> BackgroundBones:
    """Reads, decimates and places the bones a cohort describes under `background`.

    Args:
        description: keys "sacrum", "pelvis", "t12", each with "file", "unit" and, if not anatomical, "orientation".
        data_dir: folder the paths start from.
        reference: topology of the vertebrae.
        world_from_l5: [4, 4] pose of the L5 that belongs to the sacrum, in the world of the sacrum's file.
        l1_vertices_mm: [V, 3] an L1 in its vertebra frame, to align T12 with.
        n_triangles: triangles of each bone.

    Raises:
        InputError: if a bone is missing or the sacrum has no endplate below L5.
    """
    bones = {}
    for name in ("sacrum", "pelvis", "t12"):
        if name not in description:
            raise InputError(
                f"the cohort's background lacks {name!r}: expected sacrum, pelvis and t12, or no background at all"
            )
        entry = description[name]
        bones[name] = decimate(load_surface(data_dir / entry["file"], entry.get("unit", "mm")), n_triangles)
    l5 = RigidTransform(world_from_l5[:3, :3], world_from_l5[:3, 3])
    world_from_sacrum = sacral_frame(bones["sacrum"], l5)
    sacrum_from_world = world_from_sacrum.inverse()
    unknown = description["t12"].get("orientation") == "unknown"
    return BackgroundBones(
        sacrum=_moved(bones["sacrum"], sacrum_from_world),
        pelvis=_moved(bones["pelvis"], sacrum_from_world),
        t12=_in_frame_of(bones["t12"], reference.surface.with_vertices(l1_vertices_mm), unknown),
        sacrum_from_l5=(sacrum_from_world @ l5).to_matrix(),
    )


def decimate(surface: Surface, n_triangles: int) -> Surface:
    """Quadric decimation (Garland and Heckbert 1997, by VTK); small surfaces stay as they are."""
    if len(surface.triangles) <= n_triangles:
        return surface
    import pyvista

    faces = np.concatenate([np.full((len(surface.triangles), 1), 3), surface.triangles], axis=1)
    mesh = pyvista.PolyData(surface.vertices_mm, faces.ravel()).decimate(1 - n_triangles / len(surface.triangles))
    return Surface(np.asarray(mesh.points), np.asarray(mesh.faces).reshape(-1, 4)[:, 1:])


def sacral_frame(sacrum: Surface, world_from_l5: RigidTransform) -> RigidTransform:
    """The sacral frame from the S1 endplate: the part of the sacrum that faces L5's inferior endplate.

    Args:
        sacrum: surface in the world.
        world_from_l5: pose of L5.

    Returns:
        `world_from_sacrum`: origin at the endplate centre, Z its normal, X the front as L5 sees it.

    Raises:
        InputError: if no triangle of the sacrum faces L5 below it.
    """
    corners = sacrum.vertices_mm[sacrum.triangles]
    areas = np.linalg.norm(sacrum.triangle_vectors, axis=1) / 2
    normals = sacrum.triangle_vectors / np.maximum(2 * areas, 1e-12)[:, None]
    centres = corners.mean(axis=1)
    up = world_from_l5.rotation[:, 2]
    for _ in range(4):
        local = world_from_l5.inverse().apply(centres)
        # The endplate lies 15-35 mm below the centre of L5, within the outline of its body, and faces it.
        below = (local[:, 2] < -10) & (local[:, 2] > -45)
        chosen = below & (np.hypot(local[:, 0], local[:, 1]) < _ENDPLATE_REACH_MM) & (normals @ up > _ENDPLATE_COSINE)
        if not chosen.any():
            raise InputError("the sacrum has no endplate below L5: are both in the same world frame and in mm?")
        mean = (areas[chosen, None] * normals[chosen]).sum(axis=0)
        up = mean / np.linalg.norm(mean)
    origin = (areas[chosen, None] * centres[chosen]).sum(axis=0) / areas[chosen].sum()
    leftward = np.cross(up, world_from_l5.rotation[:, 0])
    y = leftward / np.linalg.norm(leftward)
    return RigidTransform(np.stack([np.cross(y, up), y, up], axis=1), origin)


def _moved(surface: Surface, transform: RigidTransform) -> Surface:
    """The surface under a rigid transform."""
    return surface.with_vertices(transform.apply(surface.vertices_mm))


def _in_frame_of(surface: Surface, vertebra: Surface, unknown_orientation: bool) -> Surface:
    """A neighbouring vertebra moved onto a registered one, whose vertebra frame it then shares."""
    starts = axis_starts() if unknown_orientation else flexion_starts()
    pose = align_from_starts(vertebra, surface, starts).target_from_source
    return _moved(surface, pose.inverse())
