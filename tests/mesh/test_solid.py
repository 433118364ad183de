"""Solids: normals, shrinking, merging and tubes against closed forms."""

import numpy as np
import trimesh

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.solid import Surface
from lumbar_ext.simulation.body.ribs import sweep


def sphere(radius=20.0, subdivisions=4):
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return Surface(mesh.vertices, mesh.faces)


def test_normals_of_a_sphere_point_away_from_its_centre():
    ball = sphere()
    assert np.allclose(ball.normals, ball.vertices_mm / 20.0, atol=1e-2)


def test_shrinking_a_sphere_gives_a_smaller_sphere():
    assert np.allclose(np.linalg.norm(sphere().shrunk(3.0).vertices_mm, axis=1), 17.0, atol=0.01)


def test_moved_normals_are_those_of_the_moved_mesh():
    ball = sphere()
    assert ball.normals.shape == ball.vertices_mm.shape
    moved = ball.moved(RigidTransform.from_euler(0.3, -0.2, 0.5, np.array([1.0, 2, 3])))
    assert np.allclose(moved.normals, Surface(moved.vertices_mm, moved.triangles).normals, atol=1e-12)


def test_merged_volume_is_the_sum():
    both = Surface.merged([sphere(10.0), sphere(5.0)])
    assert np.isclose(both.volume_mm3, sphere(10.0).volume_mm3 + sphere(5.0).volume_mm3)
    assert trimesh.Trimesh(both.vertices_mm, both.triangles, process=False).is_watertight


def test_a_straight_tube_has_the_volume_of_a_prism_and_faces_outwards():
    line = np.linspace([0.0, 0, 0], [100.0, 0, 0], 30)
    rod = sweep(line, np.full(30, 4.0), points=64)
    assert trimesh.Trimesh(rod.vertices_mm, rod.triangles, process=False).is_watertight
    assert np.isclose(rod.volume_mm3, np.pi * 16 * 100, rtol=5e-3)


def test_box_corners_enclose_the_mesh():
    ball = sphere(7.0)
    assert np.allclose(ball.box_corners_mm.min(0), ball.vertices_mm.min(0))
    assert np.allclose(ball.box_corners_mm.max(0), ball.vertices_mm.max(0))
