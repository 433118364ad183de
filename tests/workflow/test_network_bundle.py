"""Weights are loaded as they should be or not at all."""

from pathlib import Path

import pytest
import torch
from torch import nn

from lumbar_ext.errors import InputError
from lumbar_ext.workflow.network_bundle import load_bundle_network, load_weights

MULTITASK = Path(__file__).parents[2] / "bundles" / "lumbar_multitask"


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(nn.Linear(2, 3).state_dict(), path)
    return path


def test_weights_are_filled_in(weights):
    network = load_weights(nn.Linear(2, 3), weights)
    assert torch.equal(network.weight, torch.load(weights, weights_only=True)["weight"])


def truncate(path):
    path.write_bytes(path.read_bytes()[:300])


def empty(path):
    path.write_bytes(b"")


def no_dictionary(path):
    torch.save(torch.zeros(3), path)


def folder(path):
    path.unlink()
    path.mkdir()


def not_finite(path):
    torch.save({"weight": torch.full((3, 2), torch.nan), "bias": torch.zeros(3)}, path)


def sparse(path):
    torch.save({"weight": torch.ones(3, 2).to_sparse(), "bias": torch.zeros(3)}, path)


def nested(path):
    torch.save({"weight": {"a": torch.ones(3, 2)}, "bias": torch.zeros(3)}, path)


@pytest.mark.parametrize("damage", [Path.unlink, truncate, empty, no_dictionary, folder, not_finite, sparse, nested])
def test_damaged_weights_are_named(weights, damage):
    damage(weights)
    with pytest.raises(InputError, match=r"model\.pt: .*Linear"):
        load_weights(nn.Linear(2, 3), weights)


def test_weights_of_another_network_are_refused(weights):
    with pytest.raises(InputError, match=r"model\.pt: not (the )?weights of Linear"):
        load_weights(nn.Linear(4, 3), weights)


def test_the_network_of_a_bundle_is_built_from_its_config(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.*inference\.json: no such file"):
        load_bundle_network(tmp_path / "nowhere", tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt: no such file, expected the weights of LumbarSpineNet"):
        load_bundle_network(MULTITASK, tmp_path / "model.pt")
