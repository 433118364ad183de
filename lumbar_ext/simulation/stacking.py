"""Stacks bones on discs: rotations are given, positions follow from disc heights, overlaps are pushed apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.geometry import RigidTransform, euler_rotation
from lumbar_ext.simulation.contact import find_contact
from lumbar_ext.simulation.endplates import Endplate
from lumbar_ext.simulation.solid import Solid

_MIN_RIM_GAP_MM = 1.0
_CONCAVITY_MM = 1.0
_CLEARANCE_MM = 0.3
_TOLERATED_MM = 0.25
_MAX_STEPS = 14
_DISTRACTION_MM = 0.7


@dataclass(frozen=True)
class Bone:
    """A bone to stack: its mesh and the endplates it meets its neighbours with, in its own frame."""

    solid: Solid
    superior: Endplate
    inferior: Endplate


def stack(
    bones: list[Bone],
    relative_rad: np.ndarray,
    disc_height_mm: np.ndarray,
    slip_mm: np.ndarray,
    *,
    anchor: int,
    person_from_anchor: RigidTransform,
) -> list[RigidTransform]:
    """Poses of all bones in the person's frame.

    Args:
        bones: N bones from the top.
        relative_rad: [N - 1, 3] (lateral, flexion, axial) angles of each lower bone against the upper one.
        disc_height_mm: [N - 1] distances of the facing endplate centres; raised where the rims would otherwise touch.
        slip_mm: [N - 1, 2] forward and leftward displacement of each upper bone over the disc.
        anchor: index of the bone that is placed first.
        person_from_anchor: its pose.

    Returns:
        N poses; neighbours do not overlap.
    """
    poses: list[RigidTransform | None] = [None] * len(bones)
    poses[anchor] = person_from_anchor
    for joint in range(anchor - 1, -1, -1):
        rotation = poses[joint + 1].rotation @ euler_rotation(*relative_rad[joint]).T
        offset = _offset_mm(bones[joint], bones[joint + 1], rotation, poses[joint + 1].rotation, disc_height_mm[joint], slip_mm[joint])
        upper = RigidTransform(rotation, poses[joint + 1].translation_mm + offset)
        poses[joint] = _parted(bones[joint].solid, upper, bones[joint + 1].solid.moved(poses[joint + 1]))
    for joint in range(anchor, len(bones) - 1):
        rotation = poses[joint].rotation @ euler_rotation(*relative_rad[joint])
        offset = _offset_mm(bones[joint], bones[joint + 1], poses[joint].rotation, rotation, disc_height_mm[joint], slip_mm[joint])
        lower = RigidTransform(rotation, poses[joint].translation_mm - offset)
        poses[joint + 1] = _parted(bones[joint + 1].solid, lower, bones[joint].solid.moved(poses[joint]))
    return poses


def _offset_mm(
    upper: Bone, lower: Bone, upper_rotation: np.ndarray, lower_rotation: np.ndarray, height_mm: float, slip_mm: np.ndarray
) -> np.ndarray:
    """Position [3] of the upper bone's origin against the lower's, person's axes."""
    floor, ceiling = lower_rotation @ lower.superior.normal, -(upper_rotation @ upper.inferior.normal)
    up = (floor + ceiling) / np.linalg.norm(floor + ceiling)
    wedge = np.arccos(np.clip(floor @ ceiling, -1.0, 1.0))
    half_depth = (upper.inferior.half_depth_mm + lower.superior.half_depth_mm) / 2
    # Centres of hollow endplates lie further apart than their rims.
    height = max(height_mm, half_depth * np.sin(wedge) + _MIN_RIM_GAP_MM + _CONCAVITY_MM)
    disc = height * up + lower_rotation[:, :2] @ slip_mm
    return lower_rotation @ lower.superior.centre_mm + disc - upper_rotation @ upper.inferior.centre_mm


def _parted(solid: Solid, pose: RigidTransform, fixed: Solid) -> RigidTransform:
    """The pose moved away from a fixed neighbour until they no longer overlap."""
    away = np.sign(pose.translation_mm[2] - fixed.vertices_mm[:, 2].mean())
    for step in range(4 * _MAX_STEPS):
        contact = find_contact(solid.moved(pose), fixed, clearance_mm=_CLEARANCE_MM)
        if contact.depth_mm <= _TOLERATED_MM:
            break
        # Facets of both sides push against each other; distraction always parts them, only more slowly.
        distraction = np.array([0.0, 0.0, away * (0.15 if step < _MAX_STEPS else _DISTRACTION_MM)])
        pose = RigidTransform(pose.rotation, pose.translation_mm + 0.8 * contact.shift_mm + distraction)
    return pose
