"""Streams: the samples of written studies, the same whatever makes them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.transforms import Compose, RandGaussianNoised
from torch.utils.data import DataLoader

from lumbar_ext.errors import InputError
from lumbar_ext.simulation.ranges import SimulationParameters
from lumbar_ext.simulation.simulated_study import simulate_study
from lumbar_ext.simulation.stream import SimulatedViews
from lumbar_ext.simulation.study_files import write_study
from lumbar_ext.simulation.study_spec import StudySpec
from lumbar_ext.training.view_records import read_view

# The size of a view does not matter here: a big pixel and one bin make it quick.
QUICK = replace(SimulationParameters(), beam=replace(SimulationParameters().beam, energy_bins=1))


@pytest.fixture(scope="module")
def samples(population):
    return list(SimulatedViews(population, 2, seed=11, parameters=QUICK))


def test_samples_are_those_of_written_studies(population, samples, tmp_path):
    write_study(simulate_study(population, StudySpec(11, parameters=QUICK)), tmp_path / "study")
    for sample, view in zip(samples[:2], ("ap", "lat"), strict=True):
        expected = read_view(tmp_path / "study", view).as_sample()
        assert set(sample) == set(expected)
        for name in ("image", "decomposition"):
            assert sample[name].dtype == expected[name].dtype
            assert torch.allclose(sample[name], expected[name], atol=1e-4)
        assert np.allclose(sample["landmarks_px"], expected["landmarks_px"], atol=1e-3)
        assert np.array_equal(sample["present"], expected["present"])
        assert sample["view"] == expected["view"]


def test_workers_share_the_studies_and_make_the_same(population, samples):
    views = SimulatedViews(population, 2, seed=11, parameters=QUICK)
    loaded = list(DataLoader(views, batch_size=None, num_workers=2, multiprocessing_context="fork"))
    order = [(s["view"], float(s["image"].double().sum())) for s in samples]
    assert sorted((s["view"], float(s["image"].double().sum())) for s in loaded) == sorted(order)


def test_processes_share_the_studies(population, samples, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    part = list(SimulatedViews(population, 2, seed=11, parameters=QUICK))
    assert len(part) == 2
    assert torch.equal(part[0]["image"], samples[2]["image"])


def test_random_transforms_depend_on_the_study_alone(population):
    transform = Compose([RandGaussianNoised("image", prob=1.0, std=0.5)])
    views = SimulatedViews(population, 1, seed=3, transform=transform, parameters=QUICK, views=("lat",))
    first, second = next(iter(views)), next(iter(views))
    assert torch.equal(torch.as_tensor(first["image"]), torch.as_tensor(second["image"]))


def test_epochs_go_on_to_other_studies(population, samples):
    views = SimulatedViews(population, 1, seed=11, parameters=QUICK, views=("ap",))
    views.set_epoch(1)
    assert torch.equal(next(iter(views))["image"], samples[2]["image"])
    assert len(views) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"split": "all"}, "split"), ({"n_studies": 0}, "n_studies"), ({"views": ("pa",)}, "views")],
)
def test_bad_arguments_are_refused(population, changes, message):
    with pytest.raises(InputError, match=message):
        SimulatedViews(population, **{"n_studies": 1} | changes)
