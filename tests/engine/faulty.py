"""A task whose items say what shall go wrong; pickled by value, as the processes know no tests."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cloudpickle

from lumbar_ext.errors import InputError

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@dataclass(frozen=True)
class Faulty:
    """Writes down each attempt at an item, then does what its name begins with."""

    folder: str

    def prepare(self):
        Path(self.folder, f"prepared-{os.getpid()}").touch()
        return self._work

    def _work(self, item):
        with open(Path(self.folder, "attempts.txt"), "a") as file:
            file.write(f"{item}\n")
        word = item.split("-")[0]
        if word == "raise":
            raise RuntimeError("of the program")
        if word == "refuse":
            raise InputError("a.png: empty,\nexpected a radiograph")
        if word == "full":
            raise OSError(28, "No space left on device", "/full/out")
        if word == "die":
            print("last words", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "exit":
            os._exit(7)
        if word == "once" and self._attempts(item) == 1:
            os.kill(os.getpid(), signal.SIGSEGV)
        if word == "hang":
            while True:
                time.sleep(0.01)
        if word == "eat":
            hoard = []
            while True:
                hoard.append(b"\1" * 2**24)
                time.sleep(0.005)
        if word == "slow":
            time.sleep(0.3)
        return item.upper()

    def _attempts(self, item):
        return Path(self.folder, "attempts.txt").read_text().splitlines().count(item)


@dataclass(frozen=True)
class Unprepared:
    """A task that cannot be prepared."""

    error: Exception

    def prepare(self):
        raise self.error
