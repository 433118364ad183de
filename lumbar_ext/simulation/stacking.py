"""Stacks bones on discs: rotations are given, positions follow from disc heights, and joints that jam give way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from lumbar_ext.geometry import RigidTransform, euler_rotation
from lumbar_ext.simulation.conformity import fitted_pair
from lumbar_ext.simulation.contact import ContactBody, find_contact
from lumbar_ext.simulation.endplates import Endplate
from lumbar_ext.simulation.solid import Solid

_MIN_RIM_GAP_MM = 1.0
_CONCAVITY_MM = 1.0
# Overlaps down to these are removed by moving the bones, what is left by fitting their surfaces; the first that works.
_CONFORMING_MM = (2.5, 1.5, 0.7, 0.0)
# Bones move in small steps: a jammed joint opens the disc, and gives way along the contact normal.
_SHIFT_SHARE = 0.4
_OPENING_RAD_PER_MM = 0.01
_QUICK_STRIDE = 3
_MAX_STEPS = 60
_DISTRACTION_MM = 0.25


@dataclass(frozen=True)
class Bone:
    """A bone to stack.

    Args:
        solid: mesh in its own frame.
        superior, inferior: the endplates it meets its neighbours with, same frame.
        settles: whether it may not overlap its neighbours.
    """

    solid: Solid
    superior: Endplate
    inferior: Endplate
    settles: bool = True

    @cached_property
    def body(self) -> ContactBody:
        """The bone prepared for contact queries."""
        return ContactBody(self.solid)


@dataclass(frozen=True)
class Stack:
    """A stack of bones from the top: their poses in the person's frame, and their meshes fitted to each other."""

    poses: tuple[RigidTransform, ...]
    solids: tuple[Solid, ...]


@dataclass(frozen=True)
class Joints:
    """What lies between N bones.

    Args:
        relative_rad: [N - 1, 3] (lateral, flexion, axial) angles of each lower bone against the upper one.
        disc_height_mm: [N - 1] distances of the facing endplate centres; raised where the rims would otherwise touch.
        slip_mm: [N - 1, 2] forward and leftward displacement of each upper bone over the disc.
    """

    relative_rad: np.ndarray
    disc_height_mm: np.ndarray
    slip_mm: np.ndarray


def stack(bones: list[Bone], joints: Joints, *, anchor: int, person_from_anchor: RigidTransform) -> Stack:
    """Places N bones from an anchor up and down.

    Args:
        bones: from the top.
        joints: between them.
        anchor: index of the bone that is placed first.
        person_from_anchor: its pose.
    """
    bones = list(bones)
    poses: list[RigidTransform] = [person_from_anchor] * len(bones)
    for joint in (*range(anchor - 1, -1, -1), *range(anchor, len(bones) - 1)):
        upper_from_lower = _settled(bones, joint, _resting(bones, joints, joint))
        if joint < anchor:
            poses[joint] = poses[joint + 1] @ upper_from_lower.inverse()
        else:
            poses[joint + 1] = poses[joint] @ upper_from_lower
    return Stack(tuple(poses), tuple(bone.solid for bone in bones))


def _resting(bones: list[Bone], joints: Joints, joint: int) -> RigidTransform:
    """Pose of the lower bone in the frame of the upper one, a disc between them."""
    upper, lower = bones[joint], bones[joint + 1]
    rotation = euler_rotation(*joints.relative_rad[joint])
    ceiling, floor = -upper.inferior.normal, rotation @ lower.superior.normal
    up = (floor + ceiling) / np.linalg.norm(floor + ceiling)
    wedge = np.arccos(np.clip(floor @ ceiling, -1.0, 1.0))
    half_depth = (upper.inferior.half_depth_mm + lower.superior.half_depth_mm) / 2
    # Centres of hollow endplates lie further apart than their rims.
    height = max(joints.disc_height_mm[joint], half_depth * np.sin(wedge) + _MIN_RIM_GAP_MM + _CONCAVITY_MM)
    disc = height * up + rotation[:, :2] @ joints.slip_mm[joint]
    return RigidTransform(rotation, upper.inferior.centre_mm - disc - rotation @ lower.superior.centre_mm)


def _settled(bones: list[Bone], joint: int, upper_from_lower: RigidTransform) -> RigidTransform:
    """The pose of the lower bone in the upper one's frame, changed until they fit; `bones` may get new meshes."""
    upper, lower = bones[joint], bones[joint + 1]
    if not (upper.settles and lower.settles):
        return upper_from_lower
    pose = upper_from_lower
    for allowed_mm in _CONFORMING_MM:
        pose = _parted(upper, lower, pose, allowed_mm)
        pair = fitted_pair(upper.solid, lower.solid, pose)
        if pair is not None:
            bones[joint], bones[joint + 1] = replace(upper, solid=pair.first), replace(lower, solid=pair.second)
            break
    return pose


def _parted(upper: Bone, lower: Bone, pose: RigidTransform, allowed_mm: float) -> RigidTransform:
    """The pose of the lower bone moved down and out of the upper one until they overlap by no more than is allowed."""
    pivot = upper.inferior.centre_mm
    stride = _QUICK_STRIDE if allowed_mm > 0 else 1
    for _ in range(_MAX_STEPS):
        contact = find_contact(upper.body, lower.body, pose, stride=stride)
        excess_mm = contact.depth_mm - allowed_mm
        if excess_mm <= 0:
            break
        # The contact direction moves the upper bone; here the lower one goes the opposite way.
        shift = -_SHIFT_SHARE * excess_mm * contact.direction - np.array([0.0, 0.0, _DISTRACTION_MM])
        opening = euler_rotation(0.0, -_OPENING_RAD_PER_MM * excess_mm, 0.0)
        pose = RigidTransform(opening, pivot - opening @ pivot + shift) @ pose
    return pose
