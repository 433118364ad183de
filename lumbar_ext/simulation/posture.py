"""Standing postures: five vertebrae, the lowest thoracic ones and the sacrum, stacked on discs and bent.

The curvature is drawn from statistics of real supine spines (`posture_statistics`), shifted to standing, and bent
within the range of motion of each level. Discs of literature height part facing endplates; joints that jam give way,
and their articular surfaces are fitted to each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.geometry import RigidTransform, euler_rotation
from lumbar_ext.simulation.endplates import Endplate, find_endplates
from lumbar_ext.simulation.motion import N_THORACIC_JOINTS, Bending, sample_bending
from lumbar_ext.simulation.parameters import PostureParameters
from lumbar_ext.simulation.posture_statistics import load_posture_statistics
from lumbar_ext.simulation.solid import Solid
from lumbar_ext.simulation.stacking import Bone, Joints, Stack, stack
from lumbar_ext.simulation.subject import Skeleton

_ANCHOR = LEVELS.index("L3")


@dataclass(frozen=True)
class Posture:
    """Where the bones stand.

    Args:
        skeleton: the bones, with articular surfaces fitted to this posture.
        world_from_vertebra: five poses, L1 .. L5.
        world_from_thoracic: poses of T12 .. T8.
        world_from_sacrum: pose of the sacrum frame (origin on the S1 endplate, z its normal).
        world_from_person: the axes of the upright person, origin at L3.
        direction: one of `motion.DIRECTIONS`.
        level: 0 for neutral, 1 to 3 for a small to large excursion.
        lordosis_deg: angle from the superior endplate of L1 to that of S1 in the person's sagittal plane.
        cobb_deg: largest coronal angle between endplates of L1 .. L5.
    """

    skeleton: Skeleton
    world_from_vertebra: tuple[RigidTransform, ...]
    world_from_thoracic: tuple[RigidTransform, ...]
    world_from_sacrum: RigidTransform
    world_from_person: RigidTransform
    direction: str
    level: int
    lordosis_deg: float
    cobb_deg: float


def sample_posture(
    rng: np.random.Generator,
    skeleton: Skeleton,
    parameters: PostureParameters | None = None,
    *,
    direction: str | None = None,
    level: int | None = None,
) -> Posture:
    """Draws a posture for a subject's bones.

    Args:
        rng: the source of randomness.
        skeleton: lumbar and neighbouring bones in their own frames.
        parameters: ranges, the defaults if omitted.
        direction: one of `motion.DIRECTIONS`, random if omitted.
        level: 1 (slight) to 3 (full), random if omitted; 0 only with "neutral".

    Raises:
        ValueError: for an unknown direction or level.
    """
    parameters = parameters or PostureParameters()
    bones = _bones(skeleton)
    bending = sample_bending(rng, parameters, direction=direction, level=level)
    angles = _neutral_angles(rng, parameters) + bending.relative_rad
    anchor = RigidTransform(
        euler_rotation(
            np.radians(rng.normal(0, parameters.anchor_lateral_sd_deg)) + bending.anchor_rad[0],
            np.radians(rng.normal(*parameters.anchor_flexion_deg)) + bending.anchor_rad[1],
            np.radians(rng.normal(0, parameters.anchor_axial_sd_deg)),
        ),
        np.zeros(3),
    )
    heights = _disc_heights_mm(rng, parameters, skeleton.size_ratio)
    slips = rng.normal(0, parameters.disc_translation_sd_mm, (len(heights), 2))
    anchor_index = len(skeleton.thoracic) + _ANCHOR
    stacked = stack(bones, Joints(angles, heights, slips), anchor=anchor_index, person_from_anchor=anchor)
    world_from_person = _sample_world_from_person(rng, parameters, bending.turn_rad)
    return _in_world(world_from_person, stacked, bones, _fitted(skeleton, stacked), bending)


def _bones(skeleton: Skeleton) -> list[Bone]:
    """All stacked bones from the top: T8 .. T12, L1 .. L5, S1."""
    vertebrae = [*reversed(skeleton.thoracic), *skeleton.lumbar]
    bones = []
    for index, vertebra in enumerate(vertebrae):
        plates = find_endplates(vertebra.solid, vertebra.landmarks_mm)
        # Thoracic stand-ins are only background: their facets need not fit.
        bones.append(Bone(vertebra.solid, plates.superior, plates.inferior, settles=index >= len(skeleton.thoracic)))
    s1 = Endplate(np.zeros(3), np.array([0.0, 0.0, 1.0]), bones[-1].inferior.half_depth_mm)
    return [*bones, Bone(skeleton.sacrum, s1, s1)]


def _neutral_angles(rng: np.random.Generator, parameters: PostureParameters) -> np.ndarray:
    """Relative standing angles (lateral, flexion, axial) [10, 3] of T8-T9 .. L5-S1, rad."""
    statistics = load_posture_statistics()
    lumbar = statistics.sample(rng, scale=(1.0, parameters.flexion_scale, parameters.axial_scale))
    lumbar[-1, 0] *= parameters.l4_l5_lateral_scale
    # L5-S1 goes with L4-L5: both follow the slope of the sacrum.
    trend = lumbar[-1, 1] - statistics.mean_rad[-1, 1]
    l5_s1 = [
        np.radians(rng.normal(0, 1.5)),
        np.radians(rng.normal(*parameters.l5_s1_flexion_deg)) + parameters.l5_s1_coupling * trend,
        np.radians(rng.normal(0, 1.0)),
    ]
    thoracic = np.radians(rng.normal(0, 1.5, (N_THORACIC_JOINTS, 3)))
    thoracic[:, 1] += np.radians(parameters.thoracic_flexion_deg)
    angles = np.concatenate([thoracic, lumbar, [l5_s1]])
    angles[N_THORACIC_JOINTS:, 1] += np.radians(parameters.standing_shift_deg)
    return angles + _scoliosis(rng, parameters)


def _scoliosis(rng: np.random.Generator, parameters: PostureParameters) -> np.ndarray:
    """Added relative angles [10, 3]: none for most, a smooth bend with rotation towards its apex for some."""
    joints = np.arange(N_THORACIC_JOINTS + 5)
    added = np.zeros((len(joints), 3))
    if rng.random() >= parameters.scoliosis_share:
        return added
    cobb = np.radians(rng.triangular(*parameters.scoliosis_cobb_deg)) * rng.choice([-1.0, 1.0])
    # The apex lies between T12-L1 and L4-L5; beyond the end vertebrae the curve turns back.
    apex = N_THORACIC_JOINTS - 1 + rng.uniform(1.0, 4.0)
    profile = np.clip(np.cos((joints - apex) / 3.0 * np.pi / 2), -0.3, None) * np.exp(-(((joints - apex) / 5.0) ** 2))
    added[:, 0] = cobb * profile / np.abs(profile[N_THORACIC_JOINTS:-1]).sum().clip(1.0)
    bones = np.arange(len(joints) + 1)
    rotation = parameters.scoliosis_rotation_ratio * cobb * np.exp(-(((bones - apex - 0.5) / 2.0) ** 2))
    added[:, 2] = np.diff(rotation)
    return added


def _disc_heights_mm(rng: np.random.Generator, parameters: PostureParameters, size_ratio: float) -> np.ndarray:
    """Disc heights [10] between endplate centres of T8-T9 .. L5-S1, with a degenerated tail."""
    mean = np.array(parameters.disc_height_mm)
    heights = size_ratio * mean * (1 + rng.normal(0, parameters.disc_common_sd)) + rng.normal(
        0, parameters.disc_sd_mm, len(mean)
    )
    degenerated = rng.random(len(mean)) < parameters.disc_degenerated_share
    heights[degenerated] *= rng.uniform(*parameters.disc_degenerated_factor, degenerated.sum())
    return np.clip(heights, parameters.disc_min_mm, None)


def _sample_world_from_person(
    rng: np.random.Generator, parameters: PostureParameters, turn_rad: float
) -> RigidTransform:
    """How the person stands in the room: turned and tilted a little, L3 near the world origin."""
    tilt = np.radians(parameters.trunk_tilt_deg)
    turn = np.radians(rng.uniform(-1, 1) * parameters.trunk_turn_deg) + turn_rad
    offset = rng.uniform(-1, 1, 3) * np.array(parameters.offset_mm)
    return RigidTransform.from_euler(rng.uniform(-tilt, tilt), rng.uniform(-tilt, tilt), turn, offset)


def _fitted(skeleton: Skeleton, stacked: Stack) -> Skeleton:
    """The skeleton with the meshes of a stack of it; landmarks lie off the articular surfaces and stay."""
    solids = stacked.solids[len(skeleton.thoracic) :]
    lumbar = tuple(replace(v, solid=solid) for v, solid in zip(skeleton.lumbar, solids[:-1], strict=True))
    return replace(skeleton, lumbar=lumbar, sacrum=solids[-1])


def _in_world(
    world_from_person: RigidTransform, stacked: Stack, bones: list[Bone], skeleton: Skeleton, bending: Bending
) -> Posture:
    n_above = len(skeleton.thoracic)
    person_from_bone = stacked.poses
    poses = [world_from_person @ pose for pose in person_from_bone]
    lumbar = slice(n_above, n_above + len(LEVELS))
    plates = [
        pose.rotation @ plate.normal
        for bone, pose in zip(bones[lumbar], person_from_bone[lumbar], strict=True)
        for plate in (bone.superior, bone.inferior)
    ]
    upward = np.array(plates) * np.tile([1.0, -1.0], len(LEVELS))[:, None]
    sacral = person_from_bone[-1].rotation[:, 2]
    coronal = np.degrees(np.arctan2(upward[:, 1], upward[:, 2]))
    return Posture(
        skeleton=skeleton,
        world_from_vertebra=tuple(poses[lumbar]),
        world_from_thoracic=tuple(reversed(poses[:n_above])),
        world_from_sacrum=poses[-1],
        world_from_person=world_from_person,
        direction=bending.direction,
        level=bending.level,
        lordosis_deg=float(np.degrees(np.arctan2(sacral[0], sacral[2]) - np.arctan2(upward[0, 0], upward[0, 2]))),
        cobb_deg=float(np.ptp(coronal)),
    )


def posed_landmarks_mm(posture: Posture, landmarks_mm: np.ndarray) -> np.ndarray:
    """World landmarks [5, 7, 3] of vertebra-frame landmarks [5, 7, 3]."""
    if landmarks_mm.shape != (len(LEVELS), len(LANDMARKS), 3):
        raise ValueError(f"landmarks_mm must be [{len(LEVELS)}, {len(LANDMARKS)}, 3], found {landmarks_mm.shape}")
    return np.stack(
        [pose.apply(points) for pose, points in zip(posture.world_from_vertebra, landmarks_mm, strict=True)]
    )


def posed_vertebrae(posture: Posture) -> tuple[Solid, ...]:
    """L1 .. L5 in the world frame."""
    return tuple(
        vertebra.solid.moved(pose)
        for pose, vertebra in zip(posture.world_from_vertebra, posture.skeleton.lumbar, strict=True)
    )
