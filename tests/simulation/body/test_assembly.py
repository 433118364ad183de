"""Scenes: bones inside the skin, ribs on both sides, closed surfaces."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from lumbar_ext.simulation.body.assembly import assemble_scene
from lumbar_ext.simulation.body.inclusions import _screws
from lumbar_ext.simulation.posture.posed_spine import sample_posture
from lumbar_ext.simulation.ranges import SimulationParameters


@pytest.fixture(scope="module")
def posed(skeleton):
    rng = np.random.default_rng(4)
    posture = sample_posture(rng, skeleton, direction="neutral")
    return posture, assemble_scene(rng, posture, SimulationParameters())


def test_skin_and_muscle_are_closed_and_nested(posed):
    trunk = posed[1].trunk
    for solid in (trunk.skin, trunk.muscle):
        assert trimesh.Trimesh(solid.vertices_mm, solid.triangles, process=False).is_watertight
    assert 0 < trunk.muscle.volume_mm3 < trunk.skin.volume_mm3


def test_vertebrae_lie_inside_the_skin(posed):
    posture, scene = posed
    skin = trimesh.Trimesh(scene.trunk.skin.vertices_mm, scene.trunk.skin.triangles)
    for pose, vertebra in zip(posture.world_from_vertebra, posture.skeleton.lumbar, strict=True):
        points = pose.apply(vertebra.solid.vertices_mm[::25])
        assert skin.contains(points).all()


def test_cores_are_smaller_than_their_bones(posed):
    for bone in posed[1].bones:
        assert 0 < bone.core.volume_mm3 < bone.outer.volume_mm3


def test_ribs_are_on_both_sides(posed):
    ribs = max(
        (bone.outer for bone in posed[1].bones if bone.level == 0), key=lambda solid: np.ptp(solid.vertices_mm[:, 1])
    )
    assert trimesh.Trimesh(ribs.vertices_mm, ribs.triangles, process=False).is_watertight
    assert ribs.vertices_mm[:, 1].min() < -60
    assert ribs.vertices_mm[:, 1].max() > 60


def test_metal_appears_when_it_must(skeleton):
    parameters = SimulationParameters()
    parameters = replace(parameters, appearance=replace(parameters.appearance, metal_share=1.0, screw_share=1.0))
    rng = np.random.default_rng(0)
    posture = sample_posture(rng, skeleton, direction="neutral")
    scene = assemble_scene(rng, posture, parameters)
    assert len([part for part in scene.inclusions if part.material == "metal"]) >= 7


@pytest.mark.parametrize("seed", range(12))
def test_screws_stay_in_the_four_vertebrae_of_a_sacralised_spine(skeleton, seed):
    posture = sample_posture(np.random.default_rng(0), skeleton, direction="neutral")
    four = replace(posture, skeleton=replace(skeleton, lumbar=skeleton.lumbar[:4]))
    rng = np.random.default_rng(seed)
    solids = _screws(rng, four)
    lowest = four.world_from_vertebra[3].translation_mm[2] - 40
    assert len(solids) in (6, 8)  # two or three screws and a rod on either side
    assert min(solid.vertices_mm[:, 2].min() for solid in solids) > lowest


def test_density_follows_the_level(posed):
    scene = posed[1]
    assert [bone.level for bone in scene.bones[:5]] == [1, 2, 3, 4, 5]
    assert {bone.level for bone in scene.bones[5:10]} == {0}
    assert [bone.level for bone in scene.bones[10:12]] == [6, 6]


def test_endplates_are_thicker_than_the_wall_of_the_body(skeleton):
    parameters = SimulationParameters()
    even = replace(parameters.bone, shell_variation=(0.0, 0.0), wall_mm=(0.3, 0.3), endplate_mm=(0.9, 0.9))
    rng = np.random.default_rng(1)
    posture = sample_posture(rng, skeleton, direction="neutral")
    bone = assemble_scene(rng, posture, replace(parameters, bone=even)).bones[2]
    thickness = np.linalg.norm(bone.outer.vertices_mm - bone.core.vertices_mm, axis=1)
    normals = posture.skeleton.lumbar[2].solid.normals
    front = posture.skeleton.lumbar[2].solid.vertices_mm[:, 0] > 0
    assert np.allclose(thickness[front & (np.abs(normals[:, 2]) > 0.999)], 0.9, atol=0.01)
    assert np.allclose(thickness[front & (np.abs(normals[:, 2]) < 0.05)], 0.3, atol=0.02)


def test_arms_and_table_appear_when_they_must(skeleton):
    parameters = SimulationParameters()
    trunk = replace(parameters.trunk, arms_share=1.0, table_share=1.0)
    rng = np.random.default_rng(0)
    posture = sample_posture(rng, skeleton, direction="neutral")
    scene = assemble_scene(rng, posture, replace(parameters, trunk=trunk))
    arms, table = scene.inclusions[:2], scene.inclusions[2:]
    assert len(table) == 3
    skin = scene.trunk.skin.vertices_mm
    to_person = posture.world_from_person.inverse()
    backmost = to_person.apply(skin)[:, 0].min()
    assert all(to_person.apply(part.solid.vertices_mm)[:, 0].max() <= backmost + 0.5 for part in table)
    for part in (*arms, *table):
        assert trimesh.Trimesh(part.solid.vertices_mm, part.solid.triangles, process=False).is_watertight
        assert part.solid.volume_mm3 > 0
