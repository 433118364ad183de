"""Keeps the weights that validated best, across interruptions of a run."""

from __future__ import annotations

from pathlib import Path

from ignite.engine import Engine, Events
from torch import nn

from lumbar_ext.training.handlers.checkpoint import write_checkpoint


class BestWeights:
    """Writes a network's state dictionary whenever the validator's metric is better than ever before.

    Unlike MONAI's CheckpointSaver it replaces the file atomically, and remembers the best score when a run is resumed (as
    one of `resume.ResumePoint`'s objects), so that a restart never overwrites better weights.

    Args:
        network: whose weights.
        path: the file.
        metric: name of the validator's metric, the greater the better; NaN is never better.
    """

    def __init__(self, network: nn.Module, path: str | Path, metric: str = "score") -> None:
        self.network = network
        self.path = Path(path)
        self.metric = metric
        self.score = float("-inf")
        self.epoch = 0

    def attach(self, validator: Engine) -> None:
        """Listens for the end of each validation."""
        validator.add_event_handler(Events.COMPLETED, self.compare)

    def compare(self, validator: Engine) -> None:
        """Writes the weights if they are the best so far."""
        score = float(validator.state.metrics[self.metric])
        if score > self.score:
            write_checkpoint(self.path, self.network.state_dict())
            self.score, self.epoch = score, validator.state.epoch
            validator.logger.info("best %s so far: %.4f, written to %s", self.metric, score, self.path)

    def state_dict(self) -> dict[str, float]:
        """The best score so far and its epoch, for checkpoints."""
        return {"score": self.score, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Restores what `state_dict` gave."""
        self.score, self.epoch = float(state["score"]), int(state["epoch"])
