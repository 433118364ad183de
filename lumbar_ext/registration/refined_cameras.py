"""Small errors of the stated cameras, found along with the vertebrae.

Two films show one spine, so they tell how the cameras stand to each other better than a calibration that is half a
millimetre off: above all at which height either sees it, then which of them is the nearer, and little of how they are
turned. They do not tell where the pair stands in the room; and a shift of one view along its rows, or its roll, looks like a
shift or a lean of the person. There the stated cameras are believed. So the lateral camera gets a rigid motion against the
AP camera, small by a prior, and as either may be wrong, each is moved by half of it.

What that motion does to the lateral film is what the opposite motion of all vertebrae would do to it, so its derivatives
are combinations of those of the poses that the registration has already. One Newton step over poses, shapes and motion
together, with the former eliminated, gives the motion; then the registration goes on with the corrected camera.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lumbar_ext.geometry import BiplanarGeometry, Camera, RigidTransform
from lumbar_ext.registration.config import RegistrationConfig
from lumbar_ext.registration.loss.linearisation import Lineariser
from lumbar_ext.registration.loss.tangent import tangent_from_pose
from lumbar_ext.registration.parameters import POSE_SIZE
from lumbar_ext.registration.problem import RegistrationProblem
from lumbar_ext.registration.register import RegistrationInput, problem_of, register
from lumbar_ext.registration.result import RegistrationResult
from lumbar_ext.registration.search.optimiser import start_parameters

_VIEW = "lat"
_BLOCK = 2
"""Pixels are compared as in the last stage of the registration."""


@dataclass(frozen=True)
class CameraErrors:
    """How wrong the place of one camera to the other may be: standard deviations of a rigid motion about the spine.

    The defaults are those of cameras whose sources and detectors are known to about 1 mm.

    Args:
        shift_mm: along each axis.
        turn_deg: about each axis.
        rounds: of correcting the camera and registering again.
        enough_mm: a correction that moves nothing near the spine by more ends the rounds.
    """

    shift_mm: float = 1.0
    turn_deg: float = 0.3
    rounds: int = 2
    enough_mm: float = 0.02

    def __post_init__(self) -> None:
        if not (self.shift_mm > 0 and self.turn_deg > 0 and self.rounds > 0 and self.enough_mm >= 0):
            raise ValueError(f"shift_mm, turn_deg and rounds must be positive, found {self}")

    @property
    def sd(self) -> np.ndarray:
        """[6] of shift (mm) and turn (rad)."""
        return np.array([self.shift_mm] * 3 + [np.radians(self.turn_deg)] * 3)


FOUND_FROM_FILMS = CameraErrors(shift_mm=3.0, turn_deg=2.0, rounds=3)
"""Of cameras that were found from landmarks: the angle between the films is then off by 2 degrees (docs/cameras.md)."""


@dataclass(frozen=True)
class RefinedRegistration:
    """A registration and the cameras that it ended with.

    Args:
        inputs: what was registered, with the corrected cameras.
        result: the registration; it holds the motions of the cameras.
    """

    inputs: RegistrationInput
    result: RegistrationResult


def refine_cameras(
    inputs: RegistrationInput,
    model,
    config: RegistrationConfig,
    result: RegistrationResult,
    errors: CameraErrors | None = None,
    *,
    max_seconds: float | None = None,
) -> RefinedRegistration:
    """Corrects the cameras and registers again, from where a registration ended.

    A registration without curvature (by an optimiser that has no derivatives) or without a shape prior, whose scale the
    prior of the cameras needs, is left as it is.

    Args:
        inputs: what was registered.
        model: the shape model.
        config: of the registration.
        result: its result.
        errors: what is expected of the stated cameras.
        max_seconds: limit of all registrations together, the first included.
    """
    errors = errors or CameraErrors()
    stated, so_far = inputs.geometry, np.zeros(6)
    pivot = np.mean([fit.world_from_vertebra.translation_mm for fit in result.vertebrae.values()], axis=0)
    for _ in range(errors.rounds):
        left = None if max_seconds is None else max_seconds - result.seconds
        if result.curvature is None or (left is not None and left <= 0):
            break
        problem = problem_of(inputs, model, config, start=result)
        step, reach_mm = _step(problem, errors, so_far, pivot)
        so_far = so_far + step
        motions = {"ap": _motion(-so_far / 2, pivot), "lat": _motion(so_far / 2, pivot)}
        cameras = {view: moved_camera(stated[view], motion) for view, motion in motions.items()}
        inputs = replace(inputs, geometry=BiplanarGeometry(**cameras))
        result = register(inputs, model, config, start=result, max_seconds=left).following(result)
        result = replace(result, camera_motions=motions)
        if reach_mm <= errors.enough_mm:
            break
    return RefinedRegistration(inputs, result)


def with_camera_motions(result: RegistrationResult, motions: dict[str, RigidTransform]) -> RegistrationResult:
    """The result with the motions of its cameras, and a warning that says how far these are."""
    centre = np.mean([fit.world_from_vertebra.translation_mm for fit in result.vertebrae.values()], axis=0)
    apart = motions["lat"] @ motions["ap"].inverse()
    shift_mm, turn_deg = np.linalg.norm(apart.apply(centre) - centre), np.degrees(apart.angle_rad())
    text = (
        f"the cameras were moved by {shift_mm:.2f} mm and {turn_deg:.2f} deg against each other, from the calibration"
    )
    return replace(result, camera_motions=motions, warnings=(*result.warnings, text))


def _step(
    problem: RegistrationProblem, errors: CameraErrors, so_far: np.ndarray, pivot: np.ndarray
) -> tuple[np.ndarray, float]:
    """The change [6] of the motion of the lateral camera that lowers the loss most (shift in mm and turn in rad, about a
    pivot), and how far it moves the middle of a vertebra at most, in mm.

    Args:
        problem: its starts are the ends of a registration.
        errors: the prior.
        so_far: [6] what earlier rounds moved the camera by, which counts for the prior.
        pivot: [3] world mm.
    """
    parameters = start_parameters(problem)
    both = Lineariser(problem.averaged(_BLOCK)).model(parameters)
    lateral = {name: target for name, target in problem.targets.items() if (target.view or name) == _VIEW}
    alone = replace(problem, targets=lateral, terms=(problem.images,), landmark_cameras={})
    own = Lineariser(alone.averaged(_BLOCK)).model(parameters)
    # A loss is the mean over the views: alone, the lateral one counts twice.
    share = 1 / len({target.view or name for name, target in problem.targets.items()})
    centres = np.stack(
        [start.world_from_moved(p[:POSE_SIZE]).translation_mm for start, p in _placed(problem, parameters)]
    )
    pivot = centres.mean(0)
    by_motion = np.stack([_pose_change(start, p, pivot) for start, p in _placed(problem, parameters)])
    gradient = share * np.einsum("iak,ia->k", by_motion, own.gradient[:, :POSE_SIZE])
    cross = share * np.einsum("njia,iak->njk", own.hessian[..., :POSE_SIZE], by_motion)
    curvature = np.einsum("nak,nal->kl", by_motion, cross[:, :POSE_SIZE])
    # The vertebrae appear to move as the camera does not.
    precision = both.prior / errors.sd**2
    gradient, curvature = gradient - precision * so_far, curvature + np.diag(precision)
    size = both.gradient.size
    cross, hessian = cross.reshape(size, -1), both.hessian.reshape(size, size)
    hessian = hessian + 1e-9 * np.trace(hessian) / size * np.eye(size)
    solved = np.linalg.solve(hessian, np.column_stack([cross, both.gradient.reshape(size)]))
    step = np.linalg.solve(curvature - cross.T @ solved[:, :-1], gradient - cross.T @ solved[:, -1])
    return step, float(np.linalg.norm(step[:3] + np.cross(step[3:], centres - pivot), axis=1).max())


def _placed(problem: RegistrationProblem, parameters: list[np.ndarray]):
    return zip(problem.vertebrae, parameters, strict=True)


def _pose_change(start, parameters: np.ndarray, pivot_mm: np.ndarray) -> np.ndarray:
    """[6, 6]: how pose parameters change with a motion of the world: shift in mm, then turn in rad about a pivot."""
    pose = start.world_from_moved(parameters[:POSE_SIZE])
    x, y, z = pose.translation_mm - pivot_mm
    turned = np.array([[0, z, -y], [-z, 0, x], [y, -x, 0]])
    frame = pose.rotation.T
    tangent = np.block([[frame, frame @ turned], [np.zeros((3, 3)), frame]])
    return np.linalg.solve(tangent_from_pose(parameters[:POSE_SIZE]), tangent)


def _motion(numbers: np.ndarray, pivot_mm: np.ndarray) -> RigidTransform:
    """The motion of a shift in mm and a small turn in rad about a pivot [6]."""
    turn = RigidTransform.from_euler(*numbers[3:]).rotation
    return RigidTransform(turn, pivot_mm + numbers[:3] - turn @ pivot_mm)


def moved_camera(camera: Camera, motion: RigidTransform) -> Camera:
    """A camera after a motion in the room."""
    return camera.replace(
        source_mm=motion.apply(camera.source_mm),
        detector_origin_mm=motion.apply(camera.detector_origin_mm),
        u_axis=motion.rotation @ camera.u_axis,
        v_axis=motion.rotation @ camera.v_axis,
    )
