"""The registration stage: decompositions, cameras and landmarks in; vertebra meshes in world coordinates out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lumbar_ext.anatomy import LEVELS, PROCESS_LANDMARKS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import BiplanarGeometry
from lumbar_ext.registration.bobyqa import BobyqaBlocks
from lumbar_ext.registration.initial_pose import InitialPose, InitialPoseConfig, initial_poses
from lumbar_ext.registration.landmark_weights import LandmarkWeights
from lumbar_ext.registration.landmarks3d import Landmarks3D, ViewLandmarks, triangulate_landmarks
from lumbar_ext.registration.level_shape import LevelShape, level_shapes
from lumbar_ext.registration.optimiser import Optimiser, Progress
from lumbar_ext.registration.problem import (
    Bounds,
    LandmarkTerm,
    ObservedLandmarks,
    RegistrationProblem,
    VertebraStart,
    ViewTarget,
)
from lumbar_ext.registration.result import RegistrationResult
from lumbar_ext.registration.similarity import AbsoluteError, Similarity


@dataclass(frozen=True)
class RegistrationConfig:
    """The parts a registration is composed of.

    Args:
        optimiser: how the loss is minimised.
        similarity: how a pixel's error counts.
        landmark_weights: pixel weights around process tips.
        prior_weight: of the shape prior, against the mean pixel penalty.
        landmark_term: pull of the network's landmarks.
        bounds: of poses and coefficients.
        initial_pose: how the start is fitted.
        n_modes: shape modes to use; None for all of the model.
    """

    optimiser: Optimiser = field(default_factory=BobyqaBlocks)
    similarity: Similarity = field(default_factory=AbsoluteError)
    landmark_weights: LandmarkWeights = field(default_factory=LandmarkWeights)
    prior_weight: float = 1e-3
    landmark_term: LandmarkTerm = field(default_factory=LandmarkTerm)
    bounds: Bounds = field(default_factory=Bounds)
    initial_pose: InitialPoseConfig = field(default_factory=InitialPoseConfig)
    n_modes: int | None = 14


@dataclass(frozen=True)
class Registration:
    """A registered spine.

    Args:
        result: the fits by level, losses, counts and why the search ended.
        triangles: [M, 3] int32 shared by all `result.vertebrae[level].vertices_mm`.
        landmarks: the triangulated landmarks.
        initial_poses: the starts by level.
        missing_levels: levels that were not registered because a view does not show enough of their landmarks.
    """

    result: RegistrationResult
    triangles: np.ndarray
    landmarks: Landmarks3D
    initial_poses: Mapping[str, InitialPose]
    missing_levels: tuple[str, ...]


def register(
    decompositions: Mapping[str, np.ndarray],
    geometry: BiplanarGeometry,
    landmarks: Mapping[str, ViewLandmarks],
    model,
    config: RegistrationConfig | None = None,
    *,
    progress: Progress | None = None,
    max_seconds: float | None = None,
) -> Registration:
    """Fits the shape model to two decompositions.

    Args:
        decompositions: for "ap" and "lat" an image [rows, columns] in [0, 1) (see `lumbar_ext.drr.drr_from_path_length`).
        geometry: the cameras of these images.
        landmarks: for each view, in pixels of these images.
        model: a `VertebraShapeModel`.
        config: the parts, the defaults when omitted.
        progress: called with (level, evaluations, loss).
        max_seconds: limit of the search.

    Raises:
        InputError: if a view is missing, an image does not fit its camera, or no level is seen in both views.
    """
    config = config or RegistrationConfig()
    shapes = level_shapes(model, config.n_modes)
    points = triangulate_landmarks(geometry, landmarks)
    if not points.present.any():
        raise InputError(
            "landmarks show no vertebra in both views: at least three landmarks of a level must be found in 'ap' and 'lat'"
        )
    poses = initial_poses(points, shapes, config.initial_pose)
    problem = build_problem(decompositions, geometry, landmarks, shapes, poses, config)
    result = config.optimiser.run(problem, progress, max_seconds)
    return Registration(result, shapes[0].triangles, points, poses, points.missing_levels)


def build_problem(
    decompositions: Mapping[str, np.ndarray],
    geometry: BiplanarGeometry,
    landmarks: Mapping[str, ViewLandmarks],
    shapes: tuple[LevelShape, ...],
    poses: Mapping[str, InitialPose],
    config: RegistrationConfig,
) -> RegistrationProblem:
    """The problem of the levels in `poses`; see `register` for the arguments."""
    if set(decompositions) != set(VIEWS):
        raise InputError(f"decompositions must hold the views {VIEWS}, found {sorted(decompositions)}")
    views = {}
    for name in VIEWS:
        image = np.asarray(decompositions[name])
        processes = landmarks[name].positions_px[:, PROCESS_LANDMARKS]
        views[name] = ViewTarget(geometry[name], image, config.landmark_weights.image(processes, image.shape))
    return RegistrationProblem(
        views,
        tuple(_start(level, shapes, pose, landmarks) for level, pose in poses.items()),
        config.bounds,
        config.similarity,
        config.prior_weight,
        config.landmark_term,
    )


def _start(
    level: str, shapes: tuple[LevelShape, ...], pose: InitialPose, landmarks: Mapping[str, ViewLandmarks]
) -> VertebraStart:
    i = LEVELS.index(level)
    observed = {
        name: ObservedLandmarks(view.positions_px[i], view.confidence[i])
        for name, view in landmarks.items()
        if view.found[i].any()
    }
    return VertebraStart(level, shapes[i], pose.world_from_vertebra, pose.coefficients, observed)
