import nibabel
import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.shape.sources.label_surface import load_label_surface, surface_from_mask, taubin_smooth


def ellipsoid_mask(voxel_mm, radii_mm=(20.0, 16.0, 12.0)):
    """Mask, affine (centre of the ellipsoid at the world origin)."""
    voxel = np.array(voxel_mm)
    shape = np.ceil(2 * (np.array(radii_mm) + 6) / voxel).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = np.diag(voxel)
    affine[:3, 3] = -voxel * (shape - 1) / 2
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return (((index * voxel + affine[:3, 3]) / radii_mm) ** 2).sum(axis=-1) < 1, affine


@pytest.mark.parametrize("voxel_mm", [(1, 1, 1), (1, 1, 2), (1, 1, 3)])
def test_an_ellipsoid_is_recovered_to_a_fraction_of_a_voxel(voxel_mm):
    mask, affine = ellipsoid_mask(voxel_mm)
    surface = surface_from_mask(mask, affine).surface
    direction = surface.vertices_mm / [20, 16, 12]
    # First-order distance to the ellipsoid: level value over its gradient.
    gradient = np.linalg.norm(2 * surface.vertices_mm / np.array([20.0, 16, 12]) ** 2, axis=1)
    distance = np.abs((direction**2).sum(axis=1) - 1) / gradient
    assert distance.mean() < {1: 0.10, 2: 0.15, 3: 0.20}[voxel_mm[2]]
    assert surface.is_watertight
    assert surface.volume_mm3 == pytest.approx(4 / 3 * np.pi * 20 * 16 * 12, rel=0.02)


def test_specks_and_cavities_are_removed():
    mask, affine = ellipsoid_mask((1, 1, 1))
    whole = surface_from_mask(mask, affine).surface
    dirty = mask.copy()
    dirty[1, 1, 1] = True
    dirty[tuple(np.array(mask.shape) // 2)] = False
    cleaned = surface_from_mask(dirty, affine).surface
    assert cleaned.volume_mm3 == pytest.approx(whole.volume_mm3, rel=1e-6)


def test_vertices_at_the_image_border_are_marked_as_cut():
    mask, affine = ellipsoid_mask((1, 1, 1))
    half = mask[mask.shape[0] // 2 :]
    result = surface_from_mask(half, affine)
    at_border = result.surface.vertices_mm[result.is_cut] - affine[:3, 3]
    assert result.is_cut.sum() > 100
    assert at_border[:, 0].max() < 1.0
    assert not surface_from_mask(mask, affine).is_cut.any()


def test_file_axes_become_front_left_up(tmp_path):
    mask, affine = ellipsoid_mask((1, 1, 1))
    affine[:3, 3] += [30, 7, -5]
    nibabel.save(nibabel.Nifti1Image(mask.astype(np.uint8) * 22, affine), tmp_path / "l.nii.gz")
    surface = load_label_surface(tmp_path / "l.nii.gz", 22).surface
    # RAS world (30, 7, -5): front 7, left -30, up -5.
    assert np.allclose(surface.vertices_mm.mean(axis=0), [7, -30, -5], atol=0.1)
    assert np.ptp(surface.vertices_mm[:, 1]) == pytest.approx(40, abs=1)


def test_an_absent_label_is_named(tmp_path):
    mask, affine = ellipsoid_mask((1, 1, 1))
    nibabel.save(nibabel.Nifti1Image(mask.astype(np.uint8), affine), tmp_path / "l.nii.gz")
    with pytest.raises(InputError, match="label 24 is absent"):
        load_label_surface(tmp_path / "l.nii.gz", 24)


def test_taubin_smoothing_removes_noise_but_not_volume():
    mask, affine = ellipsoid_mask((1, 1, 1))
    surface = surface_from_mask(mask, affine).surface
    noise = np.random.default_rng(0).normal(scale=0.2, size=surface.vertices_mm.shape)
    smooth = taubin_smooth(surface.with_vertices(surface.vertices_mm + noise), 15)
    assert smooth.volume_mm3 == pytest.approx(surface.volume_mm3, rel=0.01)
    assert (
        np.linalg.norm(smooth.vertices_mm - surface.vertices_mm, axis=1).mean()
        < 0.6 * np.linalg.norm(noise, axis=1).mean()
    )
