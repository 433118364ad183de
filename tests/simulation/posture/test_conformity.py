"""Fitting surfaces: small overlaps vanish, large ones are refused."""

import numpy as np
import trimesh

from lumbar_ext.geometry import RigidTransform, euler_rotation
from lumbar_ext.mesh.solid import Surface
from lumbar_ext.simulation.bones.contact import ContactBody, find_contact
from lumbar_ext.simulation.posture.conformity import fitted_pair


def ball():
    mesh = trimesh.creation.icosphere(subdivisions=5, radius=20.0)
    return Surface(mesh.vertices, mesh.faces)


def overlapping(depth_mm):
    rotation = euler_rotation(0.4, -0.3, 0.8)
    return RigidTransform(rotation, np.array([0.0, 0.0, 40.0 - depth_mm]))


def test_a_small_overlap_is_shared_by_both_surfaces():
    pose = overlapping(1.5)
    pair = fitted_pair(ball(), ball(), pose)
    assert find_contact(ContactBody(pair.first), ContactBody(pair.second), pose).depth_mm == 0
    for new in (pair.first, pair.second):
        moved = np.linalg.norm(new.vertices_mm - ball().vertices_mm, axis=1)
        assert 0.5 < moved.max() < 1.5
        assert (moved < 1e-9).mean() > 0.6


def test_bones_apart_stay_as_they_are():
    first, second = ball(), ball()
    pair = fitted_pair(first, second, overlapping(-2.0))
    assert pair.first is first
    assert pair.second is second


def test_a_deep_overlap_is_refused():
    assert fitted_pair(ball(), ball(), overlapping(7.0)) is None
