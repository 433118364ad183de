"""Small errors of the stated cameras, found along with the vertebrae.

Two films show one spine, so they tell how the cameras stand to each other better than a calibration that is half a
millimetre off: above all at which height either sees it, then which of them is the nearer, and little of how they are
turned. They do not tell where the pair stands in the room; and a shift of one view along its rows, or its roll, looks like a
shift or a lean of the person. There the stated cameras are believed. So the lateral camera gets a rigid motion against the
AP camera, small by a prior, and as either may be wrong, each is moved by half of it.

One Newton step over poses, shapes and motion together (`lateral_motion`) gives the motion; then the registration goes on
with the corrected camera.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lumbar_ext.geometry import BiplanarGeometry, Camera, RigidTransform
from lumbar_ext.registration.config import RegistrationConfig
from lumbar_ext.registration.lateral_motion import lateral_poses, lateral_step, motion_about, pose_changes
from lumbar_ext.registration.problem import RegistrationProblem
from lumbar_ext.registration.register import RegistrationInput, problem_of, register
from lumbar_ext.registration.result import RegistrationResult


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
        motions = {"ap": motion_about(-so_far / 2, pivot), "lat": motion_about(so_far / 2, pivot)}
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
    text = f"the cameras were moved by {shift_mm:.2f} mm and {turn_deg:.2f} deg against each other, from where they were first"
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
    centres = np.stack([pose.translation_mm for pose in lateral_poses(problem)])
    # The vertebrae appear to move as the camera does not.
    design = -pose_changes(problem, np.tile(centres.mean(0), (len(centres), 1)))
    step = lateral_step(problem, design, np.diag(1 / errors.sd**2), so_far)
    return step, float(np.linalg.norm(step[:3] + np.cross(step[3:], centres - pivot), axis=1).max())


def moved_camera(camera: Camera, motion: RigidTransform) -> Camera:
    """A camera after a motion in the room."""
    return camera.replace(
        source_mm=motion.apply(camera.source_mm),
        detector_origin_mm=motion.apply(camera.detector_origin_mm),
        u_axis=motion.rotation @ camera.u_axis,
        v_axis=motion.rotation @ camera.v_axis,
    )
