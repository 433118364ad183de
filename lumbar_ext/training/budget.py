"""A training run that ends, with its learning rate annealed, after a given number of minutes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from ignite.engine import Engine, Events
from torch.optim import Optimizer

from lumbar_ext.errors import InputError


class TimeBudget:
    """Ends training after ``max_minutes``; optionally lets the learning rate follow the time left (cosine).

    A fixed number of epochs cannot know how fast a machine is, so neither can a schedule by epochs.

    Args:
        max_minutes: length of the run, counted from its first iteration; 0 switches the handler off.
        optimizer: its learning rates then fall from their start to ``final_fraction`` of it as a cosine of the elapsed
            time, after ``warmup_iterations``; None leaves them alone.
        final_fraction: last learning rate over the first.
        warmup_iterations: length of the linear rise at the start.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        max_minutes: float,
        optimizer: Optimizer | None = None,
        *,
        final_fraction: float = 0.01,
        warmup_iterations: int = 50,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_minutes < 0:
            raise InputError(f"max_minutes: expected 0 (no limit) or more, found {max_minutes}")
        self.max_seconds = 60.0 * max_minutes
        self.optimizer = optimizer
        self.final_fraction = final_fraction
        self.warmup_iterations = warmup_iterations
        self.clock = clock
        self.started: float | None = None
        self.iterations = 0
        self.start_rates = [group["lr"] for group in optimizer.param_groups] if optimizer else []

    def attach(self, engine: Engine) -> None:
        """Follows the engine, if there is a limit."""
        if self.max_seconds > 0:
            engine.add_event_handler(Events.ITERATION_STARTED, self.before_iteration)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self.after_iteration)

    def elapsed_fraction(self) -> float:
        """Part of the budget that is used up, 0 to 1."""
        if self.started is None:
            self.started = self.clock()
        return min(1.0, (self.clock() - self.started) / self.max_seconds)

    def rate_factor(self) -> float:
        """Current learning rate over the first one."""
        cosine = 0.5 * (1 + math.cos(math.pi * self.elapsed_fraction()))
        factor = self.final_fraction + (1 - self.final_fraction) * cosine
        return factor * min(1.0, (self.iterations + 1) / max(1, self.warmup_iterations))

    def before_iteration(self, engine: Engine) -> None:
        """Sets the learning rates."""
        factor = self.rate_factor()
        if self.optimizer is not None:
            for group, rate in zip(self.optimizer.param_groups, self.start_rates, strict=True):
                group["lr"] = rate * factor

    def after_iteration(self, engine: Engine) -> None:
        """Ends the run when the time is used up."""
        self.iterations += 1
        if self.elapsed_fraction() >= 1.0:
            minutes = self.max_seconds / 60
            engine.logger.info("time budget of %.1f minutes used up after %d iterations", minutes, self.iterations)
            # ends like a last epoch, so that validation and checkpoints at an epoch's end still happen
            engine.state.max_epochs = engine.state.epoch
            engine.terminate_epoch()
