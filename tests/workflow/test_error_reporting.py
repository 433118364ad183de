"""What a user sees of an exception."""

import logging
import signal
import sys
import threading

import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.workflow.error_reporting import (
    bare_input_errors,
    disk_error_behind,
    input_error_behind,
    report_input_errors,
)


@pytest.fixture
def reporting():
    """Error reporting as on the command line, undone afterwards."""
    hook, handler = sys.excepthook, signal.getsignal(signal.SIGTERM)
    report_input_errors()
    yield
    sys.excepthook = hook
    signal.signal(signal.SIGTERM, handler)
    for name in ("ignite.engine.engine.SupervisedEvaluator", "SupervisedEvaluator"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def wrapped(error):
    """The error as an engine passes it on."""
    try:
        try:
            raise error
        except type(error) as cause:
            raise RuntimeError("applying transform") from cause
    except RuntimeError as outer:
        return outer


def shown(error, capsys):
    sys.excepthook(type(error), error, error.__traceback__)
    return capsys.readouterr().err


def test_an_input_error_is_one_line(reporting, capsys):
    assert shown(wrapped(InputError("ap.png: a damaged\nfile")), capsys) == "error: ap.png: a damaged file\n"


def test_ctrl_c_is_one_line_and_other_errors_keep_their_traceback(reporting, capsys):
    assert shown(KeyboardInterrupt(), capsys) == "interrupted: no result was written\n"
    assert "Traceback" in shown(wrapped(KeyError("x")), capsys)


def test_only_input_errors_are_found():
    inner = InputError("bad")
    assert input_error_behind(wrapped(inner)) is inner
    assert input_error_behind(wrapped(ValueError("other"))) is None


@pytest.mark.parametrize("raised", [InputError("bad"), wrapped(InputError("bad"))], ids=["bare", "wrapped"])
def test_an_input_error_leaves_a_block_as_itself(raised):
    with pytest.raises(InputError, match=r"^bad$") as caught, bare_input_errors():
        raise raised
    assert caught.value is input_error_behind(raised)


def test_a_wrapped_input_error_leaves_its_engine_behind():
    with pytest.raises(InputError) as caught, bare_input_errors():
        raise wrapped(InputError("bad"))
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


@pytest.mark.parametrize("raised", [KeyError("x"), wrapped(ValueError("x")), KeyboardInterrupt()], ids=repr)
def test_other_errors_leave_a_block_unchanged(raised):
    with pytest.raises(type(raised)) as caught, bare_input_errors():
        raise raised
    assert caught.value is raised


def test_a_block_without_an_error_ends_well():
    with bare_input_errors():
        done = True
    assert done


def test_a_disk_error_is_found_behind_an_engine():
    full = OSError(28, "No space left on device")
    assert disk_error_behind(wrapped(full)) is full and disk_error_behind(wrapped(ValueError("x"))) is None


def test_sigterm_becomes_an_exception(reporting):
    with pytest.raises(SystemExit, match="terminated"):
        signal.raise_signal(signal.SIGTERM)


def test_a_server_keeps_its_own_signal_handling():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hook = sys.excepthook
    try:
        report_input_errors()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        thread = threading.Thread(target=report_input_errors)
        thread.start()
        thread.join()
    finally:
        sys.excepthook = hook
        signal.signal(signal.SIGTERM, before)
