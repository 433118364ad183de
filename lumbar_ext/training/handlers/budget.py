"""A training run that ends, with its learning rate annealed, after a given number of minutes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import ignite.distributed as idist
from ignite.engine import Engine, Events
from torch.optim import Optimizer

from lumbar_ext.errors import InputError


class TimeBudget:
    """Ends training after `max_minutes`; optionally lets the learning rate follow the time left (cosine).

    A fixed number of epochs cannot know how fast a machine is, so neither can a schedule by epochs. The minutes are those
    of the whole run: as one of `resume.ResumePoint`'s objects the budget goes on counting where an interrupted
    run stopped. With several processes the first one's clock counts for all, so that all stop at the same iteration.

    Args:
        max_minutes: length of the run, counted from its first iteration; 0 for no limit.
        optimizer: its learning rates then fall from their start to `final_fraction` of it as a cosine of the elapsed
            time, after `warmup_iterations`; None leaves them alone.
        session_minutes: ends this session, without hurrying the learning rate, for machines that are lent for some
            minutes at a time; 0 for no limit.
        final_fraction: last learning rate over the first.
        warmup_iterations: length of the linear rise at the start.
        clock: seconds, for tests.

    Raises:
        InputError: for negative minutes.
    """

    def __init__(
        self,
        max_minutes: float,
        optimizer: Optimizer | None = None,
        *,
        session_minutes: float = 0.0,
        final_fraction: float = 0.01,
        warmup_iterations: int = 50,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for name, minutes in (("max_minutes", max_minutes), ("session_minutes", session_minutes)):
            if minutes < 0:
                raise InputError(f"{name}: expected 0 (no limit) or more, found {minutes}")
        self.max_seconds = 60.0 * max_minutes
        self.session_seconds = 60.0 * session_minutes
        self.optimizer = optimizer
        self.final_fraction = final_fraction
        self.warmup_iterations = warmup_iterations
        self.clock = clock
        self.started: float | None = None
        self.seconds_before = 0.0
        self.iterations = 0
        self.start_rates = [group["lr"] for group in optimizer.param_groups] if optimizer else []

    def attach(self, engine: Engine) -> None:
        """Follows the engine, if there is a limit."""
        if self.max_seconds > 0:
            engine.add_event_handler(Events.ITERATION_STARTED, self.before_iteration)
        if self.max_seconds > 0 or self.session_seconds > 0:
            engine.add_event_handler(Events.ITERATION_COMPLETED, self.after_iteration)

    def session_elapsed_seconds(self) -> float:
        """Time since the first call, on the clock of the first process."""
        if self.started is None:
            self.started = self.clock()
        elapsed = self.clock() - self.started
        return float(idist.broadcast(elapsed, src=0)) if idist.get_world_size() > 1 else elapsed

    def rate_factor(self) -> float:
        """Current learning rate over the first one."""
        elapsed = min(1.0, (self.seconds_before + self.session_elapsed_seconds()) / self.max_seconds)
        cosine = 0.5 * (1 + math.cos(math.pi * elapsed))
        factor = self.final_fraction + (1 - self.final_fraction) * cosine
        return factor * min(1.0, (self.iterations + 1) / max(1, self.warmup_iterations))

    def before_iteration(self, engine: Engine) -> None:
        """Sets the learning rates of the iteration to come by the time that has passed."""
        factor = self.rate_factor()
        if self.optimizer is not None:
            for group, rate in zip(self.optimizer.param_groups, self.start_rates, strict=True):
                group["lr"] = rate * factor

    def after_iteration(self, engine: Engine) -> None:
        """Ends the run, or the session, when its time is used up."""
        self.iterations += 1
        session = self.session_elapsed_seconds()
        over = 0 < self.max_seconds <= self.seconds_before + session
        if over or 0 < self.session_seconds <= session:
            what = "time budget" if over else "session"
            minutes = (self.seconds_before + session) / 60
            engine.logger.info("%s used up: %.1f minutes, %d iterations in all", what, minutes, self.iterations)
            # ends like a last epoch, so that validation and checkpoints at an epoch's end still happen
            engine.state.max_epochs = engine.state.epoch
            engine.terminate_epoch()

    def state_dict(self) -> dict[str, float]:
        """For checkpoints: the time used so far, and the iterations done in it."""
        session = 0.0 if self.started is None else self.clock() - self.started
        return {"seconds": self.seconds_before + session, "iterations": self.iterations}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Restores what `state_dict` gave."""
        self.seconds_before, self.iterations = float(state["seconds"]), int(state["iterations"])
