"""Runs a task on many items: on the cores of this machine, or on a Dask cluster.

A thread of a Dask worker stands for one process that works on items (`item_process`), so that an item that hangs, dies or
eats memory costs no worker, and nothing else that runs there. Without the address of a scheduler, one worker with so many
threads runs inside this process.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import cloudpickle
import dask
from dask.system import CPU_COUNT
from distributed import Client, Future, KilledWorker, LocalCluster, as_completed, get_worker

from lumbar_ext.engine.item_process import ItemProcess
from lumbar_ext.engine.task import Ended, FullDiskError, How, ItemLimits, StoppedError, Task
from lumbar_ext.errors import InputError

_LEAST_WAITING = 100
"""Items that wait at the scheduler, so that no worker waits for the next; thousands would only cost it memory."""
_MOST_LOSSES = 5
"""So often an item is sent again after `distributed.scheduler.allowed-failures` workers were lost with it, which a machine
that is taken away can do, but not the item's own process."""
_CONNECT_SECONDS = 10  # for a scheduler to answer


def cores() -> int:
    """Processor cores that this process may use."""
    return CPU_COUNT


def run_items(
    task: Task,
    items: Sequence[Any],
    limits: ItemLimits,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Iterator[tuple[int, Ended]]:
    """Works on all items, and yields how each ended, with its index, in the order in which they end.

    Each item ends once. If the caller stops iterating, what is being worked on is given up.

    Args:
        task: what is done.
        items: picklable values.
        limits: of the work on one item.
        workers: processes on this machine, one for each core by default.
        scheduler: address of a Dask scheduler, such as tcp://10.0.0.1:8786, or the `.json` file that it wrote; its workers are
            used in place of this machine: as many processes as they have threads.

    Raises:
        InputError: if there is no such scheduler or it is lost, the task refuses all items, or the disk is full.
    """
    if not items:
        return
    job = Job(uuid.uuid4().hex, cloudpickle.dumps(task), limits)
    with _client(min(workers or cores(), len(items)), scheduler) as client:
        try:
            yield from _Run(client, job, items).ended()
        except FullDiskError as error:
            raise InputError(str(error)) from error
        except (OSError, CancelledError) as error:
            place = scheduler or "the processes of this machine"
            sentence = "lost in the middle of the run; what is finished stays, and the same command goes on from there"
            raise InputError(f"{place}: {sentence} ({type(error).__name__})") from error
        finally:
            # A cluster whose scheduler is lost answers no more; its processes end with its workers.
            with suppress(Exception):
                client.run(close_processes, job.name)


@dataclass(frozen=True)
class Job:
    """What all items of a run share.

    Args:
        name: of the run, like no other.
        task: pickled.
        limits: of each item.
    """

    name: str
    task: bytes
    limits: ItemLimits


class _Run:
    """One run: items that wait, items that are sent."""

    def __init__(self, client: Client, job: Job, items: Sequence[Any]) -> None:
        self.client, self.job, self.items = client, job, items
        self.waiting = deque(range(len(items)))
        self.sent: dict[Future, int] = {}
        self.losses = [0] * len(items)
        self.results = as_completed(raise_errors=False)

    def ended(self) -> Iterator[tuple[int, Ended]]:
        """How each item ended, with its index."""
        try:
            self._send()
            while self.sent:
                future = next(self.results)
                index = self.sent.pop(future)
                ended = self._result(future, index)
                if ended is None:
                    self.waiting.appendleft(index)
                self._send()
                if ended is not None:
                    yield index, ended
        finally:
            with suppress(Exception):
                self.client.cancel(list(self.sent))

    def _send(self) -> None:
        """Keeps enough items at the scheduler for workers that come and go."""
        wanted = max(_LEAST_WAITING, 4 * sum(self.client.nthreads().values()))
        while self.waiting and len(self.sent) < wanted:
            index = self.waiting.popleft()
            future = self.client.submit(run_item, self.job, cloudpickle.dumps(self.items[index]), pure=False)
            self.sent[future] = index
            self.results.add(future)

    def _result(self, future: Future, index: int) -> Ended | None:
        """How an item ended; None if it is to be sent again."""
        if future.status == "finished":
            return future.result()
        if future.status == "error":
            error = future.exception()
            if not isinstance(error, KilledWorker):
                raise error
            self.losses[index] += 1
            if self.losses[index] <= _MOST_LOSSES:
                return None
            return Ended(How.CRASHED, message=f"the workers it was sent to were lost: {error}")
        raise CancelledError


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Client]:
    if scheduler is not None:
        try:
            named = {"scheduler_file" if scheduler.endswith(".json") else "address": scheduler}
            client = Client(**named, timeout=_CONNECT_SECONDS, name="lumbar_ext")
        except (OSError, ValueError) as error:
            raise InputError(f"{scheduler}: no Dask scheduler answers there ({error})") from error
        with client:
            yield client
        return
    quiet = {"distributed.worker.memory.pause": False, "distributed.worker.memory.terminate": False}
    with dask.config.set(quiet), _local_cluster(workers) as cluster, Client(cluster) as client:
        yield client


def _local_cluster(workers: int) -> LocalCluster:
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    return LocalCluster(
        n_workers=1,
        threads_per_worker=workers,
        processes=False,
        # Its server starts without a dashboard, too: on the port that a cluster of the user's may have, if none is named.
        scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        silence_logs=logging.CRITICAL,
    )


class _Processes:
    """The processes of this Dask worker: at most one for each of its threads, all of one run, as a rule."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._idle: list[tuple[str, ItemProcess]] = []
        self._busy: list[tuple[str, ItemProcess]] = []
        self._closed: set[str] = set()

    @contextmanager
    def one(self, job: Job) -> Iterator[ItemProcess]:
        """An idle process of the run, or a new one in the place of idle ones of other runs."""
        with self._guard:
            if job.name in self._closed:
                raise StoppedError
            own = next((pair for pair in self._idle if pair[0] == job.name), None)
            superseded = [] if own else [process for _, process in self._idle]
            self._idle = [pair for pair in self._idle if pair is not own] if own else []
            own = own or (job.name, ItemProcess(job.task, _with_shares(job.limits)))
            self._busy.append(own)
        for process in superseded:
            process.close()
        try:
            yield own[1]
        finally:
            with self._guard:
                self._busy.remove(own)
                if job.name not in self._closed:
                    self._idle.append(own)

    def close(self, name: str) -> None:
        """Ends the processes of a run, also in the middle of items."""
        with self._guard:
            self._closed.add(name)
            own = [process for of, process in (*self._idle, *self._busy) if of == name]
            self._idle = [pair for pair in self._idle if pair[0] != name]
        for process in own:
            process.close()


_PROCESSES = _Processes()


def run_item(job: Job, item: bytes) -> Ended:
    """What a thread of a Dask worker does: hands a pickled item to a process of its own."""
    with _PROCESSES.one(job) as process:
        return process.run(item)


def close_processes(name: str) -> None:
    """Ends the processes of a run on a Dask worker."""
    _PROCESSES.close(name)


def _with_shares(limits: ItemLimits) -> ItemLimits:
    """ItemLimits with the Dask worker's cores and memory shared out among its threads, where they are not stated."""
    worker = get_worker()
    slots = worker.state.nthreads
    memory = worker.memory_manager.memory_limit
    share = limits.memory_gib or (memory / slots / 2**30 if memory else None)
    return replace(limits, threads=limits.threads or max(1, cores() // slots), memory_gib=share)
