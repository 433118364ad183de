"""A process of this machine that works on one item after the other, and is killed when it hangs or eats the memory."""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import BinaryIO

import psutil

from lumbar_ext.engine.child import Answer
from lumbar_ext.engine.task import Ended, FullDiskError, How, ItemLimits, StoppedError
from lumbar_ext.errors import InputError

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_GLANCE_SECONDS = 0.2
"""So often the memory is looked at."""
_LOG_BYTES = 4000  # the end of what an item wrote, as much as a person reads
_CHILD = "import json, sys; sys.path[:] = json.loads(sys.argv[2]); from lumbar_ext.engine.child import main; main()"
"""The child finds what its parent finds, wherever it was started."""


class ItemProcess:
    """Runs a task's items in a child process, which lives on from item to item and is replaced when it has died.

    Args:
        task: the pickled `Task`.
        limits: of each item; `threads` and `memory_gib` are given.
    """

    def __init__(self, task: bytes, limits: ItemLimits) -> None:
        self.task, self.limits = task, limits
        self._lock = threading.Lock()
        self._child: subprocess.Popen | None = None
        self._connection: Connection | None = None
        self._closed = False
        self._log, self._written = _nameless_file()

    def run(self, item: bytes) -> Ended:
        """Works on a pickled item, again after a crash.

        Raises:
            StoppedError: if the process was closed meanwhile.
            InputError: if the task cannot be prepared here.
            FullDiskError: if there is no space for results.
        """
        for attempt in range(1, self.limits.retries + 2):
            ended = replace(self._attempt(item), attempts=attempt, host=socket.gethostname())
            if ended.how is not How.CRASHED:
                break
        return ended

    def close(self) -> None:
        """Ends the process, also in the middle of an item."""
        with self._lock:
            self._closed = True
        self._kill()

    def _attempt(self, item: bytes) -> Ended:
        started = time.perf_counter()
        try:
            self._start()
            self._connection.send_bytes(item)
            answer = self._answer(self.limits.seconds)
        except TimeoutError:
            seconds = time.perf_counter() - started
            log = self._end()
            return Ended(How.TIMED_OUT, message=f"took more than {self.limits.seconds:g} s", log=log, seconds=seconds)
        except (EOFError, OSError, MemoryError) as error:
            seconds = time.perf_counter() - started
            log = self._end(is_dying=not isinstance(error, MemoryError))
            if self._closed:
                raise StoppedError from None
            return Ended(How.CRASHED, message=self._why_dead(error), log=log, seconds=seconds)
        if answer.kind == "disk full":
            raise FullDiskError(answer.message)
        how = {"value": How.DONE, "bad input": How.BAD_INPUT, "error": How.CRASHED}[answer.kind]
        log = "" if how is How.DONE else self._log_tail()
        return Ended(how, answer.value, answer.message, log, seconds=answer.seconds, cpu_seconds=answer.cpu_seconds)

    def _start(self) -> None:
        """Starts the child, if there is none, and waits until the task is prepared."""
        if self._child is not None and self._child.poll() is None:
            return
        ours, theirs = socket.socketpair()
        with self._lock:
            if self._closed:
                raise StoppedError
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-c", _CHILD, str(theirs.fileno()), json.dumps(sys.path)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env={**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(self.limits.threads))},
                # Ctrl-C on the terminal is the caller's to handle.
                start_new_session=True,
            )
            self._connection = Connection(ours.detach())
        theirs.close()
        self._connection.send_bytes(self.task)
        answer = self._answer(self.limits.prepare_seconds)
        if answer.kind == "disk full":
            raise FullDiskError(answer.message)
        if answer.kind != "value":
            log = self._end()
            raise InputError(answer.message) if answer.kind == "bad input" else RuntimeError(f"{answer.message}\n{log}")

    def _answer(self, seconds: float | None) -> Answer:
        """The child's next answer.

        Raises:
            TimeoutError: if it takes longer.
            MemoryError: if the child holds more memory than allowed.
            EOFError, OSError: if it has died.
        """
        end = None if seconds is None else time.perf_counter() + seconds
        connection, child = self._connection, psutil.Process(self._child.pid)
        while not connection.poll(_GLANCE_SECONDS):
            if end is not None and time.perf_counter() > end:
                raise TimeoutError
            with suppress(psutil.Error):
                held_gib = child.memory_info().rss / 2**30
                if self.limits.memory_gib is not None and held_gib > self.limits.memory_gib:
                    raise MemoryError(
                        f"used {held_gib:.1f} GiB, more than the {self.limits.memory_gib:.1f} GiB allowed"
                    )
        return pickle.loads(connection.recv_bytes())

    def _why_dead(self, error: Exception) -> str:
        if isinstance(error, MemoryError):
            return str(error)
        code = None if self._child is None else self._child.returncode
        if code is not None and code < 0:
            with suppress(ValueError):
                return f"the process was ended by {signal.Signals(-code).name}"
        return f"the process ended with exit status {code}"

    def _end(self, is_dying: bool = False) -> str:
        """Kills what is left of the child and returns the end of its log.

        Args:
            is_dying: whether it is left a moment to die by itself, as its exit status then says why.
        """
        if is_dying and self._child is not None:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(2)
        self._kill()
        return self._log_tail()

    def _kill(self) -> None:
        with self._lock:
            if self._child is not None:
                with suppress(ProcessLookupError):
                    os.killpg(self._child.pid, signal.SIGKILL)
                self._child.wait()

    def _log_tail(self) -> str:
        self._written.seek(0, os.SEEK_END)
        self._written.seek(max(0, self._written.tell() - _LOG_BYTES))
        return self._written.read().decode("utf-8", errors="replace").strip()


def _nameless_file() -> tuple[BinaryIO, BinaryIO]:
    """A file that is gone with its users: for appending, and for reading at another place."""
    number, path = tempfile.mkstemp(prefix="lumbar_ext-log-")
    os.close(number)
    try:
        return open(path, "ab"), open(path, "rb")
    finally:
        os.unlink(path)
