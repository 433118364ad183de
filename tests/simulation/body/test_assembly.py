"""Scenes: bones inside the skin, ribs on both sides, closed surfaces."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from lumbar_ext.simulation.body.assembly import assemble_scene
from lumbar_ext.simulation.body.implants import _screws, disc_contents, sample_implants
from lumbar_ext.simulation.bones.wear import JointWear
from lumbar_ext.simulation.posture.posed_spine import sample_posture
from lumbar_ext.simulation.ranges import AppearanceParameters, SimulationParameters
from lumbar_ext.simulation.study_spec import StudySpec

NEUTRAL = StudySpec(0, direction="neutral")
NO_METAL = replace(AppearanceParameters(), metal_share=0.0, screw_share=0.0, cage_share=0.0, cement_share=0.0)
ALONE = {"arms_share": 0.0, "hanging_arms_share": 0.0, "breast_share": 0.0, "table_share": 0.0, "frame_share": 0.0}


@pytest.fixture(scope="module")
def posed(skeleton):
    rng = np.random.default_rng(4)
    posture = sample_posture(rng, skeleton, NEUTRAL)
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
    posture = sample_posture(rng, skeleton, NEUTRAL)
    scene = assemble_scene(rng, posture, parameters)
    assert len([part for part in scene.inclusions if part.material == "metal"]) >= 7


@pytest.mark.parametrize("seed", range(12))
def test_implants_stay_in_the_four_vertebrae_of_a_sacralised_spine(skeleton, seed):
    posture = sample_posture(np.random.default_rng(0), skeleton, NEUTRAL)
    four = replace(
        posture,
        skeleton=replace(skeleton, lumbar=skeleton.lumbar[:4]),
        world_from_vertebra=posture.world_from_vertebra[:4],
    )
    appearance = replace(NO_METAL, screw_share=1.0, cement_share=1.0)
    parts = sample_implants(np.random.default_rng(seed), four, appearance)
    lowest = four.world_from_vertebra[3].translation_mm[2] - 40
    assert min(part.solid.vertices_mm[:, 2].min() for part in parts) > lowest
    assert {"metal", "bone"} == {part.material for part in parts}


def test_screws_are_joined_by_a_rod_on_either_side(skeleton):
    posture = sample_posture(np.random.default_rng(0), skeleton, NEUTRAL)
    solids = _screws(np.random.default_rng(1), posture, range(1, 4))
    assert len(solids) == 2 * (3 + 1)
    for solid in solids:
        assert trimesh.Trimesh(solid.vertices_mm, solid.triangles, process=False).is_watertight


def test_cages_lie_in_discs_and_cement_in_bodies(skeleton):
    posture = sample_posture(np.random.default_rng(0), skeleton, NEUTRAL)
    centres = np.array([pose.translation_mm for pose in posture.world_from_vertebra])
    for seed in range(8):
        (cage,) = {
            tuple(np.mean([part.solid.vertices_mm.mean(axis=0) for part in parts], axis=0))
            for parts in [sample_implants(np.random.default_rng(seed), posture, replace(NO_METAL, cage_share=1.0))]
        }
        steps = np.linalg.norm(centres[1:] - centres[:-1], axis=1)
        nearest = np.linalg.norm(centres - cage, axis=1).min()
        assert 0.25 * steps.min() < nearest < 0.8 * steps.max()
        clouds = sample_implants(np.random.default_rng(seed), posture, replace(NO_METAL, cement_share=1.0))
        for cloud in clouds:
            middle = cloud.solid.vertices_mm.mean(axis=0)
            assert np.linalg.norm(centres - middle, axis=1).min() < 20


def test_density_follows_the_level(posed):
    scene = posed[1]
    assert [bone.level for bone in scene.bones[:5]] == [1, 2, 3, 4, 5]
    assert {bone.level for bone in scene.bones[5:10]} == {0}
    assert [bone.level for bone in scene.bones[10:12]] == [6, 6]


def test_endplates_are_thicker_than_the_wall_of_the_body(skeleton):
    parameters = SimulationParameters()
    even = replace(parameters.bone, shell_variation=(0.0, 0.0), wall_mm=(0.3, 0.3), endplate_mm=(0.9, 0.9))
    rng = np.random.default_rng(1)
    posture = sample_posture(rng, skeleton, NEUTRAL)
    bone = assemble_scene(rng, posture, replace(parameters, bone=even)).bones[2]
    thickness = np.linalg.norm(bone.outer.vertices_mm - bone.core.vertices_mm, axis=1)
    normals = posture.skeleton.lumbar[2].solid.normals
    front = posture.skeleton.lumbar[2].solid.vertices_mm[:, 0] > 0
    assert np.allclose(thickness[front & (np.abs(normals[:, 2]) > 0.999)], 0.9, atol=0.01)
    assert np.allclose(thickness[front & (np.abs(normals[:, 2]) < 0.05)], 0.3, atol=0.02)


def scene_with(skeleton, **shares):
    """A posture, and a scene with nothing besides the trunk but what has a share."""
    parameters = SimulationParameters()
    trunk = replace(parameters.trunk, **ALONE | shares)
    rng = np.random.default_rng(0)
    posture = sample_posture(rng, skeleton, NEUTRAL)
    return posture, assemble_scene(rng, posture, replace(parameters, trunk=trunk, appearance=NO_METAL))


def test_nothing_is_besides_the_trunk_without_a_share(skeleton):
    assert scene_with(skeleton)[1].inclusions == ()


def test_arms_and_table_appear_when_they_must(skeleton):
    posture, scene = scene_with(skeleton, arms_share=1.0, table_share=1.0)
    arms, table = scene.inclusions[:2], scene.inclusions[2:]
    assert len(table) == 3
    skin = scene.trunk.skin.vertices_mm
    to_person = posture.world_from_person.inverse()
    backmost = to_person.apply(skin)[:, 0].min()
    assert all(to_person.apply(part.solid.vertices_mm)[:, 0].max() <= backmost + 0.5 for part in table)
    for part in (*arms, *table):
        assert trimesh.Trimesh(part.solid.vertices_mm, part.solid.triangles, process=False).is_watertight
        assert part.solid.volume_mm3 > 0


def test_hanging_arms_lie_beside_the_trunk_at_the_height_of_the_spine(skeleton):
    posture, scene = scene_with(skeleton, hanging_arms_share=1.0)
    to_person = posture.world_from_person.inverse()
    skin = to_person.apply(scene.trunk.skin.vertices_mm)
    waist = np.abs(skin[np.abs(skin[:, 2]) < 60, 1]).max()
    for part in scene.inclusions:
        arm = to_person.apply(part.solid.vertices_mm)
        assert trimesh.Trimesh(part.solid.vertices_mm, part.solid.triangles, process=False).is_watertight
        assert np.abs(arm[:, 1]).min() > 0.6 * waist
    heights = np.concatenate([to_person.apply(part.solid.vertices_mm)[:, 2] for part in scene.inclusions])
    assert heights.min() < 40 and heights.max() > 250


def test_breasts_are_before_the_chest_and_bars_behind_the_back(skeleton):
    posture, scene = scene_with(skeleton, breast_share=2.0, frame_share=1.0)
    to_person = posture.world_from_person.inverse()
    skin = to_person.apply(scene.trunk.skin.vertices_mm)
    for part in scene.inclusions:
        x = to_person.apply(part.solid.vertices_mm)[:, 0]
        if part.material == "metal":
            assert x.max() < skin[:, 0].min() + 25
        else:
            assert x.mean() > np.median(skin[:, 0])
    assert {part.material for part in scene.inclusions} == {"fat", "soft", "metal"}


def test_what_fills_worn_discs_lies_between_the_vertebrae(skeleton):
    wear = (JointWear(1, 0.5, 0.0, 1.0, 0.0, True, 0.0), JointWear(4, 0.5, 0.0, 1.0, 0.0, False, 0.4))
    posture = sample_posture(np.random.default_rng(0), replace(skeleton, wear=wear), NEUTRAL)
    gas, calcium = disc_contents(np.random.default_rng(0), posture)
    assert (gas.density, gas.replaces, calcium.material, calcium.density) == (0.0, True, "bone", 0.4)
    upper, lower = (posture.world_from_vertebra[i].translation_mm for i in (1, 2))
    assert np.linalg.norm(gas.solid.vertices_mm.mean(axis=0) - (upper + lower) / 2) < 10
    sacrum = posture.world_from_sacrum.translation_mm
    assert np.linalg.norm(calcium.solid.vertices_mm.mean(axis=0) - sacrum) < 15


def test_sclerosis_thickens_the_facing_endplates_only(skeleton):
    parameters = SimulationParameters()
    even = replace(parameters.bone, shell_variation=(0.0, 0.0), wall_mm=(0.3, 0.3), endplate_mm=(0.8, 0.8))
    wear = (JointWear(1, 1.0, 0.0, 3.0, 0.0, False, 0.0),)
    rng = np.random.default_rng(1)
    posture = sample_posture(rng, replace(skeleton, wear=wear), NEUTRAL)
    bones = assemble_scene(rng, posture, replace(parameters, bone=even)).bones

    def thickness(level, up):
        solid = posture.skeleton.lumbar[level].solid
        flat = (solid.vertices_mm[:, 0] > 0) & (up * solid.normals[:, 2] > 0.999)
        return np.linalg.norm(bones[level].outer.vertices_mm - bones[level].core.vertices_mm, axis=1)[flat].mean()

    assert np.allclose([thickness(1, -1), thickness(2, 1)], 2.4, atol=0.03)
    assert np.allclose([thickness(1, 1), thickness(2, -1)], 0.8, atol=0.03)
