"""Thoracic vertebrae and pelves made from one real set of bones."""

import numpy as np
import pytest
import trimesh

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.solid import Surface
from lumbar_ext.simulation.bones.contact import ContactBody, find_contact
from lumbar_ext.simulation.bones.facet_room import ArticularProcesses, with_room


def test_t12_follows_the_first_lumbar_vertebra(real_population):
    mean = np.asarray(real_population.atlas.means_mm[0], dtype=float)
    one, wide = (real_population.background.thoracic(mean * [1, factor, 1])[0].solid for factor in (1.0, 1.1))
    widths = [np.ptp(solid.vertices_mm[solid.vertices_mm[:, 0] > -10, 1]) for solid in (one, wide)]
    assert widths[1] / widths[0] == pytest.approx(1.1, abs=0.02)


def test_thoracic_endplates_face_up_and_down(real_population):
    for vertebra in real_population.background.thoracic(real_population.atlas.means_mm[0]):
        assert vertebra.superior.normal[2] > 0.9
        assert vertebra.inferior.normal[2] < -0.9
        assert 18 < vertebra.superior.centre_mm[2] - vertebra.inferior.centre_mm[2] < 30


def test_pelves_are_as_wide_as_those_of_adults(real_population):
    breadths = {
        sex: [
            np.ptp(real_population.background.pelvis(np.random.default_rng(s), 1.0, sex).hips.vertices_mm[:, 1])
            for s in range(40)
        ]
        for sex in ("female", "male")
    }
    assert np.mean(breadths["female"]) == pytest.approx(272, abs=8)
    assert np.mean(breadths["male"]) == pytest.approx(279, abs=8)


def test_pelves_differ(real_population):
    hips = [real_population.background.pelvis(np.random.default_rng(s), 1.0, "male").hips.vertices_mm for s in range(2)]
    assert np.abs(hips[0] - hips[1]).max() > 3


def test_articular_processes_make_room_outwards():
    block = trimesh.creation.icosphere(subdivisions=4, radius=10.0)
    block = Surface(block.vertices * [1, 1, 1.5] + [-33.0, 24.0, -8.0], block.faces)
    ball = trimesh.creation.icosphere(subdivisions=4, radius=8.0)
    other = ContactBody(Surface(ball.vertices, ball.faces))
    pose = RigidTransform(np.eye(3), np.array([-35.0, 9.0, -8.0]))
    moved = with_room(block, ArticularProcesses.of_sacrum(block.vertices_mm), other, pose)
    assert find_contact(ContactBody(block), other, pose).depth_mm > 2.0
    assert find_contact(ContactBody(moved), other, pose).depth_mm <= 1.0
    assert (moved.vertices_mm - block.vertices_mm)[:, 1].min() >= 0
