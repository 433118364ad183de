"""Brings a whole cohort into correspondence with the reference: every shape gets the reference's vertices, in its
vertebra frame.

Registration walks outward from the reference level: a registered template of a level starts the other shapes of that
level and the templates of the next levels, so that no deformation has to bridge two levels at once. Results are
cached per shape, with a digest of all they depend on.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.correspondence.array_cache import store_arrays, stored_arrays
from lumbar_ext.shape.correspondence.nonrigid import (
    MASK_TARGET_STAGES,
    SMOOTH_TARGET_STAGES,
    NonrigidRegistration,
    NonrigidResult,
)
from lumbar_ext.shape.model.alignment import align_from_starts, axis_starts, flexion_starts, trimmed_icp
from lumbar_ext.shape.model.frame import world_from_vertebra
from lumbar_ext.shape.model.reference import Reference
from lumbar_ext.shape.sources.cohort_file import Cohort, CohortShape
from lumbar_ext.shape.sources.shape_landmarks import pose_from_landmarks
from lumbar_ext.shape.sources.target import Target, content_key, load_target, with_suitable_density

_LOG = logging.getLogger(__name__)
_LARGEST_ACCEPTED_MM = 1.5  # mean surface distance; whole vertebrae are met to 0.02-0.43 mm (docs/shape_model.md)
_LARGEST_CROSSING_FRACTION = 0.01  # of triangles that cross others


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
        n_self_intersections: triangles that cross another one.
        notes: what was repaired in the input.
    """

    shape: CohortShape
    vertices_mm: np.ndarray
    world_from_vertebra: np.ndarray
    template_to_target_mm: np.ndarray
    target_to_template_mm: np.ndarray
    n_self_intersections: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RegisteredCohort:
    """What became of a cohort.

    Args:
        shapes: registered shapes in the order of the cohort.
        skipped: why the others were left out, by name.
    """

    shapes: tuple[RegisteredShape, ...]
    skipped: dict[str, str]


@dataclass
class _Templates:
    """Registered templates by level, and the registrations prepared from them; only the last two are kept: they are
    large."""

    surfaces: dict[int, Surface]
    _prepared: dict[tuple[int, str], NonrigidRegistration] = field(default_factory=dict)

    def nearest(self, level: int) -> int:
        """The level closest to the wanted one that has a template."""
        return min(self.surfaces, key=lambda known: abs(known - level))

    def registration(self, level: int, kind: str) -> NonrigidRegistration:
        """The registration from a level's template to a kind of surface."""
        if (level, kind) not in self._prepared:
            if len(self._prepared) >= 2:
                self._prepared.pop(next(iter(self._prepared)))
            self._prepared[level, kind] = NonrigidRegistration(self.surfaces[level], _stages(kind))
        return self._prepared[level, kind]


def register_cohort(cohort: Cohort, reference: Reference, data_dir: Path, work_dir: Path) -> RegisteredCohort:
    """Registers every shape; a shape that fails at any stage is logged and left out.

    Args:
        cohort: the shapes, with the reference named.
        reference: topology and landmarks.
        data_dir: folder the cohort's paths start from.
        work_dir: cache of finished shapes.
    """
    start = cohort.shape(cohort.reference).level_index
    templates = _Templates({start: reference.surface})
    done: dict[str, RegisteredShape] = {}
    skipped: dict[str, str] = {}
    owners: dict[str, str] = {}
    for shape in _with_progress(_outward(cohort, start)):
        try:
            content = content_key(shape, data_dir)
            if content in owners:
                raise InputError(f"{shape.file}: the same data as {owners[content]}, counted once")
            owners[content] = shape.name
            done[shape.name] = _registered(shape, reference, templates, data_dir, work_dir, content)
        except Exception as error:  # one bad shape must not end a long run, whatever is wrong with it
            reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            _LOG.warning("%s is skipped: %s", shape.name, reason)
            skipped[shape.name] = reason
            continue
        if shape.level_index not in templates.surfaces and _may_be_template(shape, cohort):
            templates.surfaces[shape.level_index] = reference.surface.with_vertices(done[shape.name].vertices_mm)
    return RegisteredCohort(tuple(done[s.name] for s in cohort.shapes if s.name in done), skipped)


def _with_progress(shapes: list[CohortShape]) -> Iterable[CohortShape]:
    """The shapes behind a progress bar that names the one being registered; silent when there is no terminal."""
    with tqdm(shapes, desc="registering", unit="shape", disable=None) as bar:
        for shape in bar:
            bar.set_postfix_str(shape.name)
            yield shape


def _outward(cohort: Cohort, start: int) -> list[CohortShape]:
    """Templates first, from the reference level outward, then the rest level by level to reuse kernels."""
    return sorted(
        cohort.shapes,
        key=lambda s: (
            not s.template,
            abs(s.level_index - start),
            s.level_index,
            s.split != "train",
            s.surface,
            s.name,
        ),
    )


def _may_be_template(shape: CohortShape, cohort: Cohort) -> bool:
    """A shape marked as template; at a level without one, any training shape that counts fully."""
    marked = any(s.template for s in cohort.shapes if s.level == shape.level)
    return shape.template if marked else shape.split == "train" and shape.weight >= 1


def _stages(kind: str) -> tuple:
    return MASK_TARGET_STAGES if kind == "mask" else SMOOTH_TARGET_STAGES


def _registered(
    shape: CohortShape, reference: Reference, templates: _Templates, data_dir: Path, work_dir: Path, content: str
) -> RegisteredShape:
    """A shape's registration, from the cache if nothing has changed."""
    level = templates.nearest(shape.level_index)
    key = _key(shape, templates.surfaces[level], data_dir, content)
    cache = work_dir / f"shape_{shape.name}.npz"
    known = _cached(shape, cache, key)
    if known is not None:
        return known
    target = with_suitable_density(load_target(shape, data_dir), len(reference.surface.vertices_mm))
    registration = templates.registration(level, shape.surface)
    pose = _pose(shape, reference, registration.template, target)
    result = registration.register(pose.apply(registration.template.vertices_mm), target.surface, target.is_cut)
    _refuse_failure(shape, result, len(reference.surface.triangles))
    registered = _summarise(shape, reference, result, target.notes)
    _log(registered)
    _store(registered, cache, key)
    return registered


def _refuse_failure(shape: CohortShape, result: NonrigidResult, n_triangles: int) -> None:
    """Raises InputError for a result that does not lie on its target, or had to be crushed to lie there."""
    if result.mean_mm > _LARGEST_ACCEPTED_MM:
        raise InputError(
            f"{shape.file}: mean distance after registration is {result.mean_mm:.2f} mm, above "
            f"{_LARGEST_ACCEPTED_MM}; is this a whole {shape.level}?"
        )
    if result.n_self_intersections > _LARGEST_CROSSING_FRACTION * n_triangles:
        raise InputError(
            f"{shape.file}: {result.n_self_intersections} of {n_triangles} triangles cross after registration; "
            f"is this a whole {shape.level}?"
        )


def _pose(shape: CohortShape, reference: Reference, template: Surface, target: Target) -> RigidTransform:
    """`target_from_template` by trimmed ICP, started at the landmarks if there are any, else from many rotations."""
    if target.landmarks_mm:
        own = reference.landmarks_mm(template.vertices_mm)
        start = pose_from_landmarks(target.landmarks_mm, own, shape.landmarks)
        return trimmed_icp(template, target.surface, start, is_cut=target.is_cut).target_from_source
    starts = flexion_starts() if shape.orientation == "anatomical" else axis_starts()
    return align_from_starts(template, target.surface, starts, is_cut=target.is_cut).target_from_source


def _summarise(
    shape: CohortShape, reference: Reference, result: NonrigidResult, notes: tuple[str, ...]
) -> RegisteredShape:
    """Brings a result to its vertebra frame."""
    pose = world_from_vertebra(reference.landmarks_mm(result.vertices_mm))
    forth, back = result.template_to_target_mm, result.target_to_template_mm
    return RegisteredShape(
        shape,
        # As precise as the cache, so that a run that finds its templates there does the same as one that does not.
        pose.inverse().apply(result.vertices_mm).astype(np.float32).astype(np.float64),
        pose.to_matrix(),
        np.array([forth.mean(), np.percentile(forth, 95)]),
        np.array([back.mean(), np.percentile(back, 95)]),
        result.n_self_intersections,
        notes,
    )


def _log(registered: RegisteredShape) -> None:
    forth, back = registered.template_to_target_mm[0], registered.target_to_template_mm[0]
    notes = "".join(f"; {note}" for note in registered.notes)
    crossing = registered.n_self_intersections
    _LOG.info(
        "%s: %.3f mm to the target, %.3f mm back, %d triangles cross%s",
        registered.shape.name,
        forth,
        back,
        crossing,
        notes,
    )


def _key(shape: CohortShape, template: Surface, data_dir: Path, content: str) -> str:
    """A digest of everything a registration depends on."""
    settings = (content, shape.unit, shape.surface, shape.orientation, _stages(shape.surface))
    digest = hashlib.sha1(repr(settings).encode())
    digest.update(template.vertices_mm.astype(np.float32).tobytes())
    if shape.landmarks is not None:
        digest.update((data_dir / shape.landmarks).read_bytes())
    return digest.hexdigest()


def _store(registered: RegisteredShape, path: Path, key: str) -> None:
    """Keeps a result for the next build."""
    store_arrays(
        path,
        key,
        vertices=registered.vertices_mm.astype(np.float32),
        pose=registered.world_from_vertebra,
        forth=registered.template_to_target_mm,
        back=registered.target_to_template_mm,
        crossings=registered.n_self_intersections,
        notes=json.dumps(registered.notes),
    )


def _cached(shape: CohortShape, path: Path, key: str) -> RegisteredShape | None:
    """A result of an earlier run, if it was made from the same."""
    stored = stored_arrays(path, key)
    if stored is None:
        return None
    return RegisteredShape(
        shape,
        stored["vertices"].astype(np.float64),
        stored["pose"],
        stored["forth"],
        stored["back"],
        int(stored["crossings"]),
        tuple(json.loads(str(stored["notes"]))),
    )
