"""The surface a template is registered to: read, repaired and with a suitable number of vertices."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from lumbar_ext.errors import InputError
from lumbar_ext.mesh.remeshing import remesh
from lumbar_ext.mesh.surface import Surface, surface_distance_mm
from lumbar_ext.shape.sources.cohort_file import CohortShape
from lumbar_ext.shape.sources.label_map import load_label_map
from lumbar_ext.shape.sources.label_surface import load_label_surface
from lumbar_ext.shape.sources.shape_landmarks import read_shape_landmarks
from lumbar_ext.shape.sources.vertebra_file import load_vertebra

_SUITABLE = (0.5, 4.0)
"""Vertices of a target in parts of the template's: with fewer, closest points are crude; more only take time."""


@dataclass(frozen=True)
class Target:
    """A surface to register to.

    Args:
        surface: closed surface, mm.
        is_cut: [V] True where it is no bone surface but the edge of the field of view; None for a whole bone.
        landmarks_mm: positions [3] by name in the surface's frame; empty without a landmark file.
        notes: what was repaired or changed.
    """

    surface: Surface
    is_cut: np.ndarray | None
    landmarks_mm: dict[str, np.ndarray]
    notes: tuple[str, ...] = ()


def load_target(shape: CohortShape, data_dir: Path) -> Target:
    """The surface of a cohort shape.

    Raises:
        InputError: if its file or its landmarks cannot be used.
    """
    path = data_dir / shape.file
    landmarks = {} if shape.landmarks is None else read_shape_landmarks(data_dir / shape.landmarks)
    if shape.label is None:
        mesh = load_vertebra(path, shape.unit, shape.component)
        return Target(mesh.surface, None, {n: mesh.mm_per_unit * p for n, p in landmarks.items()}, mesh.notes)
    labelled = load_label_surface(path, shape.label)
    ours_from_file = load_label_map(path).ours_from_file
    landmarks = {n: ours_from_file[:3, :3] @ p + ours_from_file[:3, 3] for n, p in landmarks.items()}
    notes = (f"{labelled.is_cut.mean():.1%} of the surface is the edge of the image",) if labelled.is_cut.any() else ()
    return Target(labelled.surface, labelled.is_cut, landmarks, notes)


def with_suitable_density(target: Target, n_vertices: int) -> Target:
    """The target remeshed to the template's number of vertices if its own is far from that.

    A target whose topology does not survive stays as it is, with a note.
    """
    count = len(target.surface.vertices_mm)
    if _SUITABLE[0] * n_vertices <= count <= _SUITABLE[1] * n_vertices:
        return target
    try:
        surface = remesh(target.surface, n_vertices)
    except InputError as error:
        return Target(target.surface, target.is_cut, target.landmarks_mm, (*target.notes, f"not remeshed: {error}"))
    moved = float(surface_distance_mm(surface, target.surface).mean())
    back = float(surface_distance_mm(target.surface, surface).mean())
    is_cut = None
    if target.is_cut is not None:
        is_cut = target.is_cut[cKDTree(target.surface.vertices_mm).query(surface.vertices_mm)[1]]
    note = f"remeshed from {count} to {len(surface.vertices_mm)} vertices, {max(moved, back):.3f} mm from the original"
    return Target(surface, is_cut, target.landmarks_mm, (*target.notes, note))


def content_key(shape: CohortShape, data_dir: Path) -> str:
    """A digest of the data behind a shape: equal for two names of the same vertebra.

    Raises:
        InputError: if a file is missing.
    """
    digest = hashlib.sha1(repr((shape.label, shape.component)).encode())
    path = data_dir / shape.file
    files = [path]
    if path.suffix == ".csv":
        files.append(path.with_name(path.name.replace("_vertices", "_faces")))
    for file in files:
        try:
            digest.update(file.read_bytes())
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()
