"""Thoracic vertebrae and pelves made from one real set of bones."""

import numpy as np
import pytest
import trimesh

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.simulation.bones.contact import ContactBody, find_contact
from lumbar_ext.simulation.bones.facet_room import ArticularProcesses, with_room


def test_t12_follows_the_first_lumbar_vertebra(real_population):
    mean = np.asarray(real_population.atlas.means_mm[0], dtype=float)
    one, wide = (
        real_population.background.thoracic(np.random.default_rng(0), mean * [1, factor, 1])[0].solid
        for factor in (1.0, 1.1)
    )
    widths = [np.ptp(solid.vertices_mm[solid.vertices_mm[:, 0] > -10, 1]) for solid in (one, wide)]
    assert widths[1] / widths[0] == pytest.approx(1.1, abs=0.02)


def test_thoracic_endplates_face_up_and_down(real_population):
    for vertebra in real_population.background.thoracic(np.random.default_rng(0), real_population.atlas.means_mm[0]):
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


ACETABULA_MM = np.array([[72.0, 86.0, -82.0], [72.0, -86.0, -82.0]])


def incidence_deg(hips, sockets):
    """Between the normal of the S1 endplate (Z) and the line from its centre to the axis of the hip joints."""
    axis = np.mean([hips.vertices_mm[socket].mean(axis=0) for socket in sockets], axis=0)
    return np.degrees(np.arctan2(axis[0], -axis[2]))


def test_incidence_is_that_of_adults(real_population):
    """55 +- 11 deg, 33 to 82 (Vialle 2005). Sockets are the vertices 27 to 33 mm from the centres of the real hip joints."""
    neighbours = real_population.background
    real = real_population.atlas.background.pelvis.vertices_mm
    distances = [np.linalg.norm(real - centre, axis=1) for centre in ACETABULA_MM]
    sockets = [np.flatnonzero((distance > 27) & (distance < 33)) for distance in distances]
    pelves = [neighbours.pelvis(np.random.default_rng(seed), 1.0, "female") for seed in range(120)]
    angles = [incidence_deg(pelvis.hips, sockets) for pelvis in pelves]
    assert np.mean(angles) == pytest.approx(53, abs=5)
    assert 8 < np.std(angles) < 15


def test_sacral_endplates_differ_and_stay_in_their_frame(real_population):
    plates = np.array(
        [real_population.background.pelvis(np.random.default_rng(seed), 1.0, "male").plate_mm for seed in range(40)]
    )
    assert np.allclose(plates[:, 0], 0)
    depth, width = plates[:, 1, 0] - plates[:, 2, 0], plates[:, 3, 1] - plates[:, 4, 1]
    assert 25 < depth.mean() < 36 and depth.std() > 1.5
    assert 42 < width.mean() < 56 and width.std() > 1.5
    tilts = (plates[:, 1, 2] - plates[:, 2, 2]) / depth, (plates[:, 3, 2] - plates[:, 4, 2]) / width
    assert np.abs(tilts).max() < 0.25


def test_half_of_the_pelves_are_mirrored(real_population):
    """Mirrored meshes list their corners the other way round, so that they still face outwards."""
    hips = [real_population.background.pelvis(np.random.default_rng(seed), 1.0, "male").hips for seed in range(60)]
    assert all(solid.volume_mm3 > 0 for solid in hips)
    assert {bool(np.array_equal(solid.triangles, hips[0].triangles)) for solid in hips} == {True, False}
