from dataclasses import replace

import numpy as np
import pytest
import torch

from lumbar_ext.transforms.augmentation.foreign_chain import (
    ForeignChaind,
    amplify_detail,
    draw_chain,
    film_curve,
    jpeg_compressed,
    motion_blurred,
    pink_noise,
    with_glare,
)


@pytest.fixture
def chain():
    return draw_chain(np.random.default_rng(0))


def test_glare_adds_its_fraction_of_a_uniform_field(chain):
    bright = with_glare(np.full((32, 48), 2.0), replace(chain, glare_fraction=0.25))
    assert bright == pytest.approx(np.full((32, 48), 2.5))


def test_glare_reaches_further_than_any_gaussian(chain):
    point = np.zeros((129, 129))
    point[64, 64] = 1.0
    tail = with_glare(point, replace(chain, glare_length_px=10.0))[64, 64:]
    ratios = tail[20:35] / tail[19:34]
    assert ratios == pytest.approx(np.exp(-0.1), rel=1e-3)  # a gaussian's would fall ever faster


def test_motion_blurs_along_its_direction_only():
    image = np.zeros((21, 21))
    image[10, 10] = 1.0
    blurred = motion_blurred(image, 4.0, 0.0)
    assert blurred[10].sum() == pytest.approx(1) and blurred[10, 8:13] == pytest.approx(0.2)
    assert motion_blurred(image, 4.0, np.pi / 2)[:, 10].sum() == pytest.approx(1)


def test_pink_noise_has_more_power_at_low_frequencies():
    spectrum = np.abs(np.fft.rfft2(pink_noise((128, 128), np.random.default_rng(0)))) ** 2
    assert spectrum[4:8, 4:8].mean() / spectrum[40:60, 40:60].mean() > 10


def test_faint_detail_is_lifted_more_than_strong():
    """Two bumps of heights 1 and 10: their ratio shrinks."""
    u = np.arange(200)
    bumps = np.exp(-((u - 50) ** 2) / 8) + 10 * np.exp(-((u - 150) ** 2) / 8)
    lifted = amplify_detail(np.tile(bumps, (40, 1)), 0.7)[20]
    assert lifted[50] / lifted[150] > 1.3 * bumps[50] / bumps[150]


def test_the_film_is_half_dense_at_its_half_signal(chain):
    signal = np.linspace(0, 1, 10001)[None]
    density = film_curve(signal, replace(chain, film_half=0.5))
    low, high = np.percentile(signal, (1, 99))
    assert np.interp(low + 0.5 * (high - low), signal[0], density[0]) == pytest.approx(0.5, abs=1e-3)
    assert np.all(np.diff(density) >= 0)


def test_jpeg_keeps_the_picture_and_loses_detail():
    image = np.random.default_rng(0).uniform(0, 1, (64, 64))
    error = np.abs(jpeg_compressed(image, 40) - image)
    assert 0.01 < error.mean() < 0.2


def test_only_flagged_items_change_and_equal_names_give_equal_images():
    image = torch.from_numpy(np.random.default_rng(0).uniform(0, 1, (1, 64, 64)).astype(np.float32))
    item = {"image": image, "study": "a", "view": "ap", "foreign": True}
    once, again, other = (ForeignChaind()(item | {"study": name})["image"] for name in ("a", "a", "b"))
    assert torch.equal(once, again) and not torch.equal(once, other) and once.shape == image.shape
    assert ForeignChaind()(item | {"foreign": False})["image"] is image
