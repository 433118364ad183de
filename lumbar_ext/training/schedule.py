"""Learning rates by iterations: a rise, a plateau, and a fall to zero at the end of a campaign of known length."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ignite.engine import Engine, Events
from torch import nn
from torch.optim import Optimizer

from lumbar_ext.errors import InputError


class WarmupStableDecay:
    """Sets the learning rates before each iteration; ends the run after `total` of them.

    The plateau's weights depend on nothing that is to come. So a campaign can be made longer while it lasts, and a copy of
    its state taken at any time can end in a short fall of its own (a smaller `total`), with weights that are usable then.

    Args:
        optimizer: its groups keep their ratios.
        total: iterations of the whole campaign.
        warmup: of the linear rise from zero.
        decay: of the fall to zero, as the square root's complement (1 - sqrt of the fraction done), at the end.

    Raises:
        InputError: unless 0 <= warmup, 0 < decay and warmup + decay <= total.
    """

    def __init__(self, optimizer: Optimizer, total: int, warmup: int, decay: int) -> None:
        if not (warmup >= 0 and decay > 0 and warmup + decay <= total):
            raise InputError(
                f"total, warmup, decay: expected 0 <= warmup, 0 < decay, warmup + decay <= total; "
                f"found {total}, {warmup}, {decay}"
            )
        self.optimizer = optimizer
        self.total, self.warmup, self.decay = int(total), int(warmup), int(decay)
        self.iterations = 0
        self.start_rates = [float(group["lr"]) for group in optimizer.param_groups]

    def factor(self, iteration: int) -> float:
        """The rate of the iteration of that number, the first being 0, over the plateau's."""
        rise = min(1.0, (iteration + 1) / max(1, self.warmup))
        done = min(max(iteration - (self.total - self.decay), 0) / self.decay, 1.0)
        return rise * (1 - math.sqrt(done))

    def attach(self, engine: Engine) -> None:
        """Follows a trainer; place this after the handler that restores its state."""
        engine.add_event_handler(Events.ITERATION_STARTED, self._set)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._count)

    def _set(self, engine: Engine) -> None:
        factor = self.factor(self.iterations)
        for group, rate in zip(self.optimizer.param_groups, self.start_rates, strict=True):
            group["lr"] = rate * factor

    def _count(self, engine: Engine) -> None:
        self.iterations += 1
        if self.iterations >= self.total:
            engine.logger.info("campaign of %d iterations done", self.total)
            # ends like a last epoch, so that what happens at an epoch's end still does
            engine.state.max_epochs = engine.state.epoch
            engine.terminate_epoch()

    def state_dict(self) -> dict[str, int]:
        """For checkpoints: the number of iterations done."""
        return {"iterations": self.iterations}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Restores what `state_dict` gave."""
        self.iterations = int(state["iterations"])


def decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser: weights of convolutions decay, biases and normalisation do not."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for parameter in _trainable(network):
        groups[parameter.ndim > 1].append(parameter)
    return [
        {"params": groups[True], "weight_decay": float(weight_decay)},
        {"params": groups[False], "weight_decay": 0.0},
    ]


def _trainable(network: nn.Module) -> Iterator[nn.Parameter]:
    return (parameter for parameter in network.parameters() if parameter.requires_grad)
