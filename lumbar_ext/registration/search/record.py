"""The clock and the log of a search."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lumbar_ext.compiled import seconds_compiling
from lumbar_ext.errors import InputError
from lumbar_ext.registration.result import Curvature, HistoryEntry, LevelSearch

ReportProgress = Callable[[str, int, float], None]
"""Called now and then with the level (or "all"), the evaluations so far and the current loss."""


class Record:
    """Counts evaluations and seconds and tells the caller about progress.

    Seconds are processor time of this process: what a search finds within a limit does not depend on what else the machine
    does.
    """

    def __init__(self, progress: ReportProgress | None, max_seconds: float | None) -> None:
        if max_seconds is not None and not max_seconds > 0:
            raise InputError(f"max_seconds must be positive, found {max_seconds}")
        self.evaluations = 0
        self.history: list[HistoryEntry] = []
        self.curvature: Curvature | None = None
        self.levels: dict[str, LevelSearch] = {}
        self._progress = progress
        self._begin, self._compiling = time.process_time(), seconds_compiling()
        self.limit_seconds = np.inf if max_seconds is None else float(max_seconds)

    @property
    def seconds(self) -> float:
        """Since the start, without the time in which kernels were compiled, so that it does not use up a limit."""
        return time.process_time() - self._begin - (seconds_compiling() - self._compiling)

    @property
    def seconds_left(self) -> float:
        """Until the limit; infinite without one, never negative."""
        return max(self.limit_seconds - self.seconds, 0.0)

    @property
    def out_of_time(self) -> bool:
        """Whether the limit of processor time is reached; never without one."""
        return self.seconds_left <= 0

    def report(self, level: str, loss: float) -> None:
        """Notes the loss and calls the progress callback."""
        self.history.append(HistoryEntry(self.evaluations, float(loss)))
        if self._progress is not None:
            self._progress(level, self.evaluations, float(loss))

    def visited(self, level: str, visit: LevelSearch) -> None:
        """Notes a visit of one vertebra; several add up."""
        before = self.levels.get(level)
        if before is not None:
            visit = replace(
                visit, evaluations=visit.evaluations + before.evaluations, seconds=visit.seconds + before.seconds
            )
        self.levels[level] = visit
