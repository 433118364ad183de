"""Voxel ray-casting against chord lengths and against the mesh projector, whatever the grid's orientation."""

import numpy as np
import pytest
import trimesh

from lumbar_ext.drr import path_length
from lumbar_ext.geometry import Camera, euler_rotation
from lumbar_ext.io.volume import Volume
from lumbar_ext.simulation.ct_projection import project_volume

CAMERA = Camera([900.0, 20, 10], [-300.0, -63, 63], [0, 1, 0], [0, 0, -1], (2.0, 2.0), (64, 64))
RADIUS_MM = 22.0
CENTRE_MM = np.array([5.0, -4.0, 3.0])


def ball(rotation, spacing, order=(0, 1, 2)):
    """A ball, antialiased, on a grid of any orientation around it."""
    shape = np.ceil(2 * (RADIUS_MM + 4) / np.array(spacing)).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.array(spacing)
    affine[:3, 3] = CENTRE_MM - affine[:3, :3] @ ((shape - 1) / 2)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    distance = np.linalg.norm(index @ affine[:3, :3].T + affine[:3, 3] - CENTRE_MM, axis=-1)
    return Volume(np.clip(RADIUS_MM - distance + 0.5, 0, 1).astype(np.float32), affine)


ROTATIONS = {
    "straight": np.eye(3),
    "PIR": np.array([[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]]),
    "left-handed": np.diag([1.0, 1.0, -1.0]),
    "oblique": euler_rotation(0.3, -0.2, 0.5),
}


@pytest.mark.parametrize("rotation", ROTATIONS.values(), ids=ROTATIONS)
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.0, 2.0)], ids=str)
def test_a_ball_has_the_chords_of_its_mesh(rotation, spacing):
    mesh = trimesh.creation.icosphere(subdivisions=5, radius=RADIUS_MM)
    expected = path_length(mesh.vertices + CENTRE_MM, mesh.faces.astype(np.int32), CAMERA)
    cast = project_volume(ball(rotation, spacing), CAMERA)
    inside = expected > 15
    assert inside.sum() > 100
    assert np.abs(cast - expected)[inside].mean() < 0.25
    # Thick voxels carry the silhouette out by half of one.
    assert cast[expected == 0].mean() < 0.1


def test_a_box_has_its_length_and_slant():
    values = np.ones((40, 30, 30), np.float32)
    affine = np.diag([1.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = [-20, -29, -29]
    cast = project_volume(Volume(values, affine), CAMERA)
    rays = CAMERA.backproject(np.array([32.0, 32.0]))
    # Interpolating between voxel centres, the box is its centres' hull.
    assert np.isclose(cast[32, 32], 39 / abs(rays.directions[0]), atol=1.2)


def test_values_scale_and_nothing_gives_zero():
    volume = ball(np.eye(3), (1.0, 1.0, 1.0))
    once, twice = (project_volume(Volume(volume.values * f, volume.world_from_voxel), CAMERA) for f in (1, 2))
    assert np.allclose(twice, 2 * once, rtol=1e-4)
    assert not project_volume(Volume(volume.values * 0, volume.world_from_voxel), CAMERA).any()
