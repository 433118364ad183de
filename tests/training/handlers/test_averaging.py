import pytest
import torch
from ignite.engine import Engine
from torch import nn

from lumbar_ext.training.handlers.averaging import AveragedWeights, FollowWeights


def test_the_average_follows_the_formula():
    """w <- d w + (1 - d) x with d = min(decay, (1 + n) / (10 + n)): 1/10 at first, then 2/11."""
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(0.0)
    average = AveragedWeights(network, decay=0.9)
    network.weight.data.fill_(1.0)
    average.update()
    assert average.average.weight.item() == pytest.approx(0.9)
    average.update()
    assert average.average.weight.item() == pytest.approx(2 / 11 * 0.9 + 9 / 11)


def test_it_starts_from_weights_loaded_after_it_was_made():
    network = nn.Linear(2, 2)
    average = AveragedWeights(network)
    nn.init.constant_(network.weight, 3.0)
    engine = Engine(lambda engine, batch: None)
    FollowWeights(average).attach(engine)
    engine.run([0, 1])
    assert torch.equal(average.average.weight, network.weight) and average.updates == 2


def test_buffers_are_averaged_and_counters_copied():
    network = nn.BatchNorm1d(2)
    average = AveragedWeights(network, decay=0.5)
    network(torch.randn(8, 2) + 5)
    average.update()
    assert average.average.num_batches_tracked == 1
    assert (average.average.running_mean > 0).all() and not average.average.training


def test_a_resumed_average_is_not_overwritten():
    first, second = AveragedWeights(nn.Linear(1, 1)), AveragedWeights(nn.Linear(1, 1))
    first.update()
    second.load_state_dict(first.state_dict())
    second.start()
    assert torch.equal(second.average.weight, first.average.weight) and second.updates == 1
