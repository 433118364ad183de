"""The decorator of every compiled kernel, and where compiled code is kept.

Numba keeps compiled code beside a file and notices when that file changes, but not when a kernel that it calls in
*another* file does: after an update, old code would go on running inside new. Here the folder of compiled code is named
after the content of all files with kernels, so that a change in any of them compiles all anew (half a minute, once).

Constants that kernels use are compiled into them, so they belong in a file with a kernel, too.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import event

_PACKAGE = Path(__file__).parent
_FOLDER = "lumbar_ext-kernels-"
_MARKS = (b"numba", b"lumbar_ext.compiled")
"""What a file with kernels holds: an import of numba or of this module."""


def compiled(**options: Any) -> Callable[[Callable], Callable]:
    """Like `numba.njit`: compiled on the first call, without the interpreter's lock, and kept for later processes.

    Compiled code is kept in the folder that `NUMBA_CACHE_DIR` names, else beside the package, else in the user's cache
    folder (`XDG_CACHE_HOME` or `~/.cache`). Where none of them can be written, every process compiles for itself.

    Args:
        **options: of `numba.njit`, such as `fastmath`.
    """

    def decorate(function: Callable) -> Callable:
        folder = _cache_folder()
        if folder is None:
            return numba.njit(nogil=True, **options)(function)
        # Numba asks for the folder once, while it decorates; other packages' kernels keep theirs.
        before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
        try:
            return numba.njit(nogil=True, cache=True, **options)(function)
        finally:
            numba.config.CACHE_DIR = before

    return decorate


class _CompilationClock(event.Listener):
    """Adds up the processor time in which at least one kernel was being compiled."""

    def __init__(self) -> None:
        self._lock, self._depth, self._begin, self._seconds = threading.Lock(), 0, 0.0, 0.0

    @property
    def seconds(self) -> float:
        """So far, a compilation that is going on included."""
        with self._lock:
            return self._seconds + (time.process_time() - self._begin if self._depth else 0.0)

    def on_start(self, event: event.Event) -> None:
        with self._lock:
            if self._depth == 0:
                self._begin = time.process_time()
            self._depth += 1

    def on_end(self, event: event.Event) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._seconds += time.process_time() - self._begin


_CLOCK = _CompilationClock()
event.register("numba:compile", _CLOCK)


def seconds_compiling() -> float:
    """Processor time for which this process has been compiling kernels: what limits of a search do not count."""
    return _CLOCK.seconds


def digest_of_kernels(package: Path) -> str:
    """A hexadecimal digest of the names and contents of all files with kernels beneath a folder."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        if any(mark in content for mark in _MARKS):
            digest.update(str(path.relative_to(package)).encode() + b"\0" + content + b"\0")
    return digest.hexdigest()[:16]


def kept_in() -> Path | None:
    """The folder in which compiled code is kept for later processes; None where no folder can be written."""
    return _cache_folder()


@cache
def _cache_folder() -> Path | None:
    """The folder of this version's compiled code, or None where none can be written."""
    name = _FOLDER + digest_of_kernels(_PACKAGE)
    for root in _roots():
        folder = root / name
        if _is_writable(folder):
            _remove_older(folder)
            return folder
    return None


def _roots() -> Iterator[Path]:
    if numba.config.CACHE_DIR:
        yield Path(numba.config.CACHE_DIR)
    yield _PACKAGE / "__pycache__"
    if "XDG_CACHE_HOME" in os.environ:
        yield Path(os.environ["XDG_CACHE_HOME"])
    try:
        yield Path.home() / ".cache"
    except RuntimeError:  # a user without a home
        return


def _is_writable(folder: Path) -> bool:
    """Whether files can be made in the folder, which is made if absent."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _remove_older(folder: Path) -> None:
    """Removes the compiled code of other versions of this package; elsewhere it may be another installation's."""
    if folder.parent == _PACKAGE / "__pycache__":
        for older in folder.parent.glob(_FOLDER + "*"):
            if older != folder:
                shutil.rmtree(older, ignore_errors=True)
