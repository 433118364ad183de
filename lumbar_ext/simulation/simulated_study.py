"""Simulates one biplanar study with known ground truth.

subject -> skeleton -> posture -> scene -> two radiographs, each step one function; a pathology changes the first three.
Two renderers lead from the scene to path lengths: that of meshes, which training sees, and a voxel renderer for tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.drr.bone_images import bone_images
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import BiplanarGeometry
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.simulation.body.assembly import assemble_scene
from lumbar_ext.simulation.body.composition import Composition
from lumbar_ext.simulation.bones.anchor_points import anchors_mm
from lumbar_ext.simulation.bones.person import afflicted, posed_skeleton
from lumbar_ext.simulation.bones.simulated_population import Population, Subject
from lumbar_ext.simulation.bones.skeleton import assemble_skeleton
from lumbar_ext.simulation.ct.ct_projection import ct_paths
from lumbar_ext.simulation.ct.voxel_body import voxel_body
from lumbar_ext.simulation.imaging.acquisition import sample_geometry, sample_stated
from lumbar_ext.simulation.imaging.exposure import Exposure, expose, sample_exposures
from lumbar_ext.simulation.imaging.material_paths import BodyScene, material_paths
from lumbar_ext.simulation.imaging.picture_processing import Picture, finish
from lumbar_ext.simulation.imaging.slot_acquisition import sample_slot_scans, scanned, unstitched
from lumbar_ext.simulation.posture.posed_spine import Posture, posed_landmarks_mm, posed_vertebrae
from lumbar_ext.simulation.study_spec import StudySpec

RENDERERS = ("meshes", "voxels")
"""Path lengths of triangle meshes (`material_paths`), or rays cast through a CT-like volume (`voxel_body`)."""
_OVERSAMPLED_BELOW_PX = 700  # side of a picture; finer ones need no oversampling of the paths


@dataclass(frozen=True)
class Truth:
    """What is known about a simulated study.

    Args:
        vertebrae: L1 .. L5 in the world frame; None for one that a CT does not show.
        landmarks_mm: [5, 7, 3] in the world frame; NaN where a CT does not show them.
        decomposition: by view, float32 [rows, columns] DRR of the vertebrae alone.
        silhouettes: by view, uint8 [rows, columns], bit i where vertebra i is.
        posture: the poses; None for a CT.
        geometry: the cameras that took the pictures.
        exposures: by view, how the pictures were taken.
        composition: what the bones are made of; None for a CT.
        subject: sex, stature and base of the subject, or where a CT came from.
        spec: what the study was made from, with the pathology that was drawn; None for a CT.
        levels: names of the vertebrae.
        other_landmarks_mm: [7, 3] of vertebrae beyond L5, by name, world frame.
        anchors_mm: what levels are counted from, see `anchors.anchors_mm`; empty for a CT.
    """

    vertebrae: tuple[Surface | None, ...]
    landmarks_mm: np.ndarray
    decomposition: dict[str, np.ndarray]
    silhouettes: dict[str, np.ndarray]
    posture: Posture | None
    geometry: BiplanarGeometry
    exposures: dict[str, Exposure]
    composition: Composition | None
    subject: dict[str, Any]
    spec: StudySpec | None = None
    levels: tuple[str, ...] = LEVELS
    other_landmarks_mm: dict[str, np.ndarray] = field(default_factory=dict)
    anchors_mm: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)


@dataclass(frozen=True)
class SimulatedStudy:
    """A study as a clinic would deliver it, and its truth.

    Args:
        pictures: by view.
        geometry: the stated calibration, which may carry noise.
        truth: ground truth.
    """

    pictures: dict[str, Picture]
    geometry: BiplanarGeometry
    truth: Truth


@dataclass(frozen=True)
class PersonInBeam:
    """A simulated person before the cameras, no picture taken yet; world frame.

    Args:
        spec: what the study is made from, with the pathology that was drawn.
        subject: who it is.
        posture: how they stand.
        scene: all that the beam meets.
        landmarks_mm: [N, 7, 3] of the lumbar vertebrae.
        geometry: the cameras.
        exposures: by view.
    """

    spec: StudySpec
    subject: Subject
    posture: Posture
    scene: BodyScene
    landmarks_mm: np.ndarray
    geometry: BiplanarGeometry
    exposures: dict[str, Exposure]


def person_in_beam(population: Population, spec: StudySpec, rng: np.random.Generator) -> PersonInBeam:
    """The person of a study and what stands around them.

    Args:
        population: draws the subject.
        spec: the study.
        rng: of the study, `spec.generator()`; it then is where the pictures begin.

    Raises:
        ValueError: for an unknown direction or level.
        InputError: for a split without real subjects.
    """
    parameters = spec.parameters
    apart = spec.person_seed is not None
    person_rng, habitus_rng = (spec.person_generator(part) if apart else rng for part in ("body", "habitus"))
    subject = (population.sample_real if spec.variation == "none" else population.sample)(person_rng, spec.split)
    spec = replace(spec, pathology=spec.drawn_pathology())
    skeleton = assemble_skeleton(person_rng, subject, population.triangles, population.background)
    skeleton = afflicted(spec, skeleton, population)
    posture = posed_skeleton(rng, skeleton, spec, population, person_rng=person_rng)
    landmarks = posed_landmarks_mm(posture, posture.skeleton.landmarks_mm)
    geometry = sample_geometry(rng, landmarks, parameters.geometry, size_px=spec.size_px)
    scene = assemble_scene(habitus_rng, posture, parameters)
    exposures = sample_exposures(rng, parameters.beam)
    if spec.geometry == "slot":
        geometry = sample_slot_scans(spec.scanner_generator(), landmarks, parameters, size_px=spec.size_px)
        exposures = {view: scanned(exposure, parameters.slot) for view, exposure in exposures.items()}
    return PersonInBeam(spec, subject, posture, scene, landmarks, geometry, exposures)


def simulate_study(population: Population, spec: StudySpec) -> SimulatedStudy:
    """Simulates a study; equal specifications give equal studies.

    Args:
        population: draws the subject.
        spec: the study.

    Raises:
        ValueError: for an unknown direction or level.
        InputError: for a split without real subjects, or ranges that lead to no picture.
    """
    rng = spec.generator()
    person = person_in_beam(population, spec, rng)
    spec, posture, landmarks, geometry = person.spec, person.posture, person.landmarks_mm, person.geometry
    vertebrae = posed_vertebrae(posture)
    pictures = _pictures(rng, person)
    images = {view: bone_images(vertebrae, geometry[view]) for view in VIEWS}
    for view in VIEWS:
        refuse_no_picture(images[view].decomposition, f"{spec.name}, {view}: the decomposition")
    subject = person.subject
    truth = Truth(
        vertebrae=vertebrae,
        landmarks_mm=_of_lumbar_levels(landmarks),
        decomposition={view: images[view].decomposition for view in VIEWS},
        silhouettes={view: images[view].silhouettes for view in VIEWS},
        posture=posture,
        geometry=geometry,
        exposures=person.exposures,
        composition=person.scene.composition,
        subject={"sex": subject.sex, "stature_mm": subject.stature_mm, "base": subject.base},
        spec=spec,
        levels=posture.skeleton.levels,
        other_landmarks_mm=dict(zip(posture.skeleton.levels[len(LEVELS) :], landmarks[len(LEVELS) :], strict=True)),
        anchors_mm=anchors_mm(posture),
    )
    return SimulatedStudy(pictures, sample_stated(rng, geometry, spec.parameters.geometry), truth)


def _pictures(rng: np.random.Generator, person: PersonInBeam) -> dict[str, Picture]:
    """Both radiographs by the renderer that is asked for."""
    spec, scene, geometry = person.spec, person.scene, person.geometry
    appearance = spec.parameters.appearance if spec.geometry == "cone" else unstitched(spec.parameters.appearance)
    body = None if spec.voxel_mm is None else voxel_body(rng, scene, geometry, spec.voxel_mm)
    pictures = {}
    for view in VIEWS:
        camera = geometry[view]
        if body is None:
            oversampling = 2 if spec.size_px < _OVERSAMPLED_BELOW_PX else 1
            paths = material_paths(rng, scene, camera, oversampling=oversampling)
        else:
            paths = ct_paths(body, camera)
        signal = expose(rng, paths, camera, person.exposures[view])
        refuse_no_picture(signal, f"{spec.name}, {view}: the signal")
        pictures[view] = finish(rng, signal, camera, person.landmarks_mm, appearance)
        refuse_no_picture(pictures[view].pixels, f"{spec.name}, {view}: the picture")
    return pictures


def refuse_no_picture(pixels: np.ndarray, what: str) -> None:
    """Raises InputError if pixels [rows, columns] hold values that are no numbers, or one value only."""
    if not np.isfinite(pixels).all():
        raise InputError(f"{what} has {np.count_nonzero(~np.isfinite(pixels))} values that are not finite")
    if pixels.min() == pixels.max():
        raise InputError(f"{what} is {pixels.flat[0]} everywhere, expected to show something")


def _of_lumbar_levels(landmarks_mm: np.ndarray) -> np.ndarray:
    """[5, 7, 3] of L1 .. L5 from [N, 7, 3]: NaN for a missing L5, without an L6."""
    levels = np.full((len(LEVELS), *landmarks_mm.shape[1:]), np.nan)
    count = min(len(landmarks_mm), len(LEVELS))
    levels[:count] = landmarks_mm[:count]
    return levels
