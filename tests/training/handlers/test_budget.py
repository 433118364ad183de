import math
from itertools import pairwise

import pytest
import torch
from ignite.engine import Engine, Events

from lumbar_ext.errors import InputError
from lumbar_ext.training.handlers.budget import TimeBudget


class Clock:
    """Seconds that pass only when a batch is processed."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


def run(budget_minutes, clock, optimizer=None, state=None, **options):
    rates = []
    if optimizer:
        optimizer.param_groups[0]["lr"] = 1.0 if state else optimizer.param_groups[0]["lr"]

    def process(engine, batch):
        clock.seconds += 6.0
        rates.append(optimizer.param_groups[0]["lr"] if optimizer else None)

    engine = Engine(process)
    completed = []
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: completed.append(engine.state.epoch))
    engine.budget = TimeBudget(budget_minutes, optimizer, clock=clock, **options)
    engine.budget.load_state_dict(state or {"seconds": 0.0, "iterations": 0})
    engine.budget.attach(engine)
    engine.run(range(4), max_epochs=20)
    return engine, rates, completed


def test_the_run_ends_within_an_epoch_that_still_completes():
    engine, rates, completed = run(1.0, Clock())
    assert len(rates) == 10
    assert engine.state.epoch == 3 and completed == [1, 2, 3]


def test_the_rate_falls_as_a_cosine_of_time():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    _, rates, _ = run(1.0, Clock(), optimizer, final_fraction=0.1, warmup_iterations=0)
    assert rates[0] == pytest.approx(2.0)
    assert rates[5] == pytest.approx(2.0 * (0.1 + 0.9 * 0.5))  # half of the minute has passed
    assert all(a > b for a, b in pairwise(rates))


def test_the_rate_rises_linearly_at_first():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    _, rates, _ = run(1e6, Clock(), optimizer, warmup_iterations=4)
    assert rates[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0], rel=1e-3)


def test_a_session_ends_without_hurrying_the_rate_and_the_next_goes_on():
    """Ten minutes in all, three a session: the cosine is one of ten minutes."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    clock, options = Clock(), {"session_minutes": 3.0, "warmup_iterations": 0, "final_fraction": 0.0}
    first, state = [], {"seconds": 0.0, "iterations": 0}
    for _ in range(4):
        engine, rates, _ = run(10.0, clock, optimizer, state=state, **options)
        first.append(rates[0])
        state = engine.budget.state_dict()
    assert first == pytest.approx([0.5 * (1 + math.cos(math.pi * part)) for part in (0, 0.3, 0.6, 0.9)])
    assert state == {"seconds": 600.0, "iterations": 100}


def test_zero_is_no_limit_and_less_is_an_error():
    _, rates, _ = run(0, Clock())
    assert len(rates) == 80
    with pytest.raises(InputError, match="max_minutes"):
        TimeBudget(-1)
