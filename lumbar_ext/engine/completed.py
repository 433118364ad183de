"""Items through a task on this machine, for callers that want all values: simulated studies, sets that are evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

from threadpoolctl import threadpool_limits

from lumbar_ext.engine.task import How, ItemLimits, Task
from lumbar_ext.errors import InputError


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
    if workers <= 1:
        # As the engine's processes do: with another number of threads sums have other last bits, and files other bytes.
        with threadpool_limits(threads) if threads else nullcontext():
            yield from enumerate(map(task.prepare(), items))
        return
    # Dask comes with an extra that one process does without.
    from lumbar_ext.engine.run import run_items

    crashed = []
    for index, ended in run_items(task, items, ItemLimits(threads=threads), workers=workers):
        if ended.how is How.BAD_INPUT:
            raise InputError(ended.message)
        if ended.how is How.DONE:
            yield index, ended.value
        else:
            crashed.append(f"{names[index]}: {ended.message}\n{ended.log}")
    if crashed:
        raise RuntimeError("\n".join([f"{len(crashed)} studies crashed; all others are there", *crashed]))
