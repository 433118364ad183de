"""Simulates one biplanar study with known ground truth.

subject -> skeleton -> posture -> scene -> two radiographs, each step one function; a pathology changes the first three.
Two renderers lead from the scene to path lengths: that of meshes, which training sees, and a voxel renderer for tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.drr.bone_images import bone_images
from lumbar_ext.geometry import BiplanarGeometry
from lumbar_ext.mesh.solid import Surface
from lumbar_ext.simulation.body.assembly import assemble_scene
from lumbar_ext.simulation.body.composition import Composition
from lumbar_ext.simulation.bones.pathology import Pathology, sample_pathology
from lumbar_ext.simulation.bones.person import pathological, posed
from lumbar_ext.simulation.bones.population import Population
from lumbar_ext.simulation.bones.skeleton import assemble_skeleton
from lumbar_ext.simulation.ct.ct_projection import ct_paths
from lumbar_ext.simulation.ct.voxel_body import voxel_body
from lumbar_ext.simulation.imaging.acquisition import sample_geometry, with_calibration_noise
from lumbar_ext.simulation.imaging.exposure import Exposure, expose, sample_exposures
from lumbar_ext.simulation.imaging.material_paths import material_paths
from lumbar_ext.simulation.imaging.picture_processing import Picture, finish
from lumbar_ext.simulation.posture.posed_spine import Posture, posed_landmarks_mm, posed_vertebrae
from lumbar_ext.simulation.ranges import SimulationParameters

SPLITS = ("train", "validation", "test")
RENDERERS = ("meshes", "voxels")
"""Path lengths of triangle meshes (`material_paths`), or rays cast through a CT-like volume (`voxel_body`)."""
VARIATIONS = ("full", "none")
"""People drawn from the population, or the real subjects of a held-out split as they are."""

_OVERSAMPLED_BELOW_PX = 700


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
        seed, split: where the study came from.
        levels: names of the vertebrae.
        other_landmarks_mm: [7, 3] of vertebrae beyond L5, by name, world frame.
        pathology: what the person has, None for most.
        person_seed: of the person, where it is not the study's.
        voxel_mm: edge of the voxels that the rays were cast through; None for pictures of meshes, and for a CT.
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
    seed: int
    split: str
    levels: tuple[str, ...] = LEVELS
    other_landmarks_mm: dict[str, np.ndarray] = field(default_factory=dict)
    pathology: Pathology | None = None
    person_seed: int | None = None
    voxel_mm: float | None = None


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


def simulate_study(
    population: Population,
    seed: int,
    split: str = "train",
    *,
    size_px: int = 512,
    parameters: SimulationParameters | None = None,
    direction: str | None = None,
    level: int | None = None,
    pathology: str | Pathology = "none",
    person_seed: int | None = None,
    variation: str = "full",
    voxel_mm: float | None = None,
) -> SimulatedStudy:
    """Simulates the study of a seed; equal arguments give equal studies.

    Args:
        population: draws the subject.
        seed: of everything random; the splits of one seed are unrelated.
        split: "train", "validation" or "test".
        size_px: rows and columns of the panel.
        parameters: ranges, the defaults if omitted.
        direction, level: see `posture.sample_posture`.
        pathology: what the person has, or one of `pathology.CHOICES` to draw it from.
        person_seed: of all that a person keeps between studies: anatomy, pathology, neutral posture and habitus; drawn
            with the rest if omitted.
        variation: one of `VARIATIONS`.
        voxel_mm: edge of the voxels of the voxel renderer; meshes are rendered if omitted. Person, posture, geometry
            and truth are the same either way.

    Raises:
        ValueError: for an unknown split, direction, level or pathology.
        InputError: for a split without real subjects.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, found {split!r}")
    parameters = parameters or SimulationParameters()
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    seeds = _PersonSeeds(seed if person_seed is None else person_seed, SPLITS.index(split))
    person_rng, habitus_rng = (
        (rng, rng) if person_seed is None else (seeds.generator("body"), seeds.generator("habitus"))
    )
    subject = (population.sample_real if variation == "none" else population.sample)(person_rng, split)
    if not isinstance(pathology, Pathology):
        pathology = sample_pathology(seeds.generator("pathology"), pathology, parameters.pathology)
    skeleton = assemble_skeleton(person_rng, subject, population.triangles, population.background)
    skeleton = pathological(seeds.generator("spurs"), skeleton, pathology, population, parameters.pathology)
    posture = posed(
        rng,
        skeleton,
        pathology,
        population,
        parameters.posture,
        direction=direction,
        level=level,
        person_rng=person_rng,
    )
    vertebrae = posed_vertebrae(posture)
    landmarks = posed_landmarks_mm(posture, posture.skeleton.landmarks_mm)
    geometry = sample_geometry(rng, landmarks, parameters.geometry, size_px=size_px)
    scene = assemble_scene(habitus_rng, posture, parameters)
    exposures = sample_exposures(rng, parameters.beam)
    body = None if voxel_mm is None else voxel_body(rng, scene, geometry, voxel_mm)
    pictures = {}
    for view in VIEWS:
        camera = geometry[view]
        if body is None:
            oversampling = 2 if size_px < _OVERSAMPLED_BELOW_PX else 1
            paths = material_paths(rng, scene, camera, oversampling=oversampling)
        else:
            paths = ct_paths(body, camera)
        signal = expose(rng, paths, camera, exposures[view])
        pictures[view] = finish(rng, signal, camera, landmarks, parameters.appearance)
    images = {view: bone_images(vertebrae, geometry[view]) for view in VIEWS}
    truth = Truth(
        vertebrae=vertebrae,
        landmarks_mm=_of_lumbar_levels(landmarks),
        decomposition={view: images[view].decomposition for view in VIEWS},
        silhouettes={view: images[view].silhouettes for view in VIEWS},
        posture=posture,
        geometry=geometry,
        exposures=exposures,
        composition=scene.composition,
        subject={"sex": subject.sex, "stature_mm": subject.stature_mm, "base": subject.base, "variation": variation},
        seed=seed,
        split=split,
        levels=posture.skeleton.levels,
        other_landmarks_mm=dict(zip(posture.skeleton.levels[len(LEVELS) :], landmarks[len(LEVELS) :], strict=True)),
        pathology=pathology,
        person_seed=person_seed,
        voxel_mm=voxel_mm,
    )
    stated = with_calibration_noise(rng, geometry, parameters.geometry.calibration_noise_mm)
    return SimulatedStudy(pictures, stated, truth)


@dataclass(frozen=True)
class _PersonSeeds:
    """Independent streams of randomness for what belongs to a person."""

    seed: int
    split_index: int

    def generator(self, part: str) -> np.random.Generator:
        """The stream of "body", "habitus", "pathology" or "spurs"."""
        key = ("body", "habitus", "pathology", "spurs").index(part) + 1
        return np.random.default_rng([self.seed, self.split_index, key])


def _of_lumbar_levels(landmarks_mm: np.ndarray) -> np.ndarray:
    """[5, 7, 3] of L1 .. L5 from [N, 7, 3]: NaN for a missing L5, without an L6."""
    levels = np.full((len(LEVELS), *landmarks_mm.shape[1:]), np.nan)
    count = min(len(landmarks_mm), len(LEVELS))
    levels[:count] = landmarks_mm[:count]
    return levels
