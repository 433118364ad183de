import numpy as np
import pytest
import torch

from lumbar_ext.anatomy import LEFT_RIGHT_SWAP
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import ConeBeam
from lumbar_ext.transforms.augmentation.warp import RandViewWarpd, planar_warp


def disc(centre_px, size=128, sigma=4.0):
    """A gaussian blob at (u, v)."""
    v, u = torch.meshgrid(torch.arange(size).float(), torch.arange(size).float(), indexing="ij")
    return torch.exp(-((u - centre_px[0]) ** 2 + (v - centre_px[1]) ** 2) / (2 * sigma**2))[None]


def centroid(image):
    v, u = torch.meshgrid(*(torch.arange(n).float() for n in image.shape[-2:]), indexing="ij")
    return np.array([(image[0] * u).sum(), (image[0] * v).sum()]) / image.sum().item()


@pytest.mark.parametrize("mirrored", [False, True])
def test_points_move_with_the_image(mirrored):
    point = np.array([70.25, 52.5])
    warp = planar_warp([60, 64], (96, 112), rotation_rad=0.3, scale=1.2, mirrored=mirrored)
    assert centroid(warp.apply_to_images(disc(point))) == pytest.approx(warp.apply_to_points(point), abs=0.02)


def test_the_identity_changes_nothing():
    image = torch.rand(1, 33, 47, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(planar_warp([23, 16], (33, 47)).apply_to_images(image), image, atol=1e-4)


def test_scale_magnifies_and_the_centre_stays():
    warp = planar_warp([60, 64], (96, 112), scale=2.0)
    assert warp.apply_to_points([60, 64]) == pytest.approx([55.5, 47.5])
    assert np.diff(warp.apply_to_points([[60, 64], [61, 64]])[:, 0]) == pytest.approx(2)


def sample(view):
    points = np.random.default_rng(0).uniform(30, 90, (5, 7, 2))
    return {
        "image": disc(points[2, 4]),
        "decomposition": disc(points[2, 4]),
        "landmarks_px": points,
        "present": np.ones(5, bool),
        "view": view,
    }


def warped(view, **options):
    transform = RandViewWarpd(rotation_deg=0, scale=(1, 1), shift_px=0, size_px=(128, 128), **options)
    transform.set_random_state(0)
    return transform(sample(view))


def test_a_mirrored_ap_view_swaps_the_sides():
    before, after = sample("ap")["landmarks_px"], warped("ap", mirror_probability=1)["landmarks_px"]
    assert np.allclose(after[..., 0], 127 - before[:, list(LEFT_RIGHT_SWAP), 0])
    assert np.allclose(after[..., 1], before[:, list(LEFT_RIGHT_SWAP), 1])


def test_a_lateral_view_is_never_mirrored():
    assert np.allclose(warped("lat", mirror_probability=1)["landmarks_px"], sample("lat")["landmarks_px"])


def test_crops_follow_the_spine():
    data = warped("lat", focus="spine")
    assert np.allclose(data["landmarks_px"].reshape(-1, 2).mean(axis=0), 63.5)


def test_image_decomposition_and_landmarks_stay_together():
    transform = RandViewWarpd(size_px=(128, 96), shift_px=5)
    transform.set_random_state(1)
    for _ in range(5):
        data = transform(sample("lat"))
        assert torch.equal(data["image"], data["decomposition"]) and data["image"].shape == (1, 128, 96)
        assert centroid(data["image"]) == pytest.approx(data["landmarks_px"][2, 4], abs=0.05)


CAMERA = ConeBeam([1000.0, 20, -10], [-200.0, -53, 54], [0, 1, 0], [0, 0, -1], (0.834, 0.834), (128, 128))


@pytest.mark.parametrize("mirror_probability", [0, 1])
def test_the_camera_follows_rotation_scale_shift_and_mirror(mirror_probability):
    """What the new camera projects lies where the warp took it; a mirrored image shows the mirrored person."""
    points = np.random.default_rng(0).uniform(-35, 35, (5, 7, 3))
    transform = RandViewWarpd(size_px=(128, 96), mirror_probability=mirror_probability)
    transform.set_random_state(2)
    data = transform({**sample("ap"), "landmarks_px": CAMERA.project(points), "camera": CAMERA})
    if mirror_probability:
        points = (points * [1, -1, 1])[:, list(LEFT_RIGHT_SWAP)]
    assert data["camera"].size_px == (96, 128)
    assert not np.allclose(data["camera"].u_axis, CAMERA.u_axis, atol=0.01)
    assert np.allclose(data["camera"].project(points), data["landmarks_px"], atol=1e-6)


def test_pixels_that_are_not_square_cannot_be_rotated():
    camera = CAMERA.replace(pixel_spacing_mm=(0.5, 0.8))
    with pytest.raises(InputError, match="orthogonal"):
        planar_warp([60, 64], (96, 112), rotation_rad=0.3).apply_to_camera(camera)
