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
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.simulation.bones.endplate_planes import find_endplates
from lumbar_ext.simulation.bones.pathology import Pathology
from lumbar_ext.simulation.bones.skeleton import Skeleton
from lumbar_ext.simulation.posture.bending import N_THORACIC_JOINTS, Bending, sample_bending
from lumbar_ext.simulation.posture.curvature import coronal_span_deg, disc_heights_mm, neutral_angles, with_cobb_angle
from lumbar_ext.simulation.posture.stacking import BACKGROUND_COMPLIANCE, Bone, Joints, Stack, stack
from lumbar_ext.simulation.ranges import PostureParameters
from lumbar_ext.simulation.study_spec import StudySpec

_ANCHOR = LEVELS.index("L3")
# The joints T8-T9 .. L5-S1 that four, five or six lumbar vertebrae have: the fourth stands on a sacrum that took up L5,
# the sixth doubles the joint above the last.
_SHARED_ANGLE = 0.6
_MIN_WORN_DISC_MM = 1.5  # plates never touch
# Share of its angle that a joint without a disc would keep: worn segments lose lordosis and motion.
_STIFF_ANGLE = 0.3
_JOINTS = {4: (0, 1, 2, 3, 4, 5, 6, 7, 8), 5: tuple(range(10)), 6: (0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9)}


@dataclass(frozen=True)
class Posture:
    """Where the bones stand.

    Args:
        skeleton: the bones, with articular surfaces fitted to this posture.
        world_from_vertebra: a pose of each lumbar vertebra from L1.
        world_from_thoracic: poses of T12 .. T8.
        world_from_sacrum: pose of the sacrum frame (origin on the S1 endplate, z its normal).
        world_from_person: the axes of the upright person, origin at L3.
        direction: one of `motion.DIRECTIONS`.
        level: 0 for neutral, 1 to 3 for a small to large excursion.
        lordosis_deg: angle from the superior endplate of L1 to the sacrum's (S1, or a sacralised L5) in
            the person's sagittal plane.
        cobb_deg: largest coronal angle between endplates of the lumbar vertebrae.
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
    spec: StudySpec,
    *,
    person_rng: np.random.Generator | None = None,
) -> Posture:
    """Draws a posture for a subject's bones.

    Args:
        rng: the source of randomness.
        skeleton: lumbar and neighbouring bones in their own frames.
        spec: ranges, direction and level of the motion, and the pathology, drawn: of those that change joints, slip,
            scoliosis and fusion; others are of no effect here.
        person_rng: draws what a person keeps in all postures, the neutral curve and the discs; `rng` if omitted.

    Raises:
        ValueError: for an unknown direction or level.
    """
    parameters, pathology = spec.parameters.posture, spec.pathology
    person_rng = person_rng or rng
    kind = pathology.kind if isinstance(pathology, Pathology) else None
    if kind == "scoliosis":
        parameters = replace(parameters, scoliosis_share=0.0)
    bones = _bones(skeleton)
    bending = sample_bending(rng, parameters, direction=spec.direction, level=spec.level)
    neutral = neutral_angles(person_rng, parameters)
    anchor = euler_rotation(
        np.radians(person_rng.normal(0, parameters.anchor_lateral_sd_deg)) + bending.anchor_rad[0],
        np.radians(person_rng.normal(*parameters.anchor_flexion_deg)) + bending.anchor_rad[1],
        np.radians(person_rng.normal(0, parameters.anchor_axial_sd_deg)),
    )
    if kind == "scoliosis":
        neutral = with_cobb_angle(person_rng, neutral, bones, anchor, pathology.amount, parameters)
    heights = disc_heights_mm(person_rng, parameters, skeleton.size_ratio)
    slips = person_rng.normal(0, parameters.disc_translation_sd_mm, (len(heights), 2))
    relative = bending.relative_rad.copy()
    held = np.full(len(heights), np.nan)
    if kind in ("slip", "fusion"):
        joint = N_THORACIC_JOINTS + pathology.level_index
        if kind == "slip":
            held[joint] = pathology.amount
        else:
            relative[joint] = 0.0
            heights[joint] *= pathology.amount
    order = list(_JOINTS[len(skeleton.lumbar)])
    angles, heights = (neutral + relative)[order], heights[order]
    # Two joints in the place of one share its angles and move a little more together.
    angles[[order.count(joint) > 1 for joint in order]] *= _SHARED_ANGLE
    for worn in skeleton.wear:
        joint = N_THORACIC_JOINTS + worn.joint
        heights[joint] = max(worn.disc * heights[joint], _MIN_WORN_DISC_MM)
        # A low disc is no wedge, and stiff; what bends to the side stays, so that a scoliosis keeps its angle.
        angles[joint, 1] *= _STIFF_ANGLE + (1 - _STIFF_ANGLE) * worn.disc
    joints = Joints(angles, heights, slips[order], held[order])
    stacked = stack(
        bones,
        joints,
        anchor=len(skeleton.thoracic) + _ANCHOR,
        person_from_anchor=RigidTransform(anchor, np.zeros(3)),
    )
    world_from_person = _sample_world_from_person(rng, parameters, bending.turn_rad)
    return _in_world(world_from_person, stacked, bones, _fitted(skeleton, stacked), bending)


def _bones(skeleton: Skeleton) -> list[Bone]:
    """All stacked bones from the top: T8 .. T12, L1 .. L5, S1."""
    t12, *above = skeleton.thoracic
    # Only background from T11 up: their facets need not fit.
    bones = [Bone(t.solid, t.superior, t.inferior, settles=False) for t in reversed(above)]
    bones.append(Bone(t12.solid, t12.superior, t12.inferior, compliance=BACKGROUND_COMPLIANCE))
    for vertebra in skeleton.lumbar:
        plates = find_endplates(vertebra.solid, vertebra.landmarks_mm)
        bones.append(Bone(vertebra.solid, plates.superior, plates.inferior))
    plate = skeleton.sacral_plate
    sacrum = Bone(skeleton.sacrum, plate, plate, compliance=BACKGROUND_COMPLIANCE, processes=skeleton.sacral_processes)
    return [*bones, sacrum]


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
    t12, *lumbar, sacrum = stacked.solids[len(skeleton.thoracic) - 1 :]
    return skeleton.with_solids(t12, lumbar, sacrum)


def _in_world(
    world_from_person: RigidTransform, stacked: Stack, bones: list[Bone], skeleton: Skeleton, bending: Bending
) -> Posture:
    n_above = len(skeleton.thoracic)
    person_from_bone = stacked.poses
    poses = [world_from_person @ pose for pose in person_from_bone]
    lumbar = slice(n_above, n_above + len(skeleton.lumbar))
    rotations = [pose.rotation for pose in person_from_bone]
    ceiling = rotations[n_above] @ bones[n_above].superior.normal
    sacral = rotations[-1] @ bones[-1].superior.normal
    return Posture(
        skeleton=skeleton,
        world_from_vertebra=tuple(poses[lumbar]),
        world_from_thoracic=tuple(reversed(poses[:n_above])),
        world_from_sacrum=poses[-1],
        world_from_person=world_from_person,
        direction=bending.direction,
        level=bending.level,
        lordosis_deg=float(np.degrees(np.arctan2(sacral[0], sacral[2]) - np.arctan2(ceiling[0], ceiling[2]))),
        cobb_deg=coronal_span_deg(rotations[lumbar], bones[lumbar]),
    )


def posed_landmarks_mm(posture: Posture, landmarks_mm: np.ndarray) -> np.ndarray:
    """World landmarks [N, 7, 3] of vertebra-frame landmarks [N, 7, 3] of the N lumbar vertebrae."""
    expected = (len(posture.world_from_vertebra), len(LANDMARKS), 3)
    if landmarks_mm.shape != expected:
        raise ValueError(f"landmarks_mm must be {list(expected)}, found {landmarks_mm.shape}")
    return np.stack(
        [pose.apply(points) for pose, points in zip(posture.world_from_vertebra, landmarks_mm, strict=True)]
    )


def posed_vertebrae(posture: Posture) -> tuple[Surface, ...]:
    """The lumbar vertebrae in the world frame."""
    return tuple(
        vertebra.solid.moved(pose)
        for pose, vertebra in zip(posture.world_from_vertebra, posture.skeleton.lumbar, strict=True)
    )
