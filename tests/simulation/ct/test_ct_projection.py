"""Voxel ray-casting against chord lengths and against the mesh projector, whatever the grid's orientation."""

import numpy as np
import pytest
import trimesh

from lumbar_ext.drr import path_length
from lumbar_ext.geometry import ConeBeam, SlotScan, euler_rotation
from lumbar_ext.io.volume import Volume
from lumbar_ext.simulation.body.materials import CT_ENERGY_KEV, MATERIALS, attenuation_per_mm, ct_number
from lumbar_ext.simulation.ct.ct_projection import ct_paths

CAMERA = ConeBeam([900.0, 20, 10], [-300.0, -63, 63], [0, 1, 0], [0, 0, -1], (2.0, 2.0), (64, 64))
SLOT = SlotScan([900.0, 20, 10], [-300.0, -63, 63], [0, 1, 0], [0, 0, -1], (2.0, 2.0), (64, 64))
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


def as_ct(volume, material="bone"):
    """Shares of a material in air as CT numbers."""
    return Volume(np.float32(volume.values * (ct_number(material) + 1000) - 1000), volume.world_from_voxel)


def attenuation(paths):
    """Line integrals at the energy of the CT, at which a voxel attenuates as its CT number says."""
    return np.tensordot([float(attenuation_per_mm(name, CT_ENERGY_KEV)) for name in MATERIALS], paths, 1)


ROTATIONS = {
    "straight": np.eye(3),
    "PIR": np.array([[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]]),
    "left-handed": np.diag([1.0, 1.0, -1.0]),
    "oblique": euler_rotation(0.3, -0.2, 0.5),
}


@pytest.mark.parametrize("rotation", ROTATIONS.values(), ids=ROTATIONS)
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.0, 2.0)], ids=str)
@pytest.mark.parametrize("camera", [CAMERA, SLOT], ids=["cone", "slot"])
def test_a_ball_has_the_chords_of_its_mesh(rotation, spacing, camera):
    mesh = trimesh.creation.icosphere(subdivisions=5, radius=RADIUS_MM)
    expected = path_length(mesh.vertices + CENTRE_MM, mesh.faces.astype(np.int32), camera)
    cast = attenuation(ct_paths(as_ct(ball(rotation, spacing)), camera))
    cast /= attenuation_per_mm("bone", CT_ENERGY_KEV)
    inside = expected > 15
    assert inside.sum() > 100
    assert np.abs(cast - expected)[inside].mean() < 0.25
    # Thick voxels carry the silhouette out by half of one.
    assert cast[expected == 0].mean() < 0.1


@pytest.mark.parametrize("axis", range(3))
def test_a_slab_has_its_thickness_over_the_slant(axis):
    """Rays that cross two faces of a box have its thickness over the cosine, whichever axis they follow."""
    shape = np.full(3, 60)
    shape[axis] = 30
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = -(shape - 1) / 2
    volume = Volume(np.full(shape, ct_number("soft"), np.float32), affine)
    towards = np.roll(np.eye(3), -axis, axis=0)
    camera = ConeBeam(
        towards[0] * 700.0,
        -400.0 * towards[0] - 20 * towards[1] - 20 * towards[2],
        towards[1],
        towards[2],
        (2.0, 2.0),
        (21, 21),
    )
    uv = np.stack(np.meshgrid(np.arange(21), np.arange(21)), axis=-1).astype(float)
    expected = 30 / np.abs(camera.backproject(uv).directions[..., axis])
    paths = ct_paths(volume, camera)
    assert np.allclose(paths[MATERIALS.index("soft")], expected, rtol=1e-4)
    assert np.allclose(paths.sum(0), expected, rtol=1e-4)


def test_paths_add_up_over_the_parts_of_a_volume():
    """Beer-Lambert: line integrals of two halves of a volume sum to those of the whole, but for the seam's planes."""
    rng = np.random.default_rng(0)
    values = rng.uniform(-100, 1500, (24, 40, 40)).astype(np.float32)
    affine = np.diag([2.0, 1.5, 1.5, 1.0])
    affine[:3, 3] = [-23, -29, -29]
    whole = attenuation(ct_paths(Volume(values, affine), CAMERA))
    halves = []
    for part in (slice(0, 12), slice(12, 24)):
        masked = np.full_like(values, -1000)
        masked[part] = values[part]
        halves.append(attenuation(ct_paths(Volume(masked, affine), CAMERA)))
    assert whole.max() > 0.5
    assert np.allclose(sum(halves), whole, rtol=1e-4, atol=1e-4)


def test_the_source_side_of_the_detector_counts_alone():
    """What lies behind the detector, or beside the beam, is not in the picture."""
    volume = as_ct(ball(np.eye(3), (1.0, 1.0, 1.0)))
    for shift in ([-500.0, 0, 0], [0, 0, 300.0]):
        away = volume.world_from_voxel.copy()
        away[:3, 3] += shift
        assert not ct_paths(Volume(volume.values, away), CAMERA).any()
    assert not ct_paths(Volume(np.full_like(volume.values, -1000), volume.world_from_voxel), CAMERA).any()
