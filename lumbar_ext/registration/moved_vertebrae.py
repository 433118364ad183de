"""A person who moved between the exposures: each vertebra gets a motion of its own from the AP to the lateral one.

Both films show one set of bones in two postures. The AP film fixes the frame and the posture that is reported; in the lateral
one each vertebra stands a little elsewhere, by a rigid motion that is held by a prior. The prior has two parts: the person as a
whole, and each vertebra by itself.

A single film does not show depth, but for the size of what it shows. So of a motion the films tell what both of them see:
the height of each vertebra and its axial rotation. A shift of the person to the front is depth to the AP film, one to the side
to the lateral film: 10 mm are 1 % of size, less than a network's pictures are off by, so that these are held small rather than
told. How far to the front vertebrae stand to each other, and their flexion to each other, are those of the lateral exposure;
how far to the side and their lateral bend those of the AP one.
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

_DEPTH_MM = 0.5
"""Chosen on four validation people who stood still, through the network: following them left surfaces in the room 0.89 mm off
(0.5 mm), 0.99 (1 mm) and 1.41 (2 mm), against 0.82 mm without. Of two who did move 0.5 and 2 mm leave each vertebra's own
surface off by the same (0.84 and 0.82 mm; 1.06 without)."""


@dataclass(frozen=True)
class Movement:
    """How far a person may have moved between two exposures: standard deviations of rigid motions.

    The defaults are judgements, no measurements: the sway of somebody who stands and lifts the arms for the lateral film, and a
    third of a lumbar segment's range of flexion (13 to 16 deg, `simulation.ranges`) for each vertebra.

    Args:
        person_mm: of the person as a whole, in height.
        person_deg: about each axis through the middle of the lumbar spine.
        vertebra_mm: of each vertebra by itself, in height.
        vertebra_deg: in lateral bend and axial rotation about its own middle.
        rounds: of finding the motions and registering again.
        enough_mm: a change that shifts no vertebra by more ends the rounds.
        depth_mm: of the person as a whole to the front and to the side, which one of the films tells by size only; less than
            people sway, see `_DEPTH_MM`.
    """

    person_mm: float = 10.0
    person_deg: float = 5.0
    vertebra_mm: float = 5.0
    vertebra_deg: float = 5.0
    rounds: int = 4
    enough_mm: float = 0.05
    depth_mm: float = _DEPTH_MM

    def __post_init__(self) -> None:
        sizes = (self.person_mm, self.person_deg, self.vertebra_mm, self.vertebra_deg, self.depth_mm, self.rounds)
        if not (min(sizes) > 0 and self.enough_mm >= 0):
            raise ValueError(f"standard deviations and rounds must be positive, found {self}")

    def covariance(self, centres_mm: np.ndarray) -> np.ndarray:
        """[6 n, 6 n] of the motions of n vertebrae about their centres [n, 3]: shift in mm, turn in rad."""
        whole = np.zeros((len(centres_mm), 6, 6))
        for own, offset in zip(whole, centres_mm - centres_mm.mean(0), strict=True):
            own[:] = np.block([[np.eye(3), turning_shift(offset)], [np.zeros((3, 3)), np.eye(3)]])
        whole = whole.reshape(-1, 6) * [self.depth_mm, self.depth_mm, *_spread(self.person_mm, self.person_deg)[2:]]
        own = np.minimum(_spread(self.vertebra_mm, self.vertebra_deg), _SHOWN_ONCE)
        return whole @ whole.T + np.diag(np.tile(own**2, len(centres_mm)))


def _spread(shift_mm: float, turn_deg: float) -> np.ndarray:
    return np.repeat([shift_mm, np.radians(turn_deg)], 3)


BESIDE_FOUND_CAMERAS = Movement(person_mm=1.0, person_deg=0.5, depth_mm=1.0)
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
    of the motions needs, is left as it is; then `found_movement` is None.

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


@dataclass(frozen=True)
class FoundMovement:
    """What both films tell of a movement between the exposures.

    Args:
        height_mm: by how much the vertebrae moved up together.
        own_mm: the most that one moved up or down beside that.
        turned_deg: by how much they turned together about the long axis of the room.
    """

    height_mm: float
    own_mm: float
    turned_deg: float

    @property
    def is_noise(self) -> bool:
        """Whether people who stood still look like that, seen by the network."""
        found = (abs(self.height_mm), self.own_mm, abs(self.turned_deg))
        return all(own <= most for own, most in zip(found, _STOOD_STILL, strict=True))


_STOOD_STILL = (0.5, 1.5, 4.0)
"""Height together (mm), of a vertebra more (mm) and axial turn (deg) that validation people who stood still did not exceed
(docs/cameras.md)."""


def found_movement(result: RegistrationResult) -> FoundMovement | None:
    """The movement that `follow_movement` found; None where it could not follow."""
    fits = [fit for fit in result.vertebrae.values() if VIEW in fit.motions]
    if not fits:
        return None
    centres = np.stack([fit.world_from_vertebra.translation_mm for fit in fits])
    moved = np.stack([fit.motions[VIEW].apply(own) for fit, own in zip(fits, centres, strict=True)])
    heights = (moved - centres)[:, 2]
    turns = [fit.motions[VIEW].euler_rad()[2] for fit in fits]
    together = heights.mean()
    return FoundMovement(float(together), float(np.abs(heights - together).max()), float(np.degrees(np.mean(turns))))


def with_movement(
    result: RegistrationResult, found: FoundMovement | None, cameras_found: bool = False
) -> RegistrationResult:
    """The result with a warning that says how far the vertebrae moved between the exposures, that they did not for all that
    the films tell, or that they were not followed.

    Args:
        result: of the registration; vertebrae were followed where they moved.
        found: what `follow_movement` found.
        cameras_found: whether the cameras were found from the same films: a person who moved as a whole looks like another
            place of the lateral camera.
    """
    return replace(result, warnings=(*result.warnings, _told(found, cameras_found)))


def _told(found: FoundMovement | None, cameras_found: bool) -> str:
    if found is None:
        return (
            "the movement between the exposures was not followed, which needs derivatives and a shape prior (gauss_newton), "
            "and time"
        )
    height_mm, own_mm, turned_deg = _STOOD_STILL
    if found.is_noise:
        text = (
            f"no movement between the exposures was found beyond {height_mm:g} mm in height, {own_mm:g} mm of a vertebra more "
            f"and {turned_deg:g} deg about the long axis, which people who stand still look like: vertebrae were taken for not "
            "moved, though it was said that they did; films hardly tell a shift to the front or to the side"
        )
    else:
        text = (
            f"the person moved between the exposures, as was said: the vertebrae by {abs(found.height_mm):.1f} mm in height "
            f"and {abs(found.turned_deg):.1f} deg about the long axis together, and each by up to {found.own_mm:.1f} mm in "
            "height more; films hardly tell a shift to the front or to the side; side and lateral bend of vertebrae are those "
            "of the AP exposure, front and flexion to each other those of the lateral one, and values with T12 or S1 take "
            "these for not moved"
        )
    if cameras_found:
        text += "; what the person moved as a whole went into the cameras, which were found from the same films"
    return text
