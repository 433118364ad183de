"""Worn motion segments: how many people, where, and what wear does to posed bones."""

from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.shape.population.variation import Geometry
from lumbar_ext.simulation.bones.contact import ContactBody, find_contact
from lumbar_ext.simulation.bones.fracture import facet_growth_field
from lumbar_ext.simulation.bones.person import posed_person
from lumbar_ext.simulation.bones.wear import JointWear, sample_wear
from lumbar_ext.simulation.parameter_file import read_parameters
from lumbar_ext.simulation.posture.posed_spine import sample_posture
from lumbar_ext.simulation.ranges import WearParameters
from lumbar_ext.simulation.study_spec import StudySpec

PLAIN = read_parameters("plain")
SEVERE = replace(PLAIN, wear=WearParameters(share=1.0, severity=(1.0, 1.0), joint_share=(1.0,) * 5))


def test_two_in_five_people_are_worn_and_the_lower_joints_most():
    people = [sample_wear(np.random.default_rng(seed), WearParameters(), 5) for seed in range(1500)]
    assert np.mean([bool(wear) for wear in people]) == pytest.approx(0.37, abs=0.04)
    joints = np.bincount([worn.joint for wear in people for worn in wear], minlength=5)
    assert joints[3] > 1.5 * joints[0] and joints[4] > 1.5 * joints[0]


@pytest.mark.parametrize("n_joints", [4, 6])
def test_spines_of_four_and_six_have_their_own_joints(n_joints):
    wear = sample_wear(np.random.default_rng(0), SEVERE.wear, n_joints)
    assert {worn.joint for worn in wear} <= set(range(n_joints))


def test_wear_keeps_to_its_ranges():
    parameters = WearParameters(share=1.0)
    worn = [joint for seed in range(200) for joint in sample_wear(np.random.default_rng(seed), parameters, 5)]
    assert all(parameters.disc[0] <= joint.disc <= parameters.disc[1] for joint in worn)
    assert max(joint.spur_mm for joint in worn) <= parameters.spur_mm[1]
    assert not any(joint.gas and joint.calcium for joint in worn)


def test_a_worn_disc_is_lower(skeleton):
    rng = np.random.default_rng
    spec = StudySpec(0, direction="neutral", parameters=PLAIN)
    wear = (JointWear(3, 0.4, 0.0, 1.0, 0.0, False, 0.0),)
    heights = []
    for bones in (skeleton, replace(skeleton, wear=wear)):
        posture = sample_posture(rng(3), bones, spec)
        upper, lower = posture.world_from_vertebra[3:5]
        ceiling, floor = (
            pose.apply(v.landmarks_mm[i])
            for pose, v, i in zip((upper, lower), posture.skeleton.lumbar[3:5], (1, 0), strict=True)
        )
        heights.append(np.linalg.norm(ceiling - floor))
    assert heights[1] < 0.75 * heights[0]


def test_facets_grow_away_from_their_joint(real_population):
    subject = real_population.sample(np.random.default_rng(0), "train")
    g = Geometry(subject.vertices_mm[2].astype(float), subject.landmarks_mm[2])
    above, below = facet_growth_field(g, 2.0, 1), facet_growth_field(g, 2.0, -1)
    assert 1.2 < np.linalg.norm(above, axis=1).max() < 3.0 and 1.2 < np.linalg.norm(below, axis=1).max() < 3.0
    strong = np.linalg.norm(above, axis=1) > 0.8
    assert (above[strong, 1] * g.y[strong] > 0).all()
    assert (below[:, 0] <= 0).all()
    in_front = g.x > g.wall_x + 6
    assert np.abs(np.concatenate([above[in_front], below[in_front]])).max() < 0.1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_worn_people_stand_without_bones_in_each_other(real_population, seed):
    posture = posed_person(real_population, StudySpec(seed, direction="neutral", parameters=SEVERE))
    assert len(posture.skeleton.wear) == 5
    solids = [*(v.solid for v in posture.skeleton.lumbar), posture.skeleton.sacrum]
    poses = [*posture.world_from_vertebra, posture.world_from_sacrum]
    bodies = [ContactBody(solid) for solid in solids]
    depths = [find_contact(bodies[i], bodies[i + 1], poses[i].inverse() @ poses[i + 1]).depth_mm for i in range(5)]
    assert max(depths) < 0.6


def test_plain_people_are_not_worn(real_population):
    for seed in range(6):
        assert posed_person(real_population, StudySpec(seed, direction="neutral", parameters=PLAIN)).skeleton.wear == ()
