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


def test_the_first_point_comes_within_a_minute_and_the_next_when_it_is_due(tmp_path):
    now, path = [0.0], tmp_path / "resume.pt"
    _, engine = trainer(path, [], every_minutes=1, clock=lambda: now[0])
    written_at = []

    @engine.on(Events.ITERATION_COMPLETED)
    def note(engine):
        written_at.append(torch.load(path)["iteration"] if path.exists() else None)
        now[0] += 12.5

    engine.run(range(8), max_epochs=1)
    # Iterations end at 0, 12.5, 25 s ...: the first after 20 s is the third, the first a minute later the eighth.
    assert written_at == [None, None, 3, 3, 3, 3, 3, 8]


def test_the_file_loads_without_pickled_code(tmp_path):
    trainer(tmp_path / "deep" / "resume.pt", [])[1].run(range(1), max_epochs=1)
    assert torch.load(tmp_path / "deep" / "resume.pt", weights_only=True)["epoch"] == 1
