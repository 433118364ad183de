"""A campaign's learning curve: one line of a CSV file for each validation, over all sessions."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from ignite.engine import Engine, Events

_DIGITS = 5  # of numbers in CSV files


class LearningCurve:
    """Appends to a CSV file: iterations, hours of training, mean training loss terms since the last line, all metrics.

    Args:
        path: the file; a line that other columns would need makes a new file beside the old one (`.1`, `.2` ...).
        validator: its metrics are written when it completes.
        losses: gives the terms of the latest iteration.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        path: str | Path,
        validator: Engine,
        losses: Callable[[], Mapping[str, float]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = Path(path)
        self.validator = validator
        self.losses = losses
        self.clock = clock
        self.iterations = 0
        self.seconds = 0.0
        self._since: float | None = None
        self._sums: dict[str, list[float]] = {}

    def attach(self, trainer: Engine) -> None:
        """Follows the trainer; place this after the handler that restores its state."""
        trainer.add_event_handler(Events.ITERATION_STARTED, self._start)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        self.validator.add_event_handler(Events.COMPLETED, self.write)

    def _start(self) -> None:
        self._since = self.clock()

    def _add(self) -> None:
        self.iterations += 1
        self.seconds += self.clock() - self._since
        for name, value in self.losses().items():
            self._sums.setdefault(name, []).append(value)

    def write(self, validator: Engine) -> None:
        """Appends a line with the means since the last one."""
        row = {"iteration": self.iterations, "hours": self.seconds / 3600}
        row |= {f"train_{name}": float(np.mean(values)) for name, values in self._sums.items()}
        row |= {name: float(value) for name, value in validator.state.metrics.items()}
        self._sums = {}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        exists = self._make_way(list(row))
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row))
            if not exists:
                writer.writeheader()
            writer.writerow({name: round(value, _DIGITS) for name, value in row.items()})

    def _make_way(self, columns: list[str]) -> bool:
        """Whether the file exists with these columns; one with others is renamed."""
        if not self.path.is_file():
            return False
        with self.path.open(newline="", encoding="utf-8") as file:
            if next(csv.reader(file), None) == columns:
                return True
        number = 1
        while (old := self.path.with_suffix(f".{number}{self.path.suffix}")).exists():
            number += 1
        self.path.rename(old)
        return False

    def state_dict(self) -> dict[str, float]:
        """Iterations and seconds so far, for checkpoints."""
        return {"iterations": self.iterations, "seconds": self.seconds}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Restores what `state_dict` gave."""
        self.iterations, self.seconds = int(state["iterations"]), float(state["seconds"])
