"""Clear errors on a command line: the message of an InputError instead of the traceback of the engine around it."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import traceback
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


def report_input_errors() -> None:
    """From now on an uncaught InputError prints one line to standard error, Ctrl-C another; the exit code stays not 0.

    Any other exception keeps its traceback. SIGTERM ends the run as an exception does, so that nothing half-made stays
    behind, unless the program around handles it already. The bundles call this from the `initialize` section of their
    configs.
    """
    for name in _ENGINE_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.excepthook = _report
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    cause = input_error_behind(error)
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted: no result was written", file=sys.stderr)
    elif cause is not None:
        print("error:", " ".join(str(cause).splitlines()), file=sys.stderr)
    else:
        traceback.print_exception(kind, error, trace)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit("terminated: no result was written")
