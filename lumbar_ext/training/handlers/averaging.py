"""Exponential moving average of a network's weights, the copy that is validated and saved."""

from __future__ import annotations

from copy import deepcopy

import torch
from ignite.engine import Engine, Events
from torch import nn


class AveragedWeights:
    """Keeps a running average of a network's parameters and buffers.

    The decay grows with the number of updates n, min(decay, (1 + n) / (10 + n)), so that early weights fade quickly.

    Args:
        network: the network in training, possibly wrapped for distributed training.
        decay: weight of the past per iteration.
    """

    def __init__(self, network: nn.Module, decay: float = 0.998) -> None:
        self.network = getattr(network, "module", network)
        self.average = deepcopy(self.network).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    def start(self) -> None:
        """Takes over the network's weights, which may have been loaded since, unless the average was resumed."""
        if self.updates == 0:
            self.average.load_state_dict(self.network.state_dict())

    @torch.no_grad()
    def update(self) -> None:
        """Moves the average towards the network's weights; integer buffers are copied."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        current = self.network.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[name], 1 - decay)
            else:
                value.copy_(current[name])

    def state_dict(self) -> dict:
        """For checkpoints: the average and the number of updates."""
        return {"average": self.average.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict) -> None:
        """Restores what `state_dict` gave."""
        self.average.load_state_dict(state["average"])
        self.updates = int(state["updates"])


class FollowWeights:
    """Handler that keeps an average up to date after every iteration of a trainer.

    Args:
        average: the average; place this after the handlers that load checkpoints.
    """

    def __init__(self, average: AveragedWeights) -> None:
        self.average = average

    def attach(self, engine: Engine) -> None:
        """Follows the engine from its start."""
        engine.add_event_handler(Events.STARTED, self.average.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.average.update)
