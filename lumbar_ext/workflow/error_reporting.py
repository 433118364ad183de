"""How a command ends: one line in place of the traceback of the engine around an error, and a documented exit status."""

from __future__ import annotations

import atexit
import errno
import logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from types import FrameType, TracebackType
from typing import NoReturn

from lumbar_ext.errors import InputError, NothingUsableError


class ExitStatus(IntEnum):
    """How a command ended, for the shell."""

    DONE = 0
    """There is a result, and something of it is usable."""
    CRASH = 1
    """An error of the program: there is a traceback."""
    BAD_INPUT = 2
    """A file, an option or a folder cannot be used: one line names it."""
    NOTHING_USABLE = 3
    """No vertebra was found, or the reconstruction of each has failed."""
    INTERRUPTED = 130
    """By Ctrl-C (SIGINT), as shells say it."""
    TERMINATED = 143
    """By SIGTERM."""


_STATISTICS_LOGGER = "monai.handlers.StatsHandler"
"""Of a handler that prints the traceback of what ends a run, which this module has the last word on."""
_ENGINE_LOGGERS = ("ignite.engine.engine.SupervisedEvaluator", "SupervisedEvaluator")


def input_error_behind(error: BaseException | None) -> InputError | None:
    """The InputError among an exception's causes, if there is one: MONAI and Ignite wrap what a transform raises."""
    return next((own for own in _causes(error) if isinstance(own, InputError)), None)


def disk_error_behind(error: BaseException | None) -> OSError | None:
    """The OSError among an exception's causes, if there is one: a full or dead disk, say."""
    return next((own for own in _causes(error) if isinstance(own, OSError)), None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, its cause and so on, each once: one raised again while its wrapper is handled is its own cause."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def bare_input_errors() -> Iterator[None]:
    """Within the block, an InputError that an engine has wrapped comes as itself; other exceptions come as they are."""
    try:
        yield
    except Exception as error:
        cause = input_error_behind(error)
        if cause is None or cause is error:
            raise
        raise cause from None


_shown: set[str] = set()


def show_warning(message: Warning | str, category: type, *_: object, **__: object) -> None:
    """Prints a warning as one line of standard error; in place of `warnings.showwarning`."""
    print(f"warning: {message}", file=sys.stderr)
    _shown.add(str(message))


def is_shown(text: str) -> bool:
    """Whether who reads standard output has read this warning: it was shown since it was last asked for, and both streams end
    in one place. (Of a second study, Python does not show the same words again.)
    """
    shown = text in _shown
    _shown.discard(text)
    try:
        return shown and os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except OSError:  # a stream that is no file, as a notebook's
        return False


def start_run(when_stopped: str = "no result was written") -> None:
    """What every bundle does first: reports errors in one line, and refuses options that its config does not know.

    Args:
        when_stopped: what is said to be left of a run that is stopped.

    Raises:
        InputError: naming an option of the command line that is no entry of the config.
    """
    # With it come MONAI and torch, which a command that only shows its help does without.
    from lumbar_ext.workflow.options import refuse_unknown_options

    report_input_errors(when_stopped)
    refuse_unknown_options(sys.argv)


def report_input_errors(when_stopped: str = "no result was written") -> None:
    """From now on an uncaught InputError prints one line to standard error, Ctrl-C another; each has its exit status.

    Any other exception keeps its traceback. SIGTERM ends the run as an exception does, so that nothing half-made stays
    behind, unless the program around handles it already.

    Args:
        when_stopped: what is said to be left of a run that is stopped.
    """
    for name in _ENGINE_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger(_STATISTICS_LOGGER).addFilter(_without_traceback)
    _stop.when_stopped, _stop.asked = when_stopped, None
    sys.excepthook = _report
    if threading.current_thread() is threading.main_thread():
        for number, handler, own in (
            (signal.SIGINT, signal.default_int_handler, _interrupt),
            (signal.SIGTERM, signal.SIG_DFL, _terminate),
        ):
            if signal.getsignal(number) is handler:
                signal.signal(number, own)


def _without_traceback(record: logging.LogRecord) -> bool:
    """A filter of a logger: leaves out what tells of an exception."""
    return not record.exc_info


@dataclass
class _Stop:
    """Whether a person or the machine has asked this process to stop, and what is then said to be left of the run.

    Compiled code and engines can put an exception of their own in place of the one that a signal has raised; what was
    asked for decides how the run ends all the same.
    """

    when_stopped: str = ""
    asked: ExitStatus | None = None


_stop = _Stop()


def error_line(error: BaseException, when_stopped: str = "no result was written") -> tuple[str, ExitStatus] | None:
    """What is said of an exception, and the status it ends with; None for an error of the program."""
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted: {when_stopped}", ExitStatus.INTERRUPTED
    cause = input_error_behind(error)
    if cause is not None:
        status = ExitStatus.NOTHING_USABLE if isinstance(cause, NothingUsableError) else ExitStatus.BAD_INPUT
        return " ".join(f"error: {cause}".splitlines()), status
    said = _missing_extra(error) or full_disk_behind(error)
    return None if said is None else (f"error: {said}", ExitStatus.BAD_INPUT)


_EXTRAS = {
    **dict.fromkeys(("matplotlib", "networkx", "pyacvd", "pyvista", "rtree", "skimage", "vtk"), "build"),
    **dict.fromkeys(("highdicom", "pydicom"), "dicom"),
    **dict.fromkeys(("onnx", "onnxruntime"), "export"),
    **dict.fromkeys(("cloudpickle", "dask", "distributed", "psutil", "pyarrow"), "cohort"),
    "dicomweb_client": "pacs",
    "tensorboard": "train",
}
_NO_MODULE = re.compile(r"No module named '([\w.]+)'")


def _missing_extra(error: BaseException | None) -> str | None:
    """Which extra brings the package whose import failed, in words."""
    for failed in _failed_imports(error):
        named = _NO_MODULE.search(str(failed))
        package = (getattr(failed, "name", None) or (named[1] if named else "")).split(".")[0]
        if package in _EXTRAS:
            extra = _EXTRAS[package]
            return (
                f"{package} is not installed; this command needs the extra [{extra}]: pip install 'lumbar_ext[{extra}]'"
            )
    return None


def _failed_imports(error: BaseException | None) -> Iterator[ImportError]:
    """The failed imports behind an exception.

    For a name that a config's `imports` cannot give, MONAI hands out a stand-in: called, it raises an ImportError that tells
    of the first one in words; used otherwise, it is a TypeError or AttributeError about `_LazyRaise`, raised in the config's
    expression, among whose names the stand-in is.
    """
    for own in _causes(error):
        if isinstance(own, ImportError):
            yield own
        elif "_LazyRaise" in str(own):
            frames = [
                frame for frame, _ in traceback.walk_tb(own.__traceback__) if frame.f_code.co_filename == "<string>"
            ]
            names = [value for frame in frames for value in (frame.f_globals | frame.f_locals).values()]
            yield from (value._exception for value in names if type(value).__name__ == "_LazyRaise")


def full_disk_behind(error: BaseException | None) -> str | None:
    """Where there was no space, in words; None if no full disk is behind the exception."""
    cause = disk_error_behind(error)
    if cause is None or cause.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return f"{cause.filename or 'the output'}: the disk is full"


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if _stop.asked == ExitStatus.TERMINATED:  # said on the way out
        raise SystemExit(int(_stop.asked))
    interrupted = KeyboardInterrupt() if _stop.asked == ExitStatus.INTERRUPTED else error
    if isinstance(interrupted, KeyboardInterrupt):
        # Who presses Ctrl-C again while the line is written must not get a traceback for it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    said = error_line(interrupted, _stop.when_stopped)
    if said is None:
        traceback.print_exception(kind, error, trace)
        return
    line, status = said
    print(line, file=sys.stderr)
    # The interpreter takes the status of a hook that ends so.
    raise SystemExit(int(status))


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    _stop.asked = _stop.asked or ExitStatus.INTERRUPTED
    raise KeyboardInterrupt


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    line = f"terminated: {_stop.when_stopped}"
    if _stop.asked != ExitStatus.TERMINATED:
        # After the progress bar, which is closed on the way out.
        atexit.register(lambda: print(line, file=sys.stderr))
        # The interpreter calls this before the other: a second signal must not end it in a way of its own.
        atexit.register(signal.signal, signal.SIGTERM, signal.SIG_IGN)
    _stop.asked = ExitStatus.TERMINATED
    stop = SystemExit(line)
    stop.code = int(ExitStatus.TERMINATED)
    raise stop
