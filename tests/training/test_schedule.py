from itertools import pairwise

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from lumbar_ext.errors import InputError
from lumbar_ext.networks import LumbarSpineNet
from lumbar_ext.training.schedule import WarmupStableDecay, decay_groups


def schedule(total=100, warmup=10, decay=20):
    return WarmupStableDecay(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5), total, warmup, decay)


def test_it_rises_stays_and_falls_to_zero():
    factors = [schedule().factor(k) for k in range(101)]
    assert factors[0] == pytest.approx(0.1) and factors[9:80] == [1.0] * 71
    assert all(a > b for a, b in pairwise(factors[80:])) and factors[100] == 0


def test_a_longer_campaign_changes_nothing_before_the_fall():
    assert [schedule(100).factor(k) for k in range(80)] == [schedule(1000).factor(k) for k in range(80)]


def test_the_run_ends_after_its_iterations_and_goes_on_where_it_was():
    rates, counts = [], []
    for total in (30, 50):
        one = schedule(total)
        if counts:
            one.load_state_dict({"iterations": counts[0]})
        engine = Engine(lambda engine, batch, one=one: rates.append(one.optimizer.param_groups[0]["lr"]))
        one.attach(engine)
        engine.add_event_handler(Events.COMPLETED, lambda engine, one=one: counts.append(one.iterations))
        engine.run(range(1000), max_epochs=1)
    assert counts == [30, 50] and len(rates) == 50
    assert rates[:10] == pytest.approx([0.05 * k for k in range(1, 11)])


def test_impossible_lengths_are_refused():
    with pytest.raises(InputError, match="total, warmup, decay"):
        schedule(total=20)


def test_only_convolution_weights_decay():
    network = LumbarSpineNet("tiny", 8)
    decaying, free = decay_groups(network, 0.1)
    assert decaying["weight_decay"] == 0.1 and free["weight_decay"] == 0
    assert all(p.ndim == 4 for p in decaying["params"]) and all(p.ndim == 1 for p in free["params"])
    assert len(decaying["params"]) + len(free["params"]) == len(list(network.parameters()))
