import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from lumbar_ext.errors import InputError
from lumbar_ext.metrics.image_scores import dice, psnr_db, ssim


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 1, (48, 64))
    return np.clip(truth + rng.normal(0, 0.1, truth.shape), 0, 1), truth


def test_dice_by_hand():
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    a[0], b[0, :2], b[1, :2] = 0.5, 0.5, 0.5
    assert dice(a, b) == pytest.approx(2 * 2 / (4 + 4))
    assert dice(np.zeros((2, 2)), np.zeros((2, 2))) == 1


def test_psnr_agrees_with_scikit_image(pair):
    assert psnr_db(*pair) == pytest.approx(peak_signal_noise_ratio(pair[1], pair[0], data_range=1))


def test_psnr_of_bone_ignores_the_background():
    truth = np.zeros((10, 10))
    truth[0] = 0.5
    prediction = truth + np.where(truth > 0, 0.1, 0.0)
    assert psnr_db(prediction, truth, truth > 0) == pytest.approx(20)
    assert psnr_db(prediction, truth) == pytest.approx(30)
    assert psnr_db(truth, truth) == np.inf


def test_ssim_agrees_with_scikit_image(pair):
    """The reference leaves out a border of 5 px where the window does not fit; the means differ by little."""
    reference = structural_similarity(*pair, data_range=1, gaussian_weights=True, use_sample_covariance=False)
    assert ssim(*pair) == pytest.approx(reference, abs=0.01)
    assert ssim(pair[1], pair[1]) == pytest.approx(1)


def test_ssim_of_bone_is_the_mean_of_scikit_images_map_there(pair):
    _, reference = structural_similarity(
        *pair, data_range=1, gaussian_weights=True, use_sample_covariance=False, full=True
    )
    inner = np.zeros(pair[0].shape, bool)
    inner[8:-8, 8:20] = True
    assert ssim(*pair, inner) == pytest.approx(reference[inner].mean(), abs=1e-3)


def test_different_shapes_are_refused():
    for metric in (dice, psnr_db, ssim):
        with pytest.raises(InputError, match="differ in shape"):
            metric(np.zeros((4, 4)), np.zeros((4, 5)))
