"""Bending of the trunk: six directions, three excursions, within the range of motion of each level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.simulation.ranges import PostureParameters

DIRECTIONS = ("neutral", "flexion", "extension", "left_bend", "right_bend", "left_twist", "right_twist")
"""Postures of the study protocol of Yu et al. (arXiv 2503.14573): six directions of motion, and standing still."""

N_THORACIC_JOINTS = 5  # T8-T9 .. T12-L1


@dataclass(frozen=True)
class Bending:
    """An excursion from the neutral posture.

    Args:
        direction: one of `DIRECTIONS`.
        level: 0 for neutral, else 1 to 3.
        relative_rad: [10, 3] added (lateral, flexion, axial) angles of the lower against the upper bone, T8-T9 ..
            L5-S1.
        anchor_rad: (lateral, flexion) lean of L3.
        turn_rad: axial turn of the whole trunk.
    """

    direction: str
    level: int
    relative_rad: np.ndarray
    anchor_rad: tuple[float, float]
    turn_rad: float


def sample_bending(
    rng: np.random.Generator, parameters: PostureParameters, *, direction: str | None = None, level: int | None = None
) -> Bending:
    """Draws an excursion; see `posture.sample_posture` for the arguments.

    A lower vertebra turns against the upper one with positive lateral angle in a bend to the left, positive flexion
    angle in extension, negative axial angle in a twist to the left.
    """
    if direction is None:
        neutral = rng.random() < parameters.neutral_share
        direction = DIRECTIONS[0] if neutral else str(rng.choice(DIRECTIONS[1:]))
    if direction not in DIRECTIONS:
        raise ValueError(f"direction must be one of {DIRECTIONS}, found {direction!r}")
    if direction == "neutral":
        return Bending(direction, 0, np.zeros((N_THORACIC_JOINTS + 5, 3)), (0.0, 0.0), 0.0)
    level = int(rng.integers(1, 4)) if level is None else level
    if level not in (1, 2, 3):
        raise ValueError(f"level must be 1, 2 or 3, found {level!r}")
    extent = rng.uniform(*parameters.excursion[level - 1])
    return _bend(rng, parameters, direction, level, extent)


def _bend(
    rng: np.random.Generator, parameters: PostureParameters, direction: str, level: int, extent: float
) -> Bending:
    joint_share = np.clip(rng.normal(1.0, parameters.joint_share_sd, 5), 0.3, 1.7)
    relative = np.zeros((N_THORACIC_JOINTS + 5, 3))
    anchor, turn = (0.0, 0.0), 0.0
    if direction in ("flexion", "extension"):
        total = np.radians(parameters.flexion_extension_deg) * joint_share * extent
        share = -parameters.flexion_share if direction == "flexion" else parameters.extension_share
        relative[N_THORACIC_JOINTS:, 1] = total * share
        lean = parameters.flexion_lean_deg if direction == "flexion" else parameters.extension_lean_deg
        anchor = (0.0, float(np.radians(rng.uniform(*lean)) * extent))
    elif direction in ("left_bend", "right_bend"):
        side = 1.0 if direction == "left_bend" else -1.0
        bend = side * np.radians(parameters.lateral_bend_deg) / 2 * joint_share * extent
        relative[N_THORACIC_JOINTS:, 0] = bend
        relative[N_THORACIC_JOINTS:, 2] = bend * np.array(parameters.coupled_axial_ratio)
        anchor = (-side * float(np.radians(rng.uniform(*parameters.bend_lean_deg)) * extent), 0.0)
    else:
        side = 1.0 if direction == "left_twist" else -1.0
        relative[N_THORACIC_JOINTS:, 2] = -side * np.radians(parameters.axial_rotation_deg) / 2 * joint_share * extent
        turn = side * float(np.radians(rng.uniform(*parameters.twist_turn_deg)) * extent)
    relative[:N_THORACIC_JOINTS] = relative[N_THORACIC_JOINTS] * 0.4
    return Bending(direction, level, relative, anchor, turn)
