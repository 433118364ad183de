"""Filled shares of voxels against volumes, analytic solids, and shifts of the grid."""

import numpy as np
import pytest
import trimesh

from lumbar_ext.mesh.surface import Surface
from lumbar_ext.mesh.voxels import VoxelGrid, coverage, occupancy

RADIUS_MM = 22.0
CENTRE_MM = np.array([5.0, -4.0, 3.0])


def ball():
    mesh = trimesh.creation.icosphere(subdivisions=5, radius=RADIUS_MM)
    return Surface(mesh.vertices + CENTRE_MM, mesh.faces)


def box(size):
    mesh = trimesh.creation.box(size)
    return Surface(mesh.vertices, mesh.faces)


def grid(voxel_mm, half=30.0, shift=0.0):
    return VoxelGrid.around(np.full(3, shift - half), np.full(3, shift + half), voxel_mm)


@pytest.mark.parametrize("voxel_mm", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("shift", [0.0, 0.37])
def test_a_ball_keeps_its_volume_and_its_centre(voxel_mm, shift):
    places = grid(voxel_mm, shift=shift)
    share = coverage(ball(), places)
    assert share.min() == 0 and share.max() == 1
    assert share.sum() * voxel_mm**3 == pytest.approx(ball().volume_mm3, rel=1e-3)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in places.shape), indexing="ij"), -1)
    middle = (share[..., None] * index).sum((0, 1, 2)) / share.sum() * voxel_mm + places.origin_mm
    assert np.allclose(middle, CENTRE_MM, atol=0.01)


def test_voxels_are_full_inside_and_empty_outside():
    places = grid(1.0)
    share = coverage(ball(), places)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in places.shape), indexing="ij"), -1)
    distance = np.linalg.norm(index * places.voxel_mm + places.origin_mm - CENTRE_MM, axis=-1)
    diagonal = np.sqrt(3) / 2
    assert (share[distance < RADIUS_MM - diagonal - 0.05] > 1 - 1e-5).all()
    assert (share[distance > RADIUS_MM + diagonal] < 1e-5).all()


def test_faces_between_voxels_fill_exactly_and_faces_through_them_in_part():
    # Along Z the share is exact; across it counts lines.
    share = coverage(box((12.0, 12.0, 12.5)), VoxelGrid.around(np.full(3, -10.0), np.full(3, 10.0), 1.0))
    assert np.allclose(share[10, 10, 4:16], 1, atol=1e-5)
    assert np.allclose(share[10, 10, [3, 16]], 0.25, atol=1e-5)
    assert np.allclose(share[4:16, 10, 10], 1, atol=1e-5)
    assert not share[[3, 16], 10, 10].any()


def test_a_mesh_that_reaches_beyond_the_grid_fills_what_is_there():
    assert np.allclose(coverage(box((10.0, 20.0, 30.0)), grid(1.0, half=4.0)), 1)


def test_parts_of_the_grid_see_what_the_whole_sees():
    whole, solid = grid(1.0), ball()
    slices = whole.slices_around(solid.box_corners_mm)
    share = coverage(solid, whole)
    assert np.allclose(coverage(solid, whole.part(slices)), share[slices], atol=1e-5)
    share[slices] = 0
    assert share.max() < 1e-5
    assert coverage(solid, whole.coarser(2)).sum() * 8 == pytest.approx(solid.volume_mm3, rel=1e-3)


def closed(mesh):
    return Surface(mesh.vertices, mesh.faces)


def test_a_box_fills_the_voxels_whose_centres_it_holds():
    box = closed(trimesh.creation.box(extents=(4.0, 6.0, 2.0)))
    solid = occupancy(box, VoxelGrid(np.full(3, -5.5), 1.0, (12, 12, 12)))
    centres = np.stack(np.meshgrid(*[np.arange(12) - 5.5] * 3, indexing="ij"), -1)
    np.testing.assert_array_equal(solid, (np.abs(centres) < [2, 3, 1]).all(-1))


def test_a_ball_has_its_volume_and_a_ring_its_hole():
    ball = closed(trimesh.creation.icosphere(subdivisions=4, radius=15.0))
    solid = occupancy(ball, VoxelGrid(np.full(3, -20.3), 1.0, (41, 41, 41)))
    assert solid.sum() == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.01)
    torus = trimesh.creation.torus(major_radius=12.0, minor_radius=4.0)
    solid = occupancy(closed(torus), VoxelGrid(np.full(3, -20.3), 1.0, (41, 41, 41)))
    assert not solid[20, 20].any() and solid[32, 20, 20]
    assert solid.sum() == pytest.approx(torus.volume, rel=0.02)


def test_the_centre_decides_whether_a_voxel_is_occupied():
    """Faces at a third and at two thirds of a voxel: the centre decides, not the filled share along the line."""
    grid = VoxelGrid(np.zeros(3), 1.0, (6, 6, 9))
    for low, high in ((1.2, 5.8), (0.9, 6.1), (2.4, 2.6)):
        slab = closed(trimesh.creation.box(bounds=[[0.6, 0.6, low], [4.4, 4.4, high]]))
        expected = np.zeros(grid.shape, bool)
        expected[1:5, 1:5] = (np.arange(9) > low) & (np.arange(9) < high)
        np.testing.assert_array_equal(occupancy(slab, grid), expected)
