"""A person who moved between the exposures: each vertebra gets a motion of its own from the AP to the lateral one.

Both films show one set of bones in two postures. The AP film fixes the frame and the posture that is reported; in the lateral
one each vertebra stands a little elsewhere, by a rigid motion that is held by a prior. The prior has two parts: the person as a
whole, and each vertebra by itself.

A single film does not show depth. So of a motion the films tell what both of them see: the height of each vertebra, its axial
rotation, and from the size of the whole spine the depth of that. How far to the front vertebrae stand to each other, and their
flexion to each other, are those of the lateral exposure; how far to the side and their lateral bend those of the AP one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lumbar_ext.registration.config import RegistrationConfig
from lumbar_ext.registration.lateral_motion import (
    VIEW,
    lateral_poses,
    lateral_step,
    motion_about,
    pose_changes,
    turning_shift,
)
from lumbar_ext.registration.register import RegistrationInput, problem_of, register
from lumbar_ext.registration.result import RegistrationResult

_SHOWN_ONCE = np.array([0.3, 0.3, np.inf, np.inf, np.radians(0.3), np.inf])
"""Greatest standard deviations of a vertebra's own motion (mm and rad along and about X, Y, Z) against the person's: to the
front, to the side and in flexion next to nothing. One film shows these and the other sees depth; were they free, errors of the
pictures would pass for depth, by 1.3 mm on people who stood still, and a vertebra's flexion would be neither exposure's."""


@dataclass(frozen=True)
class Movement:
    """How far a person may have moved between two exposures: standard deviations of rigid motions.

    The defaults are judgements, no measurements: the sway of somebody who stands and lifts the arms for the lateral film, and a
    third of a lumbar segment's range of flexion (13 to 16 deg, `simulation.ranges`) for each vertebra.

    Args:
        person_mm: of the person as a whole, along each axis.
        person_deg: about each axis through the middle of the lumbar spine.
        vertebra_mm: of each vertebra by itself, in height.
        vertebra_deg: in lateral bend and axial rotation about its own middle.
        rounds: of finding the motions and registering again.
        enough_mm: a change that shifts no vertebra by more ends the rounds.
    """

    person_mm: float = 10.0
    person_deg: float = 5.0
    vertebra_mm: float = 5.0
    vertebra_deg: float = 5.0
    rounds: int = 4
    enough_mm: float = 0.05

    def __post_init__(self) -> None:
        sizes = (self.person_mm, self.person_deg, self.vertebra_mm, self.vertebra_deg, self.rounds)
        if not (min(sizes) > 0 and self.enough_mm >= 0):
            raise ValueError(f"standard deviations and rounds must be positive, found {self}")

    def covariance(self, centres_mm: np.ndarray) -> np.ndarray:
        """[6 n, 6 n] of the motions of n vertebrae about their centres [n, 3]: shift in mm, turn in rad."""
        whole = np.zeros((len(centres_mm), 6, 6))
        for own, offset in zip(whole, centres_mm - centres_mm.mean(0), strict=True):
            own[:] = np.block([[np.eye(3), turning_shift(offset)], [np.zeros((3, 3)), np.eye(3)]])
        whole = whole.reshape(-1, 6) * _spread(self.person_mm, self.person_deg)
        own = np.minimum(_spread(self.vertebra_mm, self.vertebra_deg), _SHOWN_ONCE)
        return whole @ whole.T + np.diag(np.tile(own**2, len(centres_mm)))


def _spread(shift_mm: float, turn_deg: float) -> np.ndarray:
    return np.repeat([shift_mm, np.radians(turn_deg)], 3)


BESIDE_FOUND_CAMERAS = Movement(person_mm=1.0, person_deg=0.5)
"""Where the cameras were found from the same films: what the person moved as a whole is in them already, and were it free a
second time, errors of the pictures would pass for it (docs/cameras.md)."""


def follow_movement(
    inputs: RegistrationInput,
    model,
    config: RegistrationConfig,
    result: RegistrationResult,
    movement: Movement | None = None,
    *,
    max_seconds: float | None = None,
) -> RegistrationResult:
    """Gives each vertebra a motion between the exposures and registers again, from where a registration ended.

    A registration without curvature (by an optimiser that has no derivatives) or without a shape prior, whose scale the prior
    of the motions needs, is left as it is; `with_movement` warns of that.

    Args:
        inputs: what was registered.
        model: the shape model.
        config: of the registration.
        result: its result.
        movement: what is expected.
        max_seconds: limit of all registrations together, the first included.
    """
    movement = movement or Movement()
    centres = np.stack([fit.world_from_vertebra.translation_mm for fit in result.vertebrae.values()])
    precision = np.linalg.inv(movement.covariance(centres))
    numbers = np.zeros((len(centres), 6))
    for _ in range(movement.rounds):
        left = None if max_seconds is None else max_seconds - result.seconds
        if result.curvature is None or (left is not None and left <= 0):
            break
        problem = problem_of(inputs, model, config, start=result)
        pivots = np.stack([pose.translation_mm for pose in lateral_poses(problem)])
        changes = pose_changes(problem, pivots)
        design = np.einsum("iak,ij->iajk", changes, np.eye(len(centres))).reshape(len(centres), 6, -1)
        step = lateral_step(problem, design, precision, numbers.ravel()).reshape(-1, 6)
        numbers = numbers + step
        moved = {
            level: replace(fit, motions={VIEW: motion_about(own, centre)})
            for (level, fit), own, centre in zip(result.vertebrae.items(), numbers, centres, strict=True)
        }
        start = replace(result, vertebrae=moved)
        result = register(inputs, model, config, start=start, max_seconds=left).following(result)
        if np.linalg.norm(step[:, :3], axis=1).max() <= movement.enough_mm:
            break
    return result


def with_movement(result: RegistrationResult, cameras_found: bool = False) -> RegistrationResult:
    """The result of `follow_movement` with a warning that says how far the vertebrae moved between the exposures, or that they
    were not followed.

    Args:
        result: of the registration.
        cameras_found: whether the cameras were found from the same films: a person who moved as a whole looks like another
            place of the lateral camera.
    """
    fits = [fit for fit in result.vertebrae.values() if VIEW in fit.motions]
    if not fits:
        text = "the movement between the exposures was not followed, which needs derivatives and a shape prior (gauss_newton)"
        return replace(result, warnings=(*result.warnings, text))
    centres = np.stack([fit.world_from_vertebra.translation_mm for fit in fits])
    shifts = np.stack([fit.motions[VIEW].apply(own) for fit, own in zip(fits, centres, strict=True)]) - centres
    together_mm = np.linalg.norm(shifts.mean(0))
    own_mm = np.linalg.norm(shifts - shifts.mean(0), axis=1).max()
    text = (
        f"the person moved between the exposures, as was said: the vertebrae by {together_mm:.1f} mm together and each by up "
        f"to {own_mm:.1f} mm more; side and lateral bend of vertebrae are those of the AP exposure, front and flexion to each "
        "other those of the lateral one, and values with T12 or S1 take these for not moved"
    )
    if cameras_found:
        text += "; what the person moved as a whole went into the cameras, which were found from the same films"
    return replace(result, warnings=(*result.warnings, text))
