"""The registration stage: decompositions, cameras and landmarks in; vertebra meshes in world coordinates out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from lumbar_ext.anatomy import LEVELS, PROCESS_LANDMARKS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import BiplanarGeometry, Camera, RigidTransform
from lumbar_ext.landmarks.triangulated import Landmarks3D, ViewLandmarks
from lumbar_ext.registration.config import RegistrationConfig
from lumbar_ext.registration.initial_pose import InitialPose, initial_poses, relative_size
from lumbar_ext.registration.problem import RegistrationProblem
from lumbar_ext.registration.result import RegistrationResult
from lumbar_ext.registration.search.record import ReportProgress
from lumbar_ext.registration.targets import ObservedLandmarks, VertebraStart, ViewTarget
from lumbar_ext.registration.terms.landmark_weights import LandmarkWeights
from lumbar_ext.shape.model.level_shape import LevelShape, level_shapes

_LOG = logging.getLogger(__name__)
_SIZES = (0.6, 1.4)
"""Of vertebrae against the mean ones, which nobody's exceed."""
_USUAL_SIZES = (0.76, 1.24)
"""Four standard deviations of people's sizes (`self_calibration.SpinePrior`)."""


@dataclass(frozen=True)
class GroupDecomposition:
    """The decomposition of some of the vertebrae: what the others would look like does not matter to it.

    Args:
        levels: their names, such as ("L1", "L3", "L5"); those that are not registered are left out.
        image: [rows, columns] in [0, 1), the DRR of these vertebrae alone.
    """

    levels: tuple[str, ...]
    image: np.ndarray

    def __post_init__(self) -> None:
        if not self.levels or not set(self.levels) <= set(LEVELS):
            raise InputError(f"levels of a group must be some of {LEVELS}, found {self.levels}")


@dataclass(frozen=True)
class RegistrationInput:
    """What is registered: one study as the network saw it.

    Args:
        decompositions: for "ap" and "lat" an image [rows, columns] in [0, 1) of all vertebrae (see
            `lumbar_ext.drr.drr_from_path_length`), or a tuple of groups that share no level.
        geometry: the cameras of these images.
        landmarks3d: triangulated landmarks; levels that are not present are left out.
        landmarks: for each view, in pixels of these images.
        pixel_weights: by view, [rows, columns] factors of the pixels' weights, not negative; ones where a view has none.
    """

    decompositions: Mapping[str, np.ndarray | tuple[GroupDecomposition, ...]]
    geometry: BiplanarGeometry
    landmarks3d: Landmarks3D
    landmarks: Mapping[str, ViewLandmarks]
    pixel_weights: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("decompositions", "landmarks"):
            if set(getattr(self, name)) != set(VIEWS):
                raise InputError(f"{name} must hold the views {VIEWS}, found {sorted(getattr(self, name))}")
        for view, groups in self.decompositions.items():
            named = [level for group in groups for level in group.levels] if isinstance(groups, tuple) else []
            if len(named) != len(set(named)):
                raise InputError(f"decompositions: the groups of the {view} view share a level: {named}")
        for view, weights in self.pixel_weights.items():
            if view not in VIEWS or not np.min(weights) >= 0:
                raise InputError(f"pixel_weights of {view}: expected a view of {VIEWS} and weights of 0 or more")
        if not self.landmarks3d.present.any():
            raise InputError(
                "landmarks3d has no vertebra: at least three landmarks of a level must be found in both 'ap' and 'lat'"
            )


def register(
    inputs: RegistrationInput,
    model,
    config: RegistrationConfig | None = None,
    *,
    start: RegistrationResult | None = None,
    progress: ReportProgress | None = None,
    max_seconds: float | None = None,
) -> RegistrationResult:
    """Fits the shape model to two decompositions.

    Args:
        inputs: images, cameras and landmarks.
        model: a `VertebraShapeModel`.
        config: the parts, the defaults when omitted.
        start: an earlier registration of the study with the same shapes, to go on from; levels that it lacks start at
            their landmarks. Where it holds all levels, an optimiser with stages takes the last one only.
        progress: called with (level, evaluations, loss).
        max_seconds: limit of the search.

    Raises:
        InputError: if an image does not fit its camera, no vertebra starts inside both images, or the cameras make the
            vertebrae larger or smaller than anybody's.
    """
    config = config or RegistrationConfig()
    doubts = _doubts_about_size(
        relative_size(inputs.landmarks3d, level_shapes(model, config.n_modes), config.initial_pose)
    )
    result = config.optimiser.run(problem_of(inputs, model, config, start), progress, max_seconds)
    return replace(result, warnings=(*result.warnings, *doubts)) if doubts else result


def _doubts_about_size(size: float) -> tuple[str, ...]:
    """Whether vertebrae of a size relative to the mean ones (`relative_size`) are unusual.

    Raises:
        InputError: for a size that nobody has.
    """
    found = f"the cameras make the vertebrae {size:.2f} times as large as people's are on average"
    why = "are pixel spacing and distances those of these films?"
    if not _SIZES[0] <= size <= _SIZES[1]:
        raise InputError(f"{found}, expected {_SIZES[0]:g} to {_SIZES[1]:g}: {why}")
    if _USUAL_SIZES[0] <= size <= _USUAL_SIZES[1]:
        return ()
    doubt = f"{found}, usual is {_USUAL_SIZES[0]:g} to {_USUAL_SIZES[1]:g}: {why}"
    _LOG.warning(doubt)
    return (doubt,)


def problem_of(
    inputs: RegistrationInput, model, config: RegistrationConfig, start: RegistrationResult | None = None
) -> RegistrationProblem:
    """What `register` minimises; arguments and errors as its own."""
    inputs = _settled(inputs)
    shapes = level_shapes(model, config.n_modes)
    poses = initial_poses(inputs.landmarks3d, shapes, config.initial_pose)
    if config.free_form is not None:
        shapes = config.free_form.extend(shapes)
    problem = build_problem(inputs, shapes, poses, config)
    return problem if start is None else _going_on(problem, start)


def _settled(inputs: RegistrationInput) -> RegistrationInput:
    """The input with cameras and landmarks rounded far below what they are known to.

    A calibration written as a projection matrix is the same camera to 1e-9, and the search is rough enough to end 0.3 mm
    elsewhere for that. Rounded to 1e-6 mm (axes 1e-9, landmarks 1e-4 px), inputs that mean the same are the same.
    """
    cameras = {view: _rounded(inputs.geometry[view]) for view in VIEWS}
    seen = {
        view: replace(own, positions_px=np.round(own.positions_px, 4), confidence=np.round(own.confidence, 6))
        for view, own in inputs.landmarks.items()
    }
    space = inputs.landmarks3d
    space = replace(
        space,
        positions_mm=np.round(space.positions_mm, 5),
        gap_mm=np.round(space.gap_mm, 5),
        confidence=np.round(space.confidence, 6),
    )
    return replace(inputs, geometry=BiplanarGeometry(**cameras), landmarks=seen, landmarks3d=space)


def _rounded(camera: Camera) -> Camera:
    return camera.replace(
        source_mm=np.round(camera.source_mm, 6),
        detector_origin_mm=np.round(camera.detector_origin_mm, 6),
        u_axis=np.round(camera.u_axis, 9),
        v_axis=np.round(camera.v_axis, 9),
        pixel_spacing_mm=tuple(np.round(camera.pixel_spacing_mm, 9).tolist()),
    )


def build_problem(
    inputs: RegistrationInput,
    shapes: tuple[LevelShape, ...],
    poses: Mapping[str, InitialPose],
    config: RegistrationConfig,
) -> RegistrationProblem:
    """The problem of the levels in `poses` that start inside both images."""
    starts = [_start(level, shapes, pose, inputs.landmarks) for level, pose in poses.items()]
    cameras = [inputs.geometry[view] for view in VIEWS]
    visible = tuple(start for start in starts if all(_shows(camera, start) for camera in cameras))
    if not visible:
        raise InputError(
            f"landmarks3d puts {', '.join(poses)} outside the images: "
            "check that calibration and radiographs belong together"
        )
    targets = {}
    for view in VIEWS:
        targets |= _targets(inputs, view, tuple(start.level for start in visible), config.landmark_weights)
    return RegistrationProblem(
        targets=targets,
        vertebrae=visible,
        bounds=config.bounds,
        terms=config.terms,
        landmark_cameras={view: inputs.geometry[view] for view in VIEWS},
        reference_penalty=config.reference_penalty,
    )


def _going_on(problem: RegistrationProblem, earlier: RegistrationResult) -> RegistrationProblem:
    """The problem with the ends of an earlier registration as starts; bounds stay about where that one started.

    Raises:
        InputError: if its shapes have another number of coefficients.
    """
    starts = []
    for start in problem.vertebrae:
        fit = earlier.vertebrae.get(start.level)
        if fit is not None:
            coefficients = np.concatenate([fit.coefficients, fit.free_form])
            if len(coefficients) != start.shape.n_modes:
                raise InputError(
                    f"start: {start.level} has {len(coefficients)} shape coefficients, expected {start.shape.n_modes}"
                )
            pose = fit.world_from_vertebra @ RigidTransform.from_pose(fit.pose).inverse()
            start = replace(
                start, world_from_vertebra=pose, pose=fit.pose, coefficients=coefficients, motions=fit.motions
            )
        starts.append(start)
    near = all(start.level in earlier.vertebrae for start in problem.vertebrae)
    return replace(problem, vertebrae=tuple(starts), starts_near=near)


def _targets(
    inputs: RegistrationInput, view: str, levels: tuple[str, ...], landmark_weights: LandmarkWeights
) -> dict[str, ViewTarget]:
    """The targets of a view by name: one under its own name, or one for each group of some of these levels."""
    camera, found = inputs.geometry[view], inputs.decompositions[view]
    processes = inputs.landmarks[view].positions_px[:, PROCESS_LANDMARKS]
    weights = landmark_weights.image(processes, camera.size_px[::-1])
    if view in inputs.pixel_weights:
        weights = weights * np.asarray(inputs.pixel_weights[view], dtype=np.float32)
    if not isinstance(found, tuple):
        return {view: ViewTarget(camera, np.asarray(found), weights)}
    groups = {tuple(level for level in group.levels if level in levels): group.image for group in found}
    return {
        f"{view} {'+'.join(own)}": ViewTarget(camera, np.asarray(image), weights, own, view)
        for own, image in groups.items()
        if own
    }


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
        name: ObservedLandmarks(view.positions_px[i], view.weight[i])
        for name, view in landmarks.items()
        if view.found[i].any()
    }
    return VertebraStart(level, shapes[i], pose.world_from_vertebra, pose.coefficients, observed)
