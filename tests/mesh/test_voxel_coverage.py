"""Filled shares of voxels against volumes, analytic solids, and shifts of the grid."""

import numpy as np
import pytest
import trimesh

from lumbar_ext.mesh.solid import Surface
from lumbar_ext.mesh.voxel_coverage import VoxelGrid, coverage

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
