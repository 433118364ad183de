"""Items through a task on this machine, for callers that want all values: simulated studies, sets that are evaluated."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from lumbar_ext.engine.task import Ended, How, ItemLimits, Task
from lumbar_ext.errors import InputError


class Report(Protocol):
    """What is made of the values of all items."""

    def add(self, value: Any) -> None:
        """Takes in the value of an item."""
        ...

    def finish(self) -> None:
        """Writes and prints."""
        ...


@dataclass
class Gathered:
    """A report that is made of all values at once.

    Args:
        make: writes and prints it.
        values: those so far.
    """

    make: Callable[[list[Any]], None]
    values: list[Any] = field(default_factory=list)

    def add(self, value: Any) -> None:
        """Keeps the value of an item."""
        self.values.append(value)

    def finish(self) -> None:
        """Makes the report."""
        self.make(self.values)


def completed(
    task: Task, items: Sequence[Any], names: Sequence[str], workers: int = 1, threads: int | None = None
) -> Iterator[tuple[int, Any]]:
    """The value of each item with its index, as they are done.

    One worker is this process, which needs no Dask.

    Args:
        task: what is done.
        items: picklable values.
        names: what to call each of them.
        workers: processes.
        threads: of the numerical libraries in each; None for all in this process, and for equal shares in several.

    Raises:
        InputError: of the first item that is refused.
        RuntimeError: at the end, naming the items whose processes crashed; all others are done.
    """
    crashed: list[str] = []
    for index, ended in _ends(task, items, workers, threads):
        if ended.how is How.DONE:
            yield index, ended.value
        else:
            crashed.append(_crash(names[index], ended))
    _raise_for(crashed)


def report_completed(task: Task, items: Sequence[Any], names: Sequence[str], report: Report, workers: int = 1) -> None:
    """Adds the value of each item to a report, in the order of the items, and finishes it.

    However many processes there are, the report is the same. An item whose process crashes is missing from it.

    Args:
        task, items, names, workers: see `completed`.
        report: of all values.

    Raises:
        InputError: of the first item that is refused; nothing is reported.
        RuntimeError: after the report, naming the items that are missing from it.
    """
    crashed: list[str] = []
    ends = tqdm(_ends(task, items, workers, None), total=len(items), unit="item", disable=None)
    for index, ended in _in_order(ends):
        if ended.how is How.DONE:
            report.add(ended.value)
        else:
            crashed.append(_crash(names[index], ended))
    report.finish()
    _raise_for(crashed)


def _ends(task: Task, items: Sequence[Any], workers: int, threads: int | None) -> Iterator[tuple[int, Ended]]:
    """How each item ended, with its index, as they end; an item that is refused ends all."""
    if workers <= 1:
        # As the engine's processes do: with another number of threads sums have other last bits, and files other bytes.
        with threadpool_limits(threads) if threads else nullcontext():
            work = task.prepare()
            for index, item in enumerate(items):
                yield index, Ended(How.DONE, work(item))
        return
    # Dask comes with an extra that one process does without.
    import cloudpickle

    from lumbar_ext.engine.run import run_items

    with tempfile.TemporaryDirectory(prefix="lumbar_ext-task-") as folder:
        stored = _StoredTask(Path(folder, "task.pkl"))
        stored.path.write_bytes(cloudpickle.dumps(task))
        for index, ended in run_items(stored, items, ItemLimits(threads=threads), workers=workers):
            if ended.how is How.BAD_INPUT:
                raise InputError(ended.message)
            yield index, ended


@dataclass(frozen=True)
class _StoredTask:
    """A task in a file of this machine: one that holds networks would weigh down every item it travels with."""

    path: Path

    def prepare(self) -> Callable[[Any], Any]:
        import cloudpickle

        return cloudpickle.loads(self.path.read_bytes()).prepare()


def _in_order(ends: Iterable[tuple[int, Ended]]) -> Iterator[tuple[int, Ended]]:
    """The same by index: what ends before its turn waits for it."""
    waiting: dict[int, Ended] = {}
    turn = 0
    for index, ended in ends:
        waiting[index] = ended
        while turn in waiting:
            yield turn, waiting.pop(turn)
            turn += 1


def _crash(name: str, ended: Ended) -> str:
    return f"{name}: {ended.message}\n{ended.log}"


def _raise_for(crashed: Sequence[str]) -> None:
    if crashed:
        raise RuntimeError("\n".join([f"{len(crashed)} studies crashed; all others are there", *crashed]))
