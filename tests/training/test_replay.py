import numpy as np
import pytest
import torch
from monai.data import DataLoader
from torch.utils.data import IterableDataset, get_worker_info

from lumbar_ext.errors import InputError
from lumbar_ext.training.replay import ReplayedViews


class Numbered(IterableDataset):
    """Samples whose first pixel tells their number; four a pass, shared among workers as simulated ones are."""

    def __init__(self):
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for number in range(first, 4, step):
            yield {
                "image": torch.full((1, 8, 8), 0.01 * (4 * self.epoch + number)),
                "decomposition": torch.zeros(1, 8, 8),
                "landmarks_px": np.full((5, 7, 2), 3.0),
                "present": np.ones(5, bool),
                "view": "ap",
            }


def numbers(samples):
    return [round(100 * float(sample["image"].flatten()[0])) for sample in samples]


def test_every_fresh_view_is_shown_and_then_replayed():
    shown = numbers(ReplayedViews(Numbered(), 24, reuse=3))
    assert shown[::3] == list(range(8))
    assert all(older <= fresh for fresh, *others in zip(shown[::3], shown[1::3], shown[2::3], strict=True)
               for older in others)  # fmt: skip


def test_an_epoch_goes_on_where_the_last_one_ended():
    views = ReplayedViews(Numbered(), 5, reuse=1)
    assert numbers(views) + numbers(views) == list(range(10)) and len(views) == 5


def test_the_reservoir_forgets():
    shown = numbers(ReplayedViews(Numbered(), 400, reuse=10, capacity=2))
    assert min(shown[300:]) > 20


def test_workers_share_an_epoch():
    views = ReplayedViews(Numbered(), 8, reuse=1)
    batches = DataLoader(views, batch_size=1, num_workers=2)
    assert sorted(number for batch in batches for number in numbers([batch])) == list(range(8))


def test_the_grid_is_halved_with_its_landmarks():
    (sample,) = ReplayedViews(Numbered(), 1, downsample=2)
    assert sample["image"].shape == (1, 4, 4) and np.all(sample["landmarks_px"] == 1.25)


def test_sizes_must_be_positive():
    for name in ("length", "reuse", "capacity"):
        with pytest.raises(InputError, match=name):
            ReplayedViews(Numbered(), **{"length": 1, name: 0})
