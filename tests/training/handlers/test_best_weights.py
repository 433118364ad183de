import torch
from ignite.engine import Engine, Events
from torch import nn

from lumbar_ext.training.handlers.best_weights import BestWeights
from lumbar_ext.training.handlers.checkpoint import read_checkpoint


def validate(best, *scores):
    """Validations with the given scores; the weight is the number of the validation."""
    validator = Engine(lambda engine, batch: None)
    best.attach(validator)
    given = iter(scores)
    validator.add_event_handler(Events.STARTED, lambda e: e.state.metrics.update(score=next(given)))
    for number in range(len(scores)):
        nn.init.constant_(best.network.weight, number)
        validator.run([0])
    return read_checkpoint(best.path)["weight"].item()


def test_the_best_weights_stay(tmp_path):
    assert validate(BestWeights(nn.Linear(1, 1), tmp_path / "model.pt"), 0.2, 0.5, float("nan"), 0.4) == 1


def test_a_resumed_run_does_not_overwrite_better_weights(tmp_path):
    first = BestWeights(nn.Linear(1, 1), tmp_path / "model.pt")
    validate(first, 0.5)
    second = BestWeights(nn.Linear(1, 1), tmp_path / "model.pt")
    second.load_state_dict(first.state_dict())
    torch.save({"weight": torch.tensor(7.0)}, tmp_path / "model.pt")
    assert validate(second, 0.4) == 7 and second.score == 0.5 and second.epoch == 1
