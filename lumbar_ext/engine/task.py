"""What is done to many items, within which limits, and how each of them ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class Task(Protocol):
    """Work on one item at a time; it travels to the processes by pickle."""

    def prepare(self) -> Callable[[Any], Any]:
        """Loads what all items share, once in every process, and returns what turns an item into a value.

        Raises:
            InputError: if nothing can be done with any item: the whole run ends.
        """
        ...


class How(StrEnum):
    """How the work on an item ended."""

    DONE = "done"
    BAD_INPUT = "bad input"
    """The task refused the item: an InputError."""
    CRASHED = "crashed"
    """An exception of the program, the death of its process, or more memory than allowed; in every attempt."""
    TIMED_OUT = "timed out"


@dataclass(frozen=True)
class ItemLimits:
    """What the work on one item may take.

    Args:
        seconds: wall time, after which the process is killed; None for no limit.
        memory_gib: resident memory, beyond which the process is killed; None for an equal share of the Dask worker's own limit.
        threads: of the numerical libraries in each process; None for an equal share of the machine's cores.
        retries: further attempts after a crash. What timed out is not tried again.
        prepare_seconds: wall time for `Task.prepare`.
    """

    seconds: float | None = None
    memory_gib: float | None = None
    threads: int | None = None
    retries: int = 2
    prepare_seconds: float = 1800.0


@dataclass(frozen=True)
class Ended:
    """The end of the work on an item.

    Args:
        how: in which way.
        value: what the task returned, if it is done.
        message: a sentence on what went wrong, else empty.
        log: the end of what the process wrote to its standard output and error, where it did not end well.
        attempts: how many times it was begun.
        seconds: wall time of the last attempt.
        cpu_seconds: processor time of the last attempt, 0 where the process did not live to tell.
        host: name of the machine.
    """

    how: How
    value: Any = None
    message: str = ""
    log: str = ""
    attempts: int = 1
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    host: str = field(default="")


class StoppedError(Exception):
    """The run was given up while this item was being worked on."""


class FullDiskError(Exception):
    """There is no space for results; the message says where. The run cannot go on."""
