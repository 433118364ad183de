"""One file from which an interrupted training run continues."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events


class ResumePoint:
    """Writes the state of a run every few minutes and at its end; restores it at the start when the file exists.

    Unlike MONAI's CheckpointSaver it goes by time (an epoch may last an hour), keeps one file, and replaces it
    atomically,
    so that a run killed at any moment can be started again with the same command.

    Args:
        path: the file.
        objects: name to object with ``state_dict`` and ``load_state_dict``.
        every_minutes: time between two writes.
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
        self._written = clock()

    def attach(self, engine: Engine) -> None:
        """Restores at the start, writes while running."""
        engine.add_event_handler(Events.STARTED, self.restore)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.write_if_due)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def restore(self, engine: Engine) -> None:
        """Loads the file, if it exists, and continues the engine's epoch and iteration counts."""
        if not self.path.is_file():
            return
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        for name, item in self.objects.items():
            item.load_state_dict(state[name])
        engine.state.epoch, engine.state.iteration = state["epoch"], state["iteration"]
        engine.logger.info("resumed from %s: %d epochs done", self.path, state["epoch"])

    def write_if_due(self, engine: Engine) -> None:
        """Writes when ``every_minutes`` have passed since the last time; the epoch under way counts as not done."""
        if self.clock() - self._written >= self.every_seconds:
            self._save(engine.state.epoch - 1, engine.state.iteration)

    def write(self, engine: Engine) -> None:
        """Writes at the end of a run."""
        self._save(engine.state.epoch, engine.state.iteration)

    def _save(self, epoch: int, iteration: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        state = {name: item.state_dict() for name, item in self.objects.items()}
        partial = self.path.with_suffix(".partial")
        torch.save({**state, "epoch": epoch, "iteration": iteration}, partial)
        os.replace(partial, self.path)
        self._written = self.clock()
