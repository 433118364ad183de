import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from lumbar_ext.training.handlers.resume import ResumePoint


def trainer(path, epochs_seen, stop_at=None, **options):
    """A linear layer whose weight counts its iterations, and the engine that trains it."""
    network = nn.Linear(1, 1)
    nn.init.zeros_(network.weight)

    def process(engine, batch):
        if engine.state.iteration == stop_at:
            raise KeyboardInterrupt
        network.weight.data += 1
        epochs_seen.append(engine.state.epoch)

    engine = Engine(process)
    ResumePoint(path, {"network": network}, **options).attach(engine)
    return network, engine


def test_a_finished_run_goes_on_where_it_ended(tmp_path):
    seen = []
    trainer(tmp_path / "resume.pt", seen)[1].run(range(3), max_epochs=2)
    network, engine = trainer(tmp_path / "resume.pt", seen)
    engine.run(range(3), max_epochs=4)
    assert network.weight.item() == 12 and seen == [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3


def test_a_killed_run_goes_on_within_its_epoch(tmp_path):
    seen = []
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "resume.pt", seen, stop_at=5, every_minutes=0)[1].run(range(3), max_epochs=3)
    network, engine = trainer(tmp_path / "resume.pt", seen)
    engine.run(range(3), max_epochs=3)
    assert network.weight.item() == 9 and seen == [1] * 3 + [2] * 3 + [3] * 3


def test_nothing_is_written_before_it_is_due(tmp_path):
    now = [0.0]
    _, engine = trainer(tmp_path / "resume.pt", [], every_minutes=1, clock=lambda: now[0])
    point_written = []

    @engine.on(Events.ITERATION_COMPLETED)
    def note(engine):
        now[0] += 25.0
        point_written.append((tmp_path / "resume.pt").exists())

    engine.run(range(4), max_epochs=1)
    assert point_written == [False, False, False, True]


def test_the_file_loads_without_pickled_code(tmp_path):
    trainer(tmp_path / "deep" / "resume.pt", [])[1].run(range(1), max_epochs=1)
    assert torch.load(tmp_path / "deep" / "resume.pt", weights_only=True)["epoch"] == 1
