"""The reference of a cohort: named by the user, or the training vertebra whose remeshed surface comes nearest to the
wanted number of vertices (Yu et al. 2025)."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.material_points import MaterialPoints
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.correspondence.array_cache import store_arrays, stored_arrays
from lumbar_ext.shape.model.alignment import align_from_starts, axis_starts
from lumbar_ext.shape.model.frame import world_from_vertebra
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.shape.model.reference import Reference, build_reference
from lumbar_ext.shape.sources.cohort_file import Cohort, CohortShape
from lumbar_ext.shape.sources.target import Target, content_key, load_target

_LOG = logging.getLogger(__name__)
_MOST_CANDIDATES = 6  # each is registered to all others, which takes time
_FRAME_LANDMARKS = ("superior_endplate", "inferior_endplate", "left_pedicle", "right_pedicle")


def choose_reference(
    cohort: Cohort, data_dir: Path, work_dir: Path, n_vertices: int, orientation: VertebraShapeModel | None = None
) -> tuple[Cohort, Reference]:
    """The reference, and the cohort with its name filled in; cached in the work folder.

    Args:
        cohort: the shapes; if it names no reference, up to six training shapes, those nearest to L3 first, are tried.
        data_dir: folder the paths start from.
        work_dir: cache.
        n_vertices: wanted vertices.
        orientation: a shape model that tells front from back on vertebrae in an unknown orientation without landmarks.

    Raises:
        InputError: if no candidate is a vertebra with one foramen on which the seven landmarks are found.
    """
    candidates = [cohort.shape(cohort.reference)] if cohort.reference is not None else _candidates(cohort)
    best: tuple[int, str, Reference] | None = None
    failures = []
    for shape in tqdm(candidates, desc="remeshing", unit="shape", disable=None):
        try:
            reference = _reference(shape, data_dir, work_dir, n_vertices, orientation)
        except (InputError, ValueError) as error:
            failures.append(f"{shape.name}: {error}")
            continue
        off = abs(len(reference.surface.vertices_mm) - n_vertices)
        if best is None or off < best[0]:
            best = (off, shape.name, reference)
    if best is None:
        raise InputError("no shape can serve as reference; " + "; ".join(failures))
    for failure in failures:
        _LOG.warning("not a reference: %s", failure)
    _LOG.info("reference: %s with %d vertices", best[1], len(best[2].surface.vertices_mm))
    return replace(cohort, reference=best[1]), best[2]


def _candidates(cohort: Cohort) -> list[CohortShape]:
    """Training shapes that count fully, smooth meshes and the middle level first."""
    usable = [s for s in cohort.shapes if s.split == "train" and s.weight >= 1]
    if not usable:
        raise InputError("the cohort holds no training shape to take the reference from")
    middle = LEVELS.index("L3")
    usable.sort(key=lambda s: (abs(s.level_index - middle), s.surface != "smooth", s.name))
    return usable[:_MOST_CANDIDATES]


def _reference(
    shape: CohortShape, data_dir: Path, work_dir: Path, n_vertices: int, orientation: VertebraShapeModel | None
) -> Reference:
    """The reference made from one shape, from the cache if its data are the same."""
    content = f"{content_key(shape, data_dir)} {n_vertices} {shape.unit} {shape.landmarks}"
    key = hashlib.sha1(content.encode()).hexdigest()
    cache = work_dir / f"reference_{shape.name}_{n_vertices}.npz"
    stored = stored_arrays(cache, key)
    if stored is not None:
        surface = Surface(stored["vertices"], stored["triangles"])
        return Reference(surface, MaterialPoints(stored["landmarks"], stored["weights"]))
    target = load_target(shape, data_dir)
    vertebra_from_target = _rough_frame(shape, target, orientation)
    reference = build_reference(
        target.surface.with_vertices(vertebra_from_target.apply(target.surface.vertices_mm)), n_vertices
    )
    store_arrays(
        cache,
        key,
        vertices=reference.surface.vertices_mm,
        triangles=reference.surface.triangles,
        landmarks=reference.landmarks.vertices,
        weights=reference.landmarks.weights,
    )
    return reference


def _rough_frame(shape: CohortShape, target: Target, orientation: VertebraShapeModel | None) -> RigidTransform:
    """A transform that turns a vertebra X front, Y left, Z up: by landmarks, as it lies, or by a shape model."""
    if all(name in target.landmarks_mm for name in _FRAME_LANDMARKS):
        positions = np.stack([target.landmarks_mm.get(name, np.zeros(3)) for name in LANDMARKS])
        return world_from_vertebra(positions).inverse()
    if shape.orientation == "anatomical" or orientation is None:
        return RigidTransform.identity()
    mean = Surface(orientation.mean[shape.level_index].numpy(), orientation.triangles.numpy())
    return align_from_starts(mean, target.surface, axis_starts()).target_from_source.inverse()
