"""Stacking: disc heights and slips where nothing touches, parting where something does."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.simulation.bones.contact import ContactBody, find_contact
from lumbar_ext.simulation.bones.endplate_planes import find_endplates
from lumbar_ext.simulation.posture.stacking import Bone, Joints, stack


@pytest.fixture
def bones(skeleton):
    made = []
    for vertebra in skeleton.lumbar[:3]:
        plates = find_endplates(vertebra.solid, vertebra.landmarks_mm)
        made.append(Bone(vertebra.solid, plates.superior, plates.inferior))
    return made


def build(bones, *, angles=0.0, height=9.0, slip=0.0, anchor=1):
    relative = np.zeros((2, 3))
    relative[:, 1] = angles
    pose = RigidTransform.from_euler(0.05, 0.1, -0.2, np.array([3.0, -4, 5]))
    joints = Joints(relative, np.full(2, height), np.tile([slip, 0.0], (2, 1)))
    return stack(bones, joints, anchor=anchor, person_from_anchor=pose)


def test_facing_endplates_are_a_disc_height_apart(bones):
    poses = build(bones).poses
    for upper, lower in zip((0, 1), (1, 2), strict=True):
        ceiling = poses[upper].apply(bones[upper].inferior.centre_mm)
        floor = poses[lower].apply(bones[lower].superior.centre_mm)
        assert np.isclose(np.linalg.norm(ceiling - floor), 9.0, atol=1e-6)


def test_relative_rotations_are_those_asked_for(bones):
    poses = build(bones, angles=0.15).poses
    for i in range(2):
        assert np.allclose((poses[i].inverse() @ poses[i + 1]).euler_rad(), [0, 0.15, 0], atol=1e-9)


@pytest.mark.parametrize("anchor", [0, 1, 2])
def test_the_anchor_does_not_change_the_stack(bones, anchor):
    relative = [(a.inverse() @ b).to_matrix() for a, b in pairwise(build(bones).poses)]
    others = build(bones, anchor=anchor).poses
    for expected, (a, b) in zip(relative, pairwise(others), strict=True):
        assert np.allclose((a.inverse() @ b).to_matrix(), expected, atol=1e-9)


def test_an_upper_vertebra_slips_forward_over_the_lower_one(bones):
    poses = build(bones, slip=4.0).poses
    offset = poses[1].rotation.T @ (poses[0].translation_mm - poses[1].translation_mm)
    assert np.isclose(offset[0], 4.0, atol=1e-6)


def test_rims_that_would_meet_are_parted(bones):
    stacked = build(bones, height=2.0, angles=0.35)
    bodies = [ContactBody(solid) for solid in stacked.solids]
    for i in range(2):
        upper_from_lower = stacked.poses[i].inverse() @ stacked.poses[i + 1]
        assert find_contact(bodies[i], bodies[i + 1], upper_from_lower).depth_mm == 0


def test_bones_that_do_not_settle_keep_mesh_and_place(bones):
    loose = [replace(bone, settles=False) for bone in bones]
    stacked = build(loose, height=2.0, angles=0.35)
    assert all(solid is bone.solid for solid, bone in zip(stacked.solids, loose, strict=True))
    assert np.allclose((stacked.poses[0].inverse() @ stacked.poses[1]).euler_rad(), [0, 0.35, 0], atol=1e-9)
