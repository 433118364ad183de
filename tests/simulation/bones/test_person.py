"""People with pathologies: what was asked for is measured on the posed bones, and no bones cross."""

import numpy as np
import pytest

from lumbar_ext.simulation.bones.contact import ContactBody, find_contact
from lumbar_ext.simulation.bones.endplate_planes import find_endplates
from lumbar_ext.simulation.bones.pathology import Pathology
from lumbar_ext.simulation.bones.person import posed_person
from lumbar_ext.simulation.posture.posed_spine import posed_landmarks_mm
from lumbar_ext.simulation.study_spec import StudySpec


def draw(real_population, pathology, seed=4, direction="neutral"):
    level = None if direction == "neutral" else 2
    return posed_person(real_population, StudySpec(seed, pathology=pathology, direction=direction, level=level))


def bones_and_poses(posture):
    solids = [*(v.solid for v in posture.skeleton.lumbar), posture.skeleton.sacrum]
    return solids, [*posture.world_from_vertebra, posture.world_from_sacrum]


def largest_overlap_mm(posture):
    solids, poses = bones_and_poses(posture)
    bodies = [ContactBody(solid) for solid in solids]
    return max(
        find_contact(bodies[i], bodies[i + 1], poses[i].inverse() @ poses[i + 1]).depth_mm
        for i in range(len(solids) - 1)
    )


@pytest.mark.parametrize(
    "pathology",
    [
        None,
        Pathology("wedge", "L1", 0.4),
        Pathology("crush", "L3", 0.35),
        Pathology("osteophytes", None, 8.0),
        Pathology("slip", "L4", 0.25),
        Pathology("scoliosis", None, 35.0),
        Pathology("fusion", "L2", 0.7),
        Pathology("sacralised"),
        Pathology("lumbarised"),
    ],
    ids=lambda p: p.kind if p else "none",
)
@pytest.mark.parametrize("direction", ["neutral", "left_bend"])
def test_no_two_bones_overlap(real_population, pathology, direction):
    assert largest_overlap_mm(draw(real_population, pathology, direction=direction)) == 0


@pytest.mark.parametrize(("kind", "levels"), [("sacralised", 4), ("lumbarised", 6)])
def test_transitional_people_have_four_or_six_lumbar_vertebrae(real_population, kind, levels):
    posture = draw(real_population, Pathology(kind))
    assert posture.skeleton.levels == ("L1", "L2", "L3", "L4", "L5", "L6")[:levels]
    assert len(posture.world_from_vertebra) == levels
    assert posed_landmarks_mm(posture, posture.skeleton.landmarks_mm).shape == (levels, 7, 3)
    heights = [pose.translation_mm[2] for pose in (*posture.world_from_vertebra, posture.world_from_sacrum)]
    assert np.all(np.diff(heights) < 0)


@pytest.mark.parametrize(("level", "slip"), [("L4", 0.05), ("L4", 0.3), ("L5", 0.2)])
def test_the_slip_is_the_one_asked_for(real_population, slip, level):
    posture = draw(real_population, Pathology("slip", level, slip))
    index = int(level[1]) - 1
    _, poses = bones_and_poses(posture)
    upper, *below = posture.skeleton.lumbar[index:]
    ceiling = find_endplates(upper.solid, upper.landmarks_mm).inferior.moved(poses[index])
    floor = find_endplates(below[0].solid, below[0].landmarks_mm).superior if below else posture.skeleton.sacral_plate
    forward = poses[index + 1].rotation @ floor.forward
    floor = floor.moved(poses[index + 1])
    upper_forward = poses[index].rotation @ find_endplates(upper.solid, upper.landmarks_mm).inferior.forward
    hind_edges = [ceiling.centre_mm - ceiling.behind_mm * upper_forward, floor.centre_mm - floor.behind_mm * forward]
    measured = (hind_edges[0] - hind_edges[1]) @ forward / (2 * floor.half_depth_mm)
    assert measured == pytest.approx(slip, abs=0.01)


@pytest.mark.parametrize(("cobb_deg", "seed"), [(15.0, 0), (40.0, 2)])
def test_the_cobb_angle_is_the_one_asked_for(real_population, cobb_deg, seed):
    posture = draw(real_population, Pathology("scoliosis", None, cobb_deg), seed)
    person_from_world = posture.world_from_person.inverse().rotation
    tilt = []
    for vertebra, pose in zip(posture.skeleton.lumbar, posture.world_from_vertebra, strict=True):
        plates = find_endplates(vertebra.solid, vertebra.landmarks_mm)
        for normal in (plates.superior.normal, -plates.inferior.normal):
            upward = person_from_world @ pose.rotation @ normal
            tilt.append(np.degrees(np.arctan2(upward[1], upward[2])))
    assert np.ptp(tilt) == pytest.approx(cobb_deg, abs=1.5)
    assert posture.cobb_deg == pytest.approx(np.ptp(tilt), abs=0.5)


def test_bodies_turn_to_the_convex_side_of_a_scoliosis(real_population):
    for seed in range(2):
        curved = draw(real_population, Pathology("scoliosis", None, 40.0), seed)
        origins = np.array([pose.translation_mm for pose in curved.world_from_vertebra])
        origins = curved.world_from_person.inverse().apply(origins)
        # The apex stands out to the convex side of the line from L1 to L5.
        share = (origins[:, 2] - origins[4, 2]) / (origins[0, 2] - origins[4, 2])
        aside = origins[:, 1] - (origins[4, 1] + share * (origins[0, 1] - origins[4, 1]))
        apex = int(np.argmax(np.abs(aside)))
        person_from_apex = curved.world_from_person.inverse().rotation @ curved.world_from_vertebra[apex].rotation
        ends = [curved.world_from_person.inverse().rotation @ curved.world_from_vertebra[i].rotation for i in (0, 4)]
        turn = np.arctan2(person_from_apex[1, 0], person_from_apex[0, 0])
        mean_of_ends = np.mean([np.arctan2(r[1, 0], r[0, 0]) for r in ends])
        assert np.sign(turn - mean_of_ends) == np.sign(aside[apex])


def test_fused_bodies_meet_and_keep_their_own_surfaces(real_population):
    posture = draw(real_population, Pathology("fusion", "L2", 0.7))
    upper, lower = posture.skeleton.lumbar[1:3]
    poses = posture.world_from_vertebra[1:3]
    gap = poses[0].apply(upper.landmarks_mm[1]) - poses[1].apply(lower.landmarks_mm[0])
    floor = poses[1].rotation @ find_endplates(lower.solid, lower.landmarks_mm).superior.normal
    assert 0.1 < gap @ floor < 1.2
    healthy = draw(real_population, None)
    for vertebra in (upper, lower):
        assert np.allclose(vertebra.landmarks_mm[0] + vertebra.landmarks_mm[1], 0, atol=1e-6)
        assert vertebra.solid.volume_mm3 > healthy.skeleton.lumbar[1].solid.volume_mm3


def test_a_fused_joint_does_not_bend(real_population):
    def relative(direction):
        poses = draw(real_population, Pathology("fusion", "L2", 0.7), direction=direction).world_from_vertebra
        return [np.degrees((poses[i].inverse() @ poses[i + 1]).euler_rad()[1]) for i in range(4)]

    flexed, extended = relative("flexion"), relative("extension")
    assert abs(extended[1] - flexed[1]) < 3.0
    assert extended[2] - flexed[2] > 3.0


def test_a_pathology_leaves_the_rest_of_the_person_as_it_was(real_population):
    healthy, ill = (draw(real_population, p) for p in (None, Pathology("biconcave", "L2", 0.3)))
    assert np.array_equal(healthy.world_from_person.to_matrix(), ill.world_from_person.to_matrix())
    assert np.allclose(healthy.skeleton.lumbar[4].solid.vertices_mm, ill.skeleton.lumbar[4].solid.vertices_mm)
