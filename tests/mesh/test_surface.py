import numpy as np
import pytest
import trimesh

from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.files import load_surface
from lumbar_ext.mesh.surface import Surface, clean_surface, locate, surface_distance_mm
from lumbar_ext.simulation.body.ribs import sweep


def sphere(radius=10.0, subdivisions=3):
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return Surface(mesh.vertices, mesh.faces)


def test_normals_of_a_sphere_are_radial():
    surface = sphere()
    assert np.allclose(surface.normals, surface.vertices_mm / 10.0, atol=0.03)


def test_a_trimesh_of_it_can_be_changed_without_changing_it():
    surface = sphere()
    mesh = surface.to_trimesh()
    mesh.faces[::7] = mesh.faces[::7, ::-1]
    mesh.vertices[0] = 0
    again = sphere()
    assert np.array_equal(surface.triangles, again.triangles) and np.array_equal(surface.vertices_mm, again.vertices_mm)


def test_volume_and_area_of_a_sphere():
    surface = sphere(subdivisions=5)
    assert surface.volume_mm3 == pytest.approx(4 / 3 * np.pi * 1000, rel=2e-3)
    assert surface.vertex_areas_mm2.sum() == pytest.approx(4 * np.pi * 100, rel=2e-3)


def test_distance_to_a_larger_sphere_is_the_gap():
    distance = surface_distance_mm(sphere(10.0), sphere(12.0, subdivisions=4))
    assert np.allclose(distance, 2.0, atol=0.03)


def test_located_points_are_their_barycentric_combination():
    surface = sphere()
    points = np.random.default_rng(0).normal(size=(50, 3)) * 12
    closest, material = locate(surface, points)
    assert np.allclose(material.of(surface.vertices_mm), closest, atol=1e-9)


def test_cleaning_merges_split_vertices_and_turns_normals_outward():
    surface = sphere()
    soup = Surface(
        surface.vertices_mm[surface.triangles[:, ::-1]].reshape(-1, 3), np.arange(surface.triangles.size).reshape(-1, 3)
    )
    cleaned = clean_surface(soup)
    assert cleaned.is_watertight
    assert len(cleaned.vertices_mm) == len(surface.vertices_mm)
    assert cleaned.volume_mm3 > 0


def test_components_are_counted_from_the_top(tmp_path):
    low, high = trimesh.creation.icosphere(radius=3), trimesh.creation.icosphere(radius=2)
    high.apply_translation([0, 0, 20])
    trimesh.util.concatenate([low, high]).export(tmp_path / "two.stl")
    assert load_surface(tmp_path / "two.stl", component=0).vertices_mm[:, 2].mean() == pytest.approx(20, abs=0.1)
    assert load_surface(tmp_path / "two.stl").vertices_mm[:, 2].mean() == pytest.approx(0, abs=0.1)


def test_metres_become_millimetres(tmp_path):
    trimesh.creation.icosphere(radius=0.02).export(tmp_path / "m.obj")
    assert np.linalg.norm(load_surface(tmp_path / "m.obj", "m").vertices_mm, axis=1).max() == pytest.approx(
        20, rel=1e-5
    )


@pytest.mark.parametrize(("name", "unit", "word"), [("gone.stl", "mm", "no such"), ("m.stl", "inch", "unit")])
def test_unusable_files_are_named(tmp_path, name, unit, word):
    trimesh.creation.box().export(tmp_path / "m.stl")
    with pytest.raises(InputError, match=word):
        load_surface(tmp_path / name, unit)


def test_normals_of_a_fine_sphere_point_away_from_its_centre():
    ball = sphere(20.0, 4)
    assert np.allclose(ball.normals, ball.vertices_mm / 20.0, atol=1e-2)


def test_shrinking_a_sphere_gives_a_smaller_sphere():
    assert np.allclose(np.linalg.norm(sphere(20.0, 4).shrunk(3.0).vertices_mm, axis=1), 17.0, atol=0.01)


def test_moved_normals_are_those_of_the_moved_mesh():
    ball = sphere(20.0, 4)
    assert ball.normals.shape == ball.vertices_mm.shape
    moved = ball.moved(RigidTransform.from_euler(0.3, -0.2, 0.5, np.array([1.0, 2, 3])))
    assert np.allclose(moved.normals, Surface(moved.vertices_mm, moved.triangles).normals, atol=1e-12)


def test_merged_volume_is_the_sum():
    both = Surface.merged([sphere(10.0, 4), sphere(5.0, 4)])
    assert np.isclose(both.volume_mm3, sphere(10.0, 4).volume_mm3 + sphere(5.0, 4).volume_mm3)
    assert trimesh.Trimesh(both.vertices_mm, both.triangles, process=False).is_watertight


def test_a_straight_tube_has_the_volume_of_a_prism_and_faces_outwards():
    line = np.linspace([0.0, 0, 0], [100.0, 0, 0], 30)
    rod = sweep(line, np.full(30, 4.0), points=64)
    assert trimesh.Trimesh(rod.vertices_mm, rod.triangles, process=False).is_watertight
    assert np.isclose(rod.volume_mm3, np.pi * 16 * 100, rtol=5e-3)


def test_box_corners_enclose_the_mesh():
    ball = sphere(7.0, 4)
    assert np.allclose(ball.box_corners_mm.min(0), ball.vertices_mm.min(0))
    assert np.allclose(ball.box_corners_mm.max(0), ball.vertices_mm.max(0))
