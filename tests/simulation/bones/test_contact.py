"""Contact depths of overlapping spheres, where they are known."""

import numpy as np
import trimesh

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.solid import Surface
from lumbar_ext.simulation.bones.contact import ContactBody, find_contact


def ball():
    mesh = trimesh.creation.icosphere(subdivisions=4, radius=20.0)
    return ContactBody(Surface(mesh.vertices, mesh.faces))


def at(x, y=0.0, z=0.0):
    return RigidTransform(np.eye(3), np.array([x, y, z], float))


def test_depth_of_overlapping_spheres():
    contact = find_contact(ball(), ball(), at(0, 0, 38.0))
    assert np.isclose(contact.depth_mm, 2.0, atol=0.2)


def test_direction_pushes_the_first_away_from_the_second():
    contact = find_contact(ball(), ball(), at(0, 0, 38.0))
    assert contact.direction @ [0, 0, -1] > 0.99
    aside = find_contact(ball(), ball(), at(26.0, 0, 26.0))
    assert aside.direction @ (np.array([-1, 0, -1]) / np.sqrt(2)) > 0.98


def test_spheres_apart_do_not_touch_but_may_lack_clearance():
    assert find_contact(ball(), ball(), at(0, 0, 41.0)).depth_mm == 0
    assert np.isclose(find_contact(ball(), ball(), at(0, 0, 40.5), clearance_mm=1.0).depth_mm, 0.5, atol=0.15)


def test_a_coarse_look_finds_nearly_the_same_depth():
    exact, coarse = (find_contact(ball(), ball(), at(1, 2, 37.0), stride=s).depth_mm for s in (1, 4))
    assert 0.6 * exact < coarse <= exact
