"""The registration stage: decompositions, cameras and landmarks in; vertebra meshes in world coordinates out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import LEVELS, PROCESS_LANDMARKS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import BiplanarGeometry, Camera
from lumbar_ext.landmarks.triangulated import Landmarks3D, ViewLandmarks
from lumbar_ext.registration.config import RegistrationConfig
from lumbar_ext.registration.initial_pose import InitialPose, initial_poses
from lumbar_ext.registration.problem import ObservedLandmarks, RegistrationProblem, VertebraStart, ViewTarget
from lumbar_ext.registration.result import RegistrationResult
from lumbar_ext.registration.search.record import Progress
from lumbar_ext.registration.terms.shape_prior import resemblance_prior
from lumbar_ext.shape.model.level_shape import LevelShape, level_shapes


@dataclass(frozen=True)
class RegistrationInput:
    """What is registered: one study as the network saw it.

    Args:
        decompositions: for "ap" and "lat" an image [rows, columns] in [0, 1) (see
            `lumbar_ext.drr.drr_from_path_length`).
        geometry: the cameras of these images.
        landmarks3d: triangulated landmarks; levels that are not present are left out.
        landmarks: for each view, in pixels of these images.
    """

    decompositions: Mapping[str, np.ndarray]
    geometry: BiplanarGeometry
    landmarks3d: Landmarks3D
    landmarks: Mapping[str, ViewLandmarks]

    def __post_init__(self) -> None:
        for name in ("decompositions", "landmarks"):
            if set(getattr(self, name)) != set(VIEWS):
                raise InputError(f"{name} must hold the views {VIEWS}, found {sorted(getattr(self, name))}")
        if not self.landmarks3d.present.any():
            raise InputError(
                "landmarks3d has no vertebra: at least three landmarks of a level must be found in both 'ap' and 'lat'"
            )


def register(
    inputs: RegistrationInput,
    model,
    config: RegistrationConfig | None = None,
    *,
    progress: Progress | None = None,
    max_seconds: float | None = None,
) -> RegistrationResult:
    """Fits the shape model to two decompositions.

    Args:
        inputs: images, cameras and landmarks.
        model: a `VertebraShapeModel`.
        config: the parts, the defaults when omitted.
        progress: called with (level, evaluations, loss).
        max_seconds: limit of the search.

    Raises:
        InputError: if an image does not fit its camera, or no vertebra starts inside both images.
    """
    config = config or RegistrationConfig()
    shapes = level_shapes(model, config.n_modes)
    poses = initial_poses(inputs.landmarks3d, shapes, config.initial_pose)
    if config.free_form is not None:
        shapes = config.free_form.extend(shapes)
    return config.optimiser.run(build_problem(inputs, shapes, poses, config), progress, max_seconds)


def build_problem(
    inputs: RegistrationInput,
    shapes: tuple[LevelShape, ...],
    poses: Mapping[str, InitialPose],
    config: RegistrationConfig,
) -> RegistrationProblem:
    """The problem of the levels in `poses` that start inside both images."""
    views = {}
    for name in VIEWS:
        image = np.asarray(inputs.decompositions[name])
        processes = inputs.landmarks[name].positions_px[:, PROCESS_LANDMARKS]
        views[name] = ViewTarget(inputs.geometry[name], image, config.landmark_weights.image(processes, image.shape))
    starts = [_start(level, shapes, pose, inputs.landmarks) for level, pose in poses.items()]
    visible = tuple(start for start in starts if all(_shows(view.camera, start) for view in views.values()))
    if not visible:
        raise InputError(
            f"landmarks3d puts {', '.join(poses)} outside the images: "
            "check that calibration and radiographs belong together"
        )
    return RegistrationProblem(
        views=views,
        vertebrae=visible,
        bounds=config.bounds,
        similarity=config.similarity,
        prior_weight=config.prior_weight,
        landmark_term=config.landmark_term,
        shape_prior=resemblance_prior(tuple(start.shape for start in visible), config.level_correlation),
        view_fields=config.view_fields,
        non_intersection=config.non_intersection,
        reference_penalty=config.reference_penalty,
    )


def _shows(camera: Camera, start: VertebraStart) -> bool:
    """The start lies in front of the source and its centre inside the image."""
    points = start.world_from_vertebra.apply(start.shape.surface.mean_mm)
    depth = (points - camera.source_mm) @ camera.normal / camera.source_distance_mm
    centre = camera.project(start.world_from_vertebra.translation_mm)
    return bool(depth.min() > 0.05 and ((centre >= 0) & (centre <= np.array(camera.size_px) - 1)).all())


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
