"""Stacking: disc heights and slips where nothing touches, parting where something does."""

from itertools import pairwise

import numpy as np
import pytest

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.simulation.contact import find_contact
from lumbar_ext.simulation.endplates import find_endplates
from lumbar_ext.simulation.stacking import Bone, stack


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
    slips = np.tile([slip, 0.0], (2, 1))
    return stack(bones, relative, np.full(2, height), slips, anchor=anchor, person_from_anchor=pose)


def test_facing_endplates_are_a_disc_height_apart(bones):
    poses = build(bones)
    for upper, lower in zip((0, 1), (1, 2), strict=True):
        ceiling = poses[upper].apply(bones[upper].inferior.centre_mm)
        floor = poses[lower].apply(bones[lower].superior.centre_mm)
        assert np.isclose(np.linalg.norm(ceiling - floor), 9.0, atol=1e-6)


def test_relative_rotations_are_those_asked_for(bones):
    poses = build(bones, angles=0.15)
    for i in range(2):
        assert np.allclose((poses[i].inverse() @ poses[i + 1]).euler_rad(), [0, 0.15, 0], atol=1e-9)


@pytest.mark.parametrize("anchor", [0, 1, 2])
def test_the_anchor_does_not_change_the_stack(bones, anchor):
    relative = [(a.inverse() @ b).to_matrix() for a, b in pairwise(build(bones))]
    others = build(bones, anchor=anchor)
    for expected, (a, b) in zip(relative, pairwise(others), strict=True):
        assert np.allclose((a.inverse() @ b).to_matrix(), expected, atol=1e-9)


def test_an_upper_vertebra_slips_forward_over_the_lower_one(bones):
    poses = build(bones, slip=4.0)
    offset = poses[1].rotation.T @ (poses[0].translation_mm - poses[1].translation_mm)
    assert np.isclose(offset[0], 4.0, atol=1e-6)


def test_rims_that_would_meet_are_parted(bones):
    poses = build(bones, height=2.0, angles=0.35)
    for i in range(2):
        assert find_contact(bones[i].body, bones[i + 1].body, poses[i].inverse() @ poses[i + 1]).depth_mm == 0
