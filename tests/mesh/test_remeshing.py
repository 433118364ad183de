import numpy as np
import pytest
import trimesh

from lumbar_ext.errors import InputError
from lumbar_ext.mesh.remeshing import remesh, vertex_density
from lumbar_ext.mesh.surface import Surface, surface_distance_mm


def lens():
    """A flattened ball: 1 / (80 mm) of curvature on its faces, more than 1 / (2 mm) along its rim."""
    mesh = trimesh.creation.icosphere(subdivisions=5, radius=20)
    return Surface(mesh.vertices * [1, 1, 0.25], mesh.faces)


def test_the_surface_stays_in_place(vertebra):
    result = remesh(vertebra, 1200)
    assert result.is_watertight
    assert result.euler_number == vertebra.euler_number == 0
    assert len(result.vertices_mm) == pytest.approx(1200, abs=12)
    assert surface_distance_mm(result, vertebra).max() < 0.02
    assert result.volume_mm3 == pytest.approx(vertebra.volume_mm3, rel=0.03)


def test_vertices_crowd_where_the_surface_bends():
    adaptive, even = remesh(lens(), 800), remesh(lens(), 800, adaptive=False)
    at_rim = [(np.hypot(*mesh.vertices_mm[:, :2].T) > 17).mean() for mesh in (adaptive, even)]
    assert at_rim[0] > 1.4 * at_rim[1]


def test_density_of_a_sphere_follows_its_curvature():
    for radius in (4.0, 20.0):
        mesh = trimesh.creation.icosphere(subdivisions=4, radius=radius)
        # Both principal curvatures are 1 / r, so c^2 = 2 / r^2.
        expected = 1 + 2 / (0.2 * radius) ** 2
        assert np.median(vertex_density(Surface(mesh.vertices, mesh.faces))) == pytest.approx(expected, rel=0.05)


def test_too_few_vertices_for_the_topology_are_refused(vertebra):
    with pytest.raises(InputError, match="use more vertices"):
        remesh(vertebra, 30)
