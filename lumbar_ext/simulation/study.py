"""Simulates one biplanar study with known ground truth.

subject -> skeleton -> posture -> scene -> two radiographs, each step one function.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.drr import MeshProjector, drr_from_path_length
from lumbar_ext.geometry import BiplanarGeometry, Camera
from lumbar_ext.simulation.acquisition import sample_geometry, with_calibration_noise
from lumbar_ext.simulation.appearance import Picture, finish
from lumbar_ext.simulation.parameters import SimulationParameters
from lumbar_ext.simulation.population import Population
from lumbar_ext.simulation.posture import Posture, posed_landmarks_mm, posed_vertebrae, sample_posture
from lumbar_ext.simulation.radiograph import Exposure, add_path_length, expose, line_integral, sample_exposures
from lumbar_ext.simulation.scene import assemble_scene
from lumbar_ext.simulation.solid import Solid
from lumbar_ext.simulation.subject import assemble_skeleton

SPLITS = ("train", "validation", "test")
_OVERSAMPLED_BELOW_PX = 700


@dataclass(frozen=True)
class Truth:
    """What is known about a simulated study.

    Args:
        vertebrae: L1 .. L5 in the world frame.
        landmarks_mm: [5, 7, 3] in the world frame.
        decomposition: by view, float32 [rows, columns] DRR of L1 .. L5 alone.
        posture: the poses.
        geometry: the cameras that took the pictures.
        exposures: by view, how the pictures were taken.
        subject: sex, stature and base of the subject.
        seed, split: where the study came from.
    """

    vertebrae: tuple[Solid, ...]
    landmarks_mm: np.ndarray
    decomposition: dict[str, np.ndarray]
    posture: Posture
    geometry: BiplanarGeometry
    exposures: dict[str, Exposure]
    subject: dict[str, str | float]
    seed: int
    split: str


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
) -> SimulatedStudy:
    """Simulates the study of a seed; equal arguments give equal studies.

    Args:
        population: draws the subject.
        seed: of everything random; the splits of one seed are unrelated.
        split: "train", "validation" or "test".
        size_px: rows and columns of the panel.
        parameters: ranges, the defaults if omitted.
        direction, level: see `posture.sample_posture`.

    Raises:
        ValueError: for an unknown split, direction or level.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, found {split!r}")
    parameters = parameters or SimulationParameters()
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    subject = population.sample(rng, split)
    skeleton = assemble_skeleton(rng, subject, population.triangles, population.background)
    posture = sample_posture(rng, skeleton, parameters.posture, direction=direction, level=level)
    vertebrae = posed_vertebrae(posture)
    landmarks = posed_landmarks_mm(posture, np.asarray(subject.landmarks_mm, dtype=np.float64))
    geometry = sample_geometry(rng, landmarks, parameters.geometry, size_px=size_px)
    scene = assemble_scene(rng, posture, parameters)
    exposures = sample_exposures(rng, parameters.beam)
    pictures = {}
    for view in VIEWS:
        oversampling = 2 if size_px < _OVERSAMPLED_BELOW_PX else 1
        line = line_integral(rng, scene, geometry[view], exposures[view], oversampling=oversampling)
        signal = expose(rng, line, geometry[view], exposures[view])
        pictures[view] = finish(rng, signal, geometry[view], landmarks, parameters.appearance)
    truth = Truth(
        vertebrae=vertebrae,
        landmarks_mm=landmarks,
        decomposition={view: decomposition(vertebrae, geometry[view]) for view in VIEWS},
        posture=posture,
        geometry=geometry,
        exposures=exposures,
        subject={"sex": subject.sex, "stature_mm": float(subject.stature_mm), "base": subject.base},
        seed=seed,
        split=split,
    )
    stated = with_calibration_noise(rng, geometry, parameters.geometry.calibration_noise_mm)
    return SimulatedStudy(pictures, stated, truth)


def decomposition(vertebrae: tuple[Solid, ...], camera: Camera) -> np.ndarray:
    """The DRR of homogeneous vertebrae alone, float32 [rows, columns] in [0, 1), 0 outside their silhouettes."""

    columns, rows = camera.size_px
    total = np.zeros((rows, columns), dtype=np.float32)
    projector = MeshProjector(camera)
    for vertebra in vertebrae:
        add_path_length(total, projector, vertebra)
    return drr_from_path_length(total)
