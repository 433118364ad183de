"""Scenes: bones inside the skin, ribs on both sides, closed surfaces."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from lumbar_ext.simulation.parameters import SimulationParameters
from lumbar_ext.simulation.posture import sample_posture
from lumbar_ext.simulation.scene import assemble_scene


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
    ribs = posed[1].bones[-1].outer
    assert trimesh.Trimesh(ribs.vertices_mm, ribs.triangles, process=False).is_watertight
    assert ribs.vertices_mm[:, 1].min() < -60
    assert ribs.vertices_mm[:, 1].max() > 60


def test_metal_appears_when_it_must(skeleton):
    parameters = SimulationParameters()
    parameters = replace(parameters, appearance=replace(parameters.appearance, metal_share=1.0, screw_share=1.0))
    rng = np.random.default_rng(0)
    posture = sample_posture(rng, skeleton, direction="neutral")
    assert len(assemble_scene(rng, posture, parameters).metal) >= 3
