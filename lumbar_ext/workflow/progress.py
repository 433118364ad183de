"""What a run shows on a terminal, and the wall time of its stages."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm


class Progress:
    """A progress bar over the stages of a run; silent when standard error is no terminal.

    A stage that was seen before starts a new run.

    Args:
        stages: number of stages of a whole run.

    Attributes:
        seconds: wall time of each finished stage of the run by name, in order.
    """

    def __init__(self, stages: int) -> None:
        self.seconds: dict[str, float] = {}
        self._stages = stages
        self._bar: tqdm | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times a stage and moves the bar on when it ends; an exception ends the run, the bar stays as it stands."""
        if self._bar is None or name in self.seconds:
            self._start_run()
        self._bar.set_description_str(name)
        start = time.perf_counter()
        try:
            yield
        except BaseException:
            self._close()
            raise
        self.seconds[name] = time.perf_counter() - start
        self._bar.update()
        if len(self.seconds) == self._stages:
            self._close()

    def note(self, text: str) -> None:
        """Shows what the running stage is doing."""
        if self._bar is not None:
            self._bar.set_description_str(text)

    def _start_run(self) -> None:
        self._close()
        self.seconds = {}
        form = "{desc:<34}{bar}| {n_fmt}/{total_fmt} stages [{elapsed}]"
        self._bar = tqdm(total=self._stages, disable=None, file=sys.stderr, bar_format=form)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None
