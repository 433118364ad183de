import numpy as np
import pytest
import torch

from lumbar_ext.transforms.intensity import NORMALISED_RANGE, NormaliseIntensityd, flat_pixels, normalise_intensity


@pytest.fixture
def image():
    return np.random.default_rng(0).normal(1000, 200, (64, 64))


def test_percentiles_become_zero_and_one(image):
    assert np.percentile(normalise_intensity(image), (1, 99)) == pytest.approx([0, 1], abs=1e-5)


def test_gain_and_offset_do_not_matter(image):
    assert np.allclose(normalise_intensity(3 * image + 50), normalise_intensity(image), atol=1e-5)


def test_normalising_twice_changes_nothing(image):
    once = normalise_intensity(image)
    assert np.allclose(normalise_intensity(once), once, atol=1e-5)


def test_outliers_are_clipped_and_gaps_take_the_low_value(image):
    image[0, 0], image[0, 1] = 1e9, np.nan
    normal = normalise_intensity(image)
    assert normal[0, 0] == NORMALISED_RANGE[1]
    assert normal[0, 1] == pytest.approx(0, abs=1e-2)


@pytest.mark.parametrize("value", [7.0, np.nan])
def test_an_image_without_contrast_becomes_zero(value):
    assert not normalise_intensity(np.full((4, 4), value)).any()


def test_the_dictionary_form_keeps_tensors(image):
    result = NormaliseIntensityd("image")({"image": torch.from_numpy(image)[None], "other": 1})
    assert isinstance(result["image"], torch.Tensor) and result["image"].shape == (1, 64, 64)
    assert np.allclose(result["image"][0], normalise_intensity(image))


def test_flat_is_what_was_blanked_and_not_the_steps_of_eight_bits(image):
    eight_bits = np.rint(image / 8)
    eight_bits[20:40, 10:30] = 7
    flat = flat_pixels(eight_bits)
    assert flat[21:39, 11:29].all() and flat[[0, -1]].all() and flat[:, [0, -1]].all()
    flat[20:40, 10:30] = False
    assert not flat[1:-1, 1:-1].any()
