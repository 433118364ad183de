"""Brings a whole cohort into correspondence with the reference: every shape gets the reference's vertices, in its
vertebra frame.

Registration walks outward from the reference level: a registered template of a level starts the other shapes of that
level and the templates of the next levels, so that no deformation has to bridge two levels at once. Results are
cached per shape.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.shape.alignment import align_from_starts, axis_starts, flexion_starts
from lumbar_ext.shape.cohort import Cohort, CohortShape
from lumbar_ext.shape.frame import world_from_vertebra
from lumbar_ext.shape.label_surface import load_label_surface
from lumbar_ext.shape.nonrigid import MASK_TARGET_STAGES, SMOOTH_TARGET_STAGES, NonrigidRegistration, NonrigidResult
from lumbar_ext.shape.reference import Reference, build_reference
from lumbar_ext.shape.surface import Surface, load_surface

_LOG = logging.getLogger(__name__)
_LARGEST_ACCEPTED_MM = 1.5


@dataclass(frozen=True)
class RegisteredShape:
    """A cohort shape in correspondence.

    Args:
        shape: its entry in the cohort.
        vertices_mm: [V, 3] in its vertebra frame.
        world_from_vertebra: [4, 4] where that frame lies in the file's world (X front, Y left, Z up where the file
        knows).
        template_to_target_mm: (mean, 95th percentile) distance of the registered vertices to the target surface.
        target_to_template_mm: (mean, 95th percentile) the other way, cut areas left out.
        folded_fraction: part of the triangles folded over.
    """

    shape: CohortShape
    vertices_mm: np.ndarray
    world_from_vertebra: np.ndarray
    template_to_target_mm: np.ndarray
    target_to_template_mm: np.ndarray
    folded_fraction: float


@dataclass(frozen=True)
class _Target:
    """A surface to register to."""

    surface: Surface
    is_cut: np.ndarray | None


def load_target(shape: CohortShape, data_dir: Path) -> _Target:
    """The surface of a cohort shape, mm.

    Raises:
        InputError: if its file cannot be used.
    """
    path = data_dir / shape.file
    if shape.label is not None:
        labelled = load_label_surface(path, shape.label)
        return _Target(labelled.surface, labelled.is_cut)
    return _Target(load_surface(path, shape.unit, shape.component), None)


def load_reference(cohort: Cohort, data_dir: Path, work_dir: Path, n_vertices: int) -> Reference:
    """The reference, remeshed once and cached in the work folder."""
    cache = work_dir / f"reference_{n_vertices}.npz"
    if not cache.is_file():
        reference = build_reference(load_target(cohort.shape(cohort.reference), data_dir).surface, n_vertices)
        arrays = (reference.surface.vertices_mm, reference.surface.triangles)
        np.savez(
            cache,
            vertices=arrays[0],
            triangles=arrays[1],
            landmarks=reference.landmark_vertices,
            weights=reference.landmark_weights,
        )
    stored = np.load(cache)
    return Reference(Surface(stored["vertices"], stored["triangles"]), stored["landmarks"], stored["weights"])


def register_cohort(cohort: Cohort, reference: Reference, data_dir: Path, work_dir: Path) -> list[RegisteredShape]:
    """Registers every shape; a shape that fails is logged and left out.

    Args:
        cohort: the shapes.
        reference: topology and landmarks.
        data_dir: folder the cohort's paths start from.
        work_dir: cache; delete a shape's file there after changing its data or the reference.

    Returns:
        The registered shapes in the order of the cohort.
    """
    templates: dict[int, Surface] = {cohort.shape(cohort.reference).level_index: reference.surface}
    registrations: dict[tuple[int, str], NonrigidRegistration] = {}
    done: dict[str, RegisteredShape] = {}
    for shape in _outward(cohort):
        level = min(templates, key=lambda known: abs(known - shape.level_index))
        try:
            cache = work_dir / f"shape_{shape.name}_{len(reference.surface.vertices_mm)}.npz"
            registered = _cached(shape, cache)
            if registered is None:
                registration = _registration(registrations, templates, level, shape.surface)
                registered = _register(shape, reference, registration, data_dir)
                _store(registered, cache)
        except (InputError, ValueError) as error:
            _LOG.warning("shape %s is skipped: %s", shape.name, error)
            continue
        done[shape.name] = registered
        if shape.level_index not in templates and shape.template:
            templates[shape.level_index] = reference.surface.with_vertices(registered.vertices_mm)
    return [done[s.name] for s in cohort.shapes if s.name in done]


def _outward(cohort: Cohort) -> list[CohortShape]:
    """Templates first, from the reference level outward, then the rest level by level to reuse kernels."""
    start = cohort.shape(cohort.reference).level_index
    return sorted(
        cohort.shapes, key=lambda s: (not s.template, abs(s.level_index - start), s.level_index, s.surface, s.name)
    )


def _registration(
    known: dict[tuple[int, str], NonrigidRegistration], templates: dict[int, Surface], level: int, kind: str
) -> NonrigidRegistration:
    """The prepared registration of a level and kind of surface; only the last few are kept, they are large."""
    if (level, kind) not in known:
        if len(known) >= 2:
            known.pop(next(iter(known)))
        stages = MASK_TARGET_STAGES if kind == "mask" else SMOOTH_TARGET_STAGES
        known[level, kind] = NonrigidRegistration(templates[level], stages)
    return known[level, kind]


def _register(
    shape: CohortShape, reference: Reference, registration: NonrigidRegistration, data_dir: Path
) -> RegisteredShape:
    """Rigid then non-rigid registration of one shape."""
    target = load_target(shape, data_dir)
    starts = flexion_starts() if shape.orientation == "anatomical" else axis_starts()
    template = registration.template
    pose = align_from_starts(template, target.surface, starts, is_cut=target.is_cut).target_from_source
    result = registration.register(pose.apply(template.vertices_mm), target.surface, target.is_cut)
    if result.mean_mm > _LARGEST_ACCEPTED_MM:
        raise InputError(
            f"{shape.file}: mean distance after registration is {result.mean_mm:.2f} mm, above {_LARGEST_ACCEPTED_MM}"
        )
    registered = _summarise(shape, reference, result)
    _LOG.info(
        "%s: mean %.3f mm to the target, %.3f mm back, %.2f %% folded",
        shape.name,
        registered.template_to_target_mm[0],
        registered.target_to_template_mm[0],
        100 * registered.folded_fraction,
    )
    return registered


def _store(registered: RegisteredShape, path: Path) -> None:
    """Writes a result to the cache."""
    np.savez(
        path,
        vertices=registered.vertices_mm.astype(np.float32),
        pose=registered.world_from_vertebra,
        forth=registered.template_to_target_mm,
        back=registered.target_to_template_mm,
        folded=registered.folded_fraction,
    )


def _summarise(shape: CohortShape, reference: Reference, result: NonrigidResult) -> RegisteredShape:
    """Brings a result to its vertebra frame."""
    pose = world_from_vertebra(reference.landmarks_mm(result.vertices_mm))
    forth, back = result.template_to_target_mm, result.target_to_template_mm
    return RegisteredShape(
        shape,
        pose.inverse().apply(result.vertices_mm),
        pose.to_matrix(),
        np.array([forth.mean(), np.percentile(forth, 95)]),
        np.array([back.mean(), np.percentile(back, 95)]),
        result.folded_fraction,
    )


def _cached(shape: CohortShape, path: Path) -> RegisteredShape | None:
    """A result of an earlier run."""
    if not path.is_file():
        return None
    stored = np.load(path)
    return RegisteredShape(
        shape,
        stored["vertices"].astype(np.float64),
        stored["pose"],
        stored["forth"],
        stored["back"],
        float(stored["folded"]),
    )
