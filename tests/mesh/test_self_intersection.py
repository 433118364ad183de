import numpy as np
import pytest
import trimesh

from lumbar_ext.mesh.self_intersection import folded_triangles, intersecting_pairs, self_intersections, untangled
from lumbar_ext.mesh.surface import Surface


def sphere(centre=(0, 0, 0), subdivisions=3):
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=10)
    return Surface(mesh.vertices + np.array(centre), mesh.faces)


def joined(first, second):
    return Surface(
        np.concatenate([first.vertices_mm, second.vertices_mm]),
        np.concatenate([first.triangles, second.triangles + len(first.vertices_mm)]),
    )


def test_a_sphere_and_two_distant_spheres_do_not_cross():
    assert self_intersections(sphere()) == 0
    assert self_intersections(joined(sphere(), sphere((25, 0, 0)))) == 0


def test_overlapping_spheres_cross_along_their_common_circle():
    both = joined(sphere(), sphere((12, 0, 0)))
    crossing = np.unique(intersecting_pairs(both))
    centres = both.vertices_mm[both.triangles[crossing]].mean(axis=1)
    # The circle lies in the plane x = 6 and has the radius 8.
    assert np.abs(centres[:, 0] - 6).max() < 1.6
    assert np.abs(np.hypot(centres[:, 1], centres[:, 2]) - 8).max() < 1.6
    # Every sector of the circle is hit.
    angles = np.degrees(np.arctan2(centres[:, 2], centres[:, 1]))
    assert np.diff(np.sort(angles)).max() < 15


def test_pairs_agree_with_brute_force_over_edges_and_rays():
    both = joined(sphere(subdivisions=2), sphere((11, 3, 2), subdivisions=2))
    mesh = both.to_trimesh()
    edges = mesh.edges_unique
    start, end = both.vertices_mm[edges[:, 0]], both.vertices_mm[edges[:, 1]]
    triangle, ray, place = mesh.ray.intersects_id(start, end - start, return_locations=True, multiple_hits=True)
    own = (both.triangles[triangle][:, :, None] == edges[ray][:, None, :]).any(axis=(1, 2))
    near = np.linalg.norm(place - start[ray], axis=1) < np.linalg.norm(end - start, axis=1)[ray]
    assert set(triangle[near & ~own]) <= set(np.unique(intersecting_pairs(both)))
    assert (near & ~own).sum() > 20


def pushed_sphere(shift):
    surface = sphere(subdivisions=4)
    near = np.linalg.norm(surface.vertices_mm - [10, 0, 0], axis=1) < 1.5
    return surface.with_vertices(surface.vertices_mm + np.outer(near, shift))


@pytest.mark.parametrize(
    ("shift", "crossing"), [((0, 4, 0), False), ((-1.6, 5, 0), True)], ids=["overhanging fold", "through the surface"]
)
def test_a_fold_is_found_and_relaxed_in_place(shift, crossing):
    tangled = pushed_sphere(shift)
    assert (self_intersections(tangled) > 0) == crossing
    assert len(folded_triangles(tangled)) > 0
    result = untangled(tangled)
    assert self_intersections(result) == len(folded_triangles(result)) == 0
    far = np.linalg.norm(tangled.vertices_mm - [10, 0, 0], axis=1) > 9
    assert np.array_equal(result.vertices_mm[far], tangled.vertices_mm[far])
