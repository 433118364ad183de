"""Stacks bones on discs: rotations are given, positions follow from disc heights, and joints that jam give way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from lumbar_ext.geometry import RigidTransform, euler_rotation
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.simulation.bones.contact import ContactBody, find_contact
from lumbar_ext.simulation.bones.endplate_planes import EndplatePlane, slip_fraction
from lumbar_ext.simulation.bones.facet_room import ArticularProcesses, with_room
from lumbar_ext.simulation.posture.conformity import Compliance, fitted_pair

_MIN_RIM_GAP_MM = 1.0  # between facing rims at the narrow side of a wedged disc
_CONCAVITY_MM = 1.0  # of two plates' centres, which stand farther apart than their planes
# Overlaps beyond these shares of what both surfaces may change are removed by moving the bones, what is left by fitting
# the surfaces; the first that works.
_CONFORMING = (0.75, 0.5, 0.25, 0.0)
# Bones move in small steps: a jammed joint opens the disc, and gives way along the contact normal.
_SHIFT_SHARE = 0.4
_OPENING_RAD_PER_MM = 0.01  # of facet overlap, by which a joint flexes
_QUICK_STRIDE = 3  # vertices: a first look at every third is enough where some overlap is allowed
_MAX_STEPS = 60  # before what overlaps is left
_DISTRACTION_MM = 0.25  # a step, along the disc

BACKGROUND_COMPLIANCE = Compliance(weight=3.0, max_change_mm=5.0)
"""Of T12 and the sacrum: one real bone must fit every subject, and it is no part of the truth, so it gives way first."""


_EQUAL = Compliance()
# Facets that were held out of place for years.
_REMODELLED = Compliance(max_change_mm=4.0)


@dataclass(frozen=True)
class Bone:
    """A bone to stack.

    Args:
        solid: mesh in its own frame.
        superior, inferior: the endplates it meets its neighbours with, same frame.
        settles: whether it may not overlap its neighbours.
        compliance: how readily its surface gives way to them.
        processes: articular processes that are moved aside for the bone above, of a sacrum.
    """

    solid: Surface
    superior: EndplatePlane
    inferior: EndplatePlane
    settles: bool = True
    compliance: Compliance = _EQUAL
    processes: ArticularProcesses | None = None

    @cached_property
    def body(self) -> ContactBody:
        """The bone prepared for contact queries."""
        return ContactBody(self.solid)


@dataclass(frozen=True)
class Stack:
    """A stack of bones from the top: their poses in the person's frame, and their meshes fitted to each other."""

    poses: tuple[RigidTransform, ...]
    solids: tuple[Surface, ...]


@dataclass(frozen=True)
class Joints:
    """What lies between N bones.

    Args:
        relative_rad: [N - 1, 3] (lateral, flexion, axial) angles of each lower bone against the upper one.
        disc_height_mm: [N - 1] distances of the facing endplate centres; raised where the rims would otherwise touch.
        slip_mm: [N - 1, 2] forward and leftward displacement of each upper bone over the disc.
        slip_fraction: [N - 1] `endplates.slip_fraction` that is kept whatever the facets say, NaN where they decide.
    """

    relative_rad: np.ndarray
    disc_height_mm: np.ndarray
    slip_mm: np.ndarray
    slip_fraction: np.ndarray | None = None

    def held_slip(self, joint: int) -> float | None:
        """The slip that a joint keeps, None where its facets decide."""
        if self.slip_fraction is None or not np.isfinite(self.slip_fraction[joint]):
            return None
        return float(self.slip_fraction[joint])


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
        upper_from_lower = _settled(
            bones, joint, _resting(bones, joints, joint), held=joints.held_slip(joint) is not None
        )
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
    pose = RigidTransform(rotation, upper.inferior.centre_mm - disc - rotation @ lower.superior.centre_mm)
    asked = joints.held_slip(joint)
    if asked is None:
        return pose
    missing = asked - slip_fraction(upper.inferior, lower.superior, pose)
    # The lower bone goes back along its own endplate for the upper one to stand forward.
    back = 2 * lower.superior.half_depth_mm * missing * lower.superior.forward
    return RigidTransform(rotation, pose.translation_mm - rotation @ back)


def _settled(bones: list[Bone], joint: int, upper_from_lower: RigidTransform, *, held: bool) -> RigidTransform:
    """The pose of the lower bone in the upper one's frame, changed until they fit; `bones` may get new meshes.

    A held joint only opens along the normal of the lower endplate.
    """
    upper, lower = bones[joint], bones[joint + 1]
    if not (upper.settles and lower.settles):
        return upper_from_lower
    pose = upper_from_lower
    if lower.processes is not None:
        lower = replace(lower, solid=with_room(lower.solid, lower.processes, upper.body, pose.inverse()))
        bones[joint + 1] = lower
    compliances = (_REMODELLED, _REMODELLED) if held else (upper.compliance, lower.compliance)
    axis = upper_from_lower.rotation @ lower.superior.normal if held else None
    give_mm = sum(compliance.max_change_mm for compliance in compliances)
    for share in _CONFORMING:
        pose = _parted(upper, lower, pose, share * give_mm, axis)
        pair = fitted_pair(upper.solid, lower.solid, pose, compliances)
        if pair is not None:
            bones[joint], bones[joint + 1] = replace(upper, solid=pair.first), replace(lower, solid=pair.second)
            break
    return pose


def _parted(
    upper: Bone, lower: Bone, pose: RigidTransform, allowed_mm: float, axis: np.ndarray | None
) -> RigidTransform:
    """The pose of the lower bone moved down and out of the upper one until they overlap by no more than is allowed.

    Args:
        upper, lower: the bones.
        pose: of the lower one in the frame of the upper one.
        allowed_mm: overlap that may stay.
        axis: [3] of a joint that may only open along it.
    """
    pivot = upper.inferior.centre_mm
    stride = _QUICK_STRIDE if allowed_mm > 0 else 1
    for _ in range(_MAX_STEPS):
        contact = find_contact(upper.body, lower.body, pose, stride=stride)
        excess_mm = contact.depth_mm - allowed_mm
        if excess_mm <= 0:
            break
        if axis is not None:
            opened = pose.translation_mm - (_SHIFT_SHARE * excess_mm + _DISTRACTION_MM) * axis
            pose = RigidTransform(pose.rotation, opened)
            continue
        # The contact direction moves the upper bone; here the lower one goes the opposite way.
        shift = -_SHIFT_SHARE * excess_mm * contact.direction - np.array([0.0, 0.0, _DISTRACTION_MM])
        opening = euler_rotation(0.0, -_OPENING_RAD_PER_MM * excess_mm, 0.0)
        pose = RigidTransform(opening, pivot - opening @ pivot + shift) @ pose
    return pose
