"""One file from which an interrupted training run continues."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from lumbar_ext.errors import InputError
from lumbar_ext.training.handlers.checkpoint import read_checkpoint, write_checkpoint

FIRST_SECONDS = 20.0
"""The first write comes this soon, so that a run that is killed in its first minutes does not start from nothing."""


class ResumePoint:
    """Writes the state of a run soon, then every few minutes and at its end; restores it when the file exists.

    Unlike MONAI's CheckpointSaver it goes by time (an epoch may last an hour), keeps one file, and replaces it
    atomically, so that a run killed at any moment can be started again with the same command. With several processes all
    restore and the first one writes.

    Args:
        path: the file.
        objects: name to object with `state_dict` and `load_state_dict`.
        every_minutes: time between two writes; the first one comes after 20 seconds.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        path: str | Path,
        objects: Mapping[str, Any],
        every_minutes: float = 3.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = Path(path)
        self.objects = dict(objects)
        self.every_seconds = 60.0 * every_minutes
        self.clock = clock
        self._due = clock() + min(FIRST_SECONDS, self.every_seconds)

    def attach(self, engine: Engine) -> None:
        """Restores at the start, writes while running."""
        engine.add_event_handler(Events.STARTED, self.restore)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.write_if_due)
        engine.add_event_handler(Events.COMPLETED, self.write)
        engine.add_event_handler(Events.TERMINATE, self.write_unfinished)

    def restore(self, engine: Engine) -> None:
        """Loads the file, if it exists, and continues the engine's epoch and iteration counts.

        An object that the file knows nothing of (one from an older version) starts anew.

        Raises:
            InputError: when the file is damaged or belongs to another network.
        """
        if not self.path.is_file():
            return
        state = read_checkpoint(self.path)
        try:
            for name, item in self.objects.items():
                if name in state:
                    item.load_state_dict(state[name])
                else:
                    engine.logger.warning("%s holds no %s, which starts anew", self.path, name)
            engine.state.epoch, engine.state.iteration = state["epoch"], state["iteration"]
        except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise InputError(
                f"{self.path}: not a state of this run ({type(error).__name__}: {reason}); "
                "give another --resume, or --resume '' to start anew"
            ) from error
        engine.logger.info("resumed from %s: %d epochs done", self.path, state["epoch"])

    def write_if_due(self, engine: Engine) -> None:
        """Writes when the time has come; the epoch under way counts as not done."""
        if self.clock() >= self._due:
            self._save(engine.state.epoch - 1, engine.state.iteration)

    def write(self, engine: Engine) -> None:
        """Writes at the end of a run; the last epoch counts as done."""
        self._save(engine.state.epoch, engine.state.iteration)

    def write_unfinished(self, engine: Engine) -> None:
        """Writes where a session is ended within an epoch, which counts as not done."""
        self._save(engine.state.epoch - 1, engine.state.iteration)

    def _save(self, epoch: int, iteration: int) -> None:
        self._due = self.clock() + self.every_seconds
        if idist.get_rank() == 0:
            state = {name: item.state_dict() for name, item in self.objects.items()}
            write_checkpoint(self.path, {**state, "epoch": epoch, "iteration": iteration})
