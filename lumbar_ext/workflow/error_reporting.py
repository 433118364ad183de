"""Clear errors on a command line: the message of an InputError instead of the traceback of the engine around it."""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType

from lumbar_ext.errors import InputError

_ENGINE_LOGGERS = ("ignite.engine.engine.SupervisedEvaluator", "SupervisedEvaluator")


def input_error_behind(error: BaseException | None) -> InputError | None:
    """The InputError in an exception's chain of causes, if there is one: MONAI and Ignite wrap what a transform raises."""
    while error is not None:
        if isinstance(error, InputError):
            return error
        error = error.__cause__ or error.__context__
    return None


def report_input_errors() -> None:
    """From now on an uncaught InputError prints one line to standard error, and Ctrl-C another; the exit code stays not 0.

    Any other exception keeps its traceback. The bundles call this from the `initialize` section of their configs.
    """
    for name in _ENGINE_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.excepthook = _report


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    cause = input_error_behind(error)
    if cause is not None:
        print(f"error: {cause}", file=sys.stderr)
    elif issubclass(kind, KeyboardInterrupt):
        print("interrupted: no result was written", file=sys.stderr)
    else:
        traceback.print_exception(kind, error, trace)
