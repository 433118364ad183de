from types import SimpleNamespace

import pytest
from ignite.engine import Engine, Events

from lumbar_ext.errors import InputError
from lumbar_ext.training.handlers.early_stopping import EarlyStop


def epochs_run(patience, improved_at):
    best = SimpleNamespace(epoch=0)
    engine = Engine(lambda engine, batch: None)

    @engine.on(Events.EPOCH_COMPLETED)
    def validate(engine):
        if engine.state.epoch in improved_at:
            best.epoch = engine.state.epoch

    EarlyStop(best, patience).attach(engine)
    engine.run([0], max_epochs=10)
    return engine.state.epoch


def test_the_run_ends_when_the_best_weights_are_too_old():
    assert epochs_run(3, {1, 2}) == 5
    assert epochs_run(3, {1, 3, 5, 7, 9}) == 10


def test_zero_never_stops_nor_does_a_process_that_does_not_validate():
    assert epochs_run(0, {1}) == 10
    assert epochs_run(2, set()) == 10
    with pytest.raises(InputError, match="patience"):
        EarlyStop(SimpleNamespace(epoch=0), -1)
