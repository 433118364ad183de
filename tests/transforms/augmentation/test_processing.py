import numpy as np
import torch

from lumbar_ext.transforms.augmentation.processing import RandProcessingd, coarsened, levelled, with_band_gains


def picture():
    return np.random.default_rng(0).normal(0.5, 0.2, (96, 64)).astype(np.float32)


def test_gains_of_one_change_nothing():
    assert np.allclose(with_band_gains(picture(), np.ones(4)), picture(), atol=1e-5)


def test_gains_of_zero_leave_what_is_smooth():
    assert with_band_gains(picture(), np.zeros(4)).std() < 0.1 * picture().std()


def test_levelling_takes_a_slope_and_keeps_the_mean():
    slope = np.linspace(0, 1, 200, dtype=np.float32)[:, None] + np.zeros((1, 50), np.float32)
    flat = levelled(slope, 21, 1.0)
    assert abs(flat.mean() - slope.mean()) < 1e-5 and flat[30:-30].std() < 0.02


def test_coarsening_keeps_size_and_loses_detail():
    coarse = coarsened(picture(), 2.0)
    assert coarse.shape == (96, 64) and coarse.std() < 0.8 * picture().std()


def test_the_same_seed_gives_the_same_picture():
    results = []
    for _ in range(2):
        change = RandProcessingd(probability=1.0)
        change.set_random_state(3)
        results.append(change({"image": torch.from_numpy(picture())[None]})["image"])
    assert torch.equal(*results) and torch.isfinite(results[0]).all() and results[0].dtype == torch.float32
    assert (results[0][0].numpy() != picture()).mean() > 0.5
