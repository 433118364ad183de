"""Stacks bones on discs: rotations are given, positions follow from disc heights, overlaps are pushed apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lumbar_ext.geometry import RigidTransform, euler_rotation
from lumbar_ext.simulation.contact import ContactBody, find_contact
from lumbar_ext.simulation.endplates import Endplate
from lumbar_ext.simulation.solid import Solid

_MIN_RIM_GAP_MM = 1.0
_CONCAVITY_MM = 1.0
_CLEARANCE_MM = 0.3
_TOLERATED_MM = 0.25
# Contact is settled by small moves: bones shift along the contact normal, and facets that jam open the disc behind.
_SHIFT_SHARE = 0.7
_QUICK_STRIDE = 4
_OPENING_RAD_PER_MM = 0.1 / 40.0
_GENTLE_STEPS = 25
_MAX_STEPS = 60
_DISTRACTION_MM = 0.5


@dataclass(frozen=True)
class Bone:
    """A bone to stack.

    Args:
        solid: mesh in its own frame.
        superior, inferior: the endplates it meets its neighbours with, same frame.
        settles: whether it is parted from a neighbour that it overlaps.
    """

    solid: Solid
    superior: Endplate
    inferior: Endplate
    settles: bool = True

    @cached_property
    def body(self) -> ContactBody:
        """The bone prepared for contact queries."""
        return ContactBody(self.solid)


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
        upper, lower = bones[joint], bones[joint + 1]
        rotation = poses[joint + 1].rotation @ euler_rotation(*relative_rad[joint]).T
        offset = _offset_mm(upper, lower, rotation, poses[joint + 1].rotation, disc_height_mm[joint], slip_mm[joint])
        start = RigidTransform(rotation, poses[joint + 1].translation_mm + offset)
        poses[joint] = poses[joint + 1] @ _settled(lower, upper, poses[joint + 1].inverse() @ start, above=True)
    for joint in range(anchor, len(bones) - 1):
        upper, lower = bones[joint], bones[joint + 1]
        rotation = poses[joint].rotation @ euler_rotation(*relative_rad[joint])
        offset = _offset_mm(upper, lower, poses[joint].rotation, rotation, disc_height_mm[joint], slip_mm[joint])
        start = RigidTransform(rotation, poses[joint].translation_mm - offset)
        poses[joint + 1] = poses[joint] @ _settled(upper, lower, poses[joint].inverse() @ start, above=False)
    return poses


def _offset_mm(
    upper: Bone,
    lower: Bone,
    upper_rotation: np.ndarray,
    lower_rotation: np.ndarray,
    height_mm: float,
    slip_mm: np.ndarray,
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


def _settled(fixed: Bone, moving: Bone, fixed_from_moving: RigidTransform, *, above: bool) -> RigidTransform:
    """The pose of a moving bone, changed until it no longer overlaps its fixed neighbour.

    Args:
        fixed, moving: the neighbours.
        fixed_from_moving: initial pose.
        above: whether the moving bone is the upper one.
    """
    pose = fixed_from_moving
    if not (fixed.settles and moving.settles):
        return pose
    side = 1.0 if above else -1.0
    pivot = (fixed.superior if above else fixed.inferior).centre_mm
    for step in range(_MAX_STEPS):
        contact = find_contact(fixed.body, moving.body, pose, clearance_mm=_CLEARANCE_MM, stride=_QUICK_STRIDE)
        if contact.depth_mm <= _TOLERATED_MM:
            contact = find_contact(fixed.body, moving.body, pose, clearance_mm=_CLEARANCE_MM)
        if contact.depth_mm <= _TOLERATED_MM:
            break
        # The contact direction moves the fixed bone; here the other one goes the opposite way.
        shift = -_SHIFT_SHARE * contact.depth_mm * contact.direction
        if step >= _GENTLE_STEPS or not contact.direction.any():
            shift = shift + np.array([0.0, 0.0, side * _DISTRACTION_MM])
        opening = euler_rotation(0.0, side * _OPENING_RAD_PER_MM * contact.depth_mm, 0.0)
        turned = RigidTransform(opening, pivot - opening @ pivot + shift)
        pose = turned @ pose
    return pose
