"""Clear errors on a command line: the message of an InputError instead of the traceback of the engine around it."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType, TracebackType
from typing import NoReturn

from lumbar_ext.errors import InputError

_ENGINE_LOGGERS = ("ignite.engine.engine.SupervisedEvaluator", "SupervisedEvaluator")


def input_error_behind(error: BaseException | None) -> InputError | None:
    """The InputError among an exception's causes, if there is one: MONAI and Ignite wrap what a transform raises."""
    while error is not None:
        if isinstance(error, InputError):
            return error
        error = error.__cause__ or error.__context__
    return None


def disk_error_behind(error: BaseException | None) -> OSError | None:
    """The OSError among an exception's causes, if there is one: a full or dead disk, say."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


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


def report_input_errors(when_stopped: str = "no result was written") -> None:
    """From now on an uncaught InputError prints one line to standard error, Ctrl-C another; the exit code stays not 0.

    Any other exception keeps its traceback. SIGTERM ends the run as an exception does, so that nothing half-made stays
    behind, unless the program around handles it already. The bundles call this from the `initialize` section of their
    configs.

    Args:
        when_stopped: what is said to be left of a run that is stopped.
    """
    for name in _ENGINE_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.excepthook = partial(_report, when_stopped)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, partial(_terminate, when_stopped))


def _report(when_stopped: str, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    cause = input_error_behind(error)
    if issubclass(kind, KeyboardInterrupt):
        print(f"interrupted: {when_stopped}", file=sys.stderr)
    elif cause is not None:
        print("error:", " ".join(str(cause).splitlines()), file=sys.stderr)
    else:
        traceback.print_exception(kind, error, trace)


def _terminate(when_stopped: str, _number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(f"terminated: {when_stopped}")
