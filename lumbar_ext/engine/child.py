"""The process that works on items, one at a time; `item_process` starts it.

Over a socket it is sent a pickled task, answers when that is prepared, then answers every item. It ends when the
other end is closed, also in the middle of an item, so that no process outlives the one that started it.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import queue
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from lumbar_ext.workflow.error_reporting import full_disk_behind, input_error_behind


@dataclass(frozen=True)
class Answer:
    """What became of a task's preparation or of an item.

    Args:
        kind: "value", "bad input", "disk full" or "error".
        value: for "value".
        message: for the others, a sentence.
        seconds: wall time.
        cpu_seconds: processor time of this process.
    """

    kind: str
    value: Any = None
    message: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0


def main() -> None:
    """Serves the socket whose number is the first argument, until the other end closes."""
    faulthandler.enable()
    connection = Connection(int(sys.argv[1]))
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()
    task = inbox.get()
    work = _send(connection, lambda: pickle.loads(task).prepare(), keep=True)
    while True:
        item = inbox.get()
        os.ftruncate(sys.stderr.fileno(), 0)
        _send(connection, lambda item=item: work(pickle.loads(item)))


def _listen(connection: Connection, inbox: queue.SimpleQueue[bytes]) -> None:
    try:
        while True:
            inbox.put(connection.recv_bytes())
    except (EOFError, OSError):
        os._exit(0)


def _send(connection: Connection, call: Any, keep: bool = False) -> Any:
    """Answers with what a call gives or raises; with `keep` the value stays here and is returned."""
    wall, cpu = time.perf_counter(), time.process_time()
    value, kind, message = None, "value", ""
    try:
        value = call()
    except Exception as error:
        kind, message = _what_went_wrong(error)
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    sent = None if keep else value
    answer = Answer(kind, sent, message, time.perf_counter() - wall, time.process_time() - cpu)
    connection.send_bytes(pickle.dumps(answer))
    return value


def _what_went_wrong(error: Exception) -> tuple[str, str]:
    refused, full = input_error_behind(error), full_disk_behind(error)
    sentence = full if refused is None else " ".join(str(refused).split())
    if full is not None:
        return "disk full", sentence
    if refused is not None:
        return "bad input", sentence
    return "error", f"{type(error).__name__}: {error}"
