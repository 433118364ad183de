"""What a user sees of an exception."""

import logging
import os
import signal
import subprocess
import sys
import threading

import pytest
from monai.bundle import ConfigParser
from monai.handlers import StatsHandler

from lumbar_ext.errors import InputError, NothingUsableError
from lumbar_ext.workflow.error_reporting import (
    ExitStatus,
    bare_input_errors,
    disk_error_behind,
    input_error_behind,
    report_input_errors,
)


@pytest.fixture
def reporting():
    """Error reporting as on the command line, undone afterwards."""
    hook = sys.excepthook
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    report_input_errors()
    yield
    sys.excepthook = hook
    for number, handler in handlers.items():
        signal.signal(number, handler)
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


def ended(error, capsys):
    """What is shown of an error, and the status that the hook asks for; 1 is the interpreter's own."""
    status = 1
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except SystemExit as end:
        status = end.code
    return capsys.readouterr().err, status


def test_the_statistics_of_an_engine_print_no_traceback_of_their_own(reporting, caplog):
    name, handler = "monai.handlers.StatsHandler", StatsHandler()
    logging.getLogger(name).addHandler(caplog.handler)
    with pytest.raises(InputError), caplog.at_level(logging.INFO, logger=name):
        logging.getLogger(name).info("Epoch 1")
        handler.exception_raised(None, InputError("ap.png: a folder"))
    logging.getLogger(name).removeHandler(caplog.handler)
    assert set(caplog.messages) == {"Epoch 1"}


def test_an_input_error_is_one_line(reporting, capsys):
    said = ended(wrapped(InputError("ap.png: a damaged\nfile")), capsys)
    assert said == ("error: ap.png: a damaged file\n", ExitStatus.BAD_INPUT)


def test_finding_nothing_has_a_status_of_its_own(reporting, capsys):
    assert ended(wrapped(NothingUsableError("no spine")), capsys) == ("error: no spine\n", ExitStatus.NOTHING_USABLE)


def test_ctrl_c_is_one_line_and_other_errors_keep_their_traceback(reporting, capsys):
    assert ended(KeyboardInterrupt(), capsys) == ("interrupted: no result was written\n", ExitStatus.INTERRUPTED)
    shown, status = ended(wrapped(KeyError("x")), capsys)
    assert "Traceback" in shown and status == ExitStatus.CRASH


class Uninstalled:
    """A finder for which a package is not there."""

    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name == self.package:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


@pytest.mark.parametrize("use", ["$len(LEVELS)", "$make()", "$LEVELS.index('L1')"])
def test_a_package_that_a_config_lacks_is_named_with_its_extra(reporting, capsys, tmp_path, monkeypatch, use):
    (tmp_path / "needs_skimage.py").write_text("import skimage\nLEVELS = ['L1']\nmake = list\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "skimage", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Uninstalled("skimage"), *sys.meta_path])
    parser = ConfigParser(
        {"imports": ["$from needs_skimage import LEVELS", "$from needs_skimage import make"], "use": use}
    )
    with pytest.raises(Exception) as caught:
        parser.get_parsed_content("use")
    line, status = ended(caught.value, capsys)
    assert line.startswith("error: skimage is not installed") and "'lumbar_ext[build]'" in line
    assert line.count("\n") == 1 and status == ExitStatus.BAD_INPUT


@pytest.mark.parametrize("package, extra", [("skimage", "build"), ("pydicom", "dicom"), ("onnx", "export")])
def test_a_missing_package_is_one_line_that_names_its_extra(reporting, capsys, package, extra):
    error = wrapped(ModuleNotFoundError(f"No module named '{package}.x'", name=f"{package}.x"))
    line, status = ended(error, capsys)
    assert line.startswith(f"error: {package} is not installed") and f"'lumbar_ext[{extra}]'" in line
    assert line.count("\n") == 1 and status == ExitStatus.BAD_INPUT
    assert "Traceback" in ended(wrapped(ModuleNotFoundError("no", name="numpy")), capsys)[0]


@pytest.mark.parametrize(
    "raised, status",
    [
        ("InputError('x')", 2),
        ("NothingUsableError('x')", 3),
        ("KeyboardInterrupt()", 130),
        ("KeyError('x')", 1),
        ("OSError(28, 'No space left on device', 'out/L1.stl')", 2),
    ],
)
def test_a_process_ends_with_the_documented_status(raised, status):
    code = (
        "from lumbar_ext.errors import *; from lumbar_ext.workflow.error_reporting import report_input_errors\n"
        f"report_input_errors()\nraise {raised}"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == status and ("Traceback" in done.stderr) == (status == 1)


def test_a_terminated_process_says_so_last():
    code = (
        "import os, signal, sys; from lumbar_ext.workflow.error_reporting import report_input_errors\n"
        "report_input_errors()\n"
        "try: os.kill(os.getpid(), signal.SIGTERM); signal.pause()\n"
        "finally: print('bar closed', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 143 and done.stderr.splitlines() == ["bar closed", "terminated: no result was written"]


@pytest.mark.parametrize(
    "number, line, status", [(signal.SIGINT, "interrupted", 130), (signal.SIGTERM, "terminated", 143)]
)
def test_a_stop_stays_a_stop_when_an_engine_turns_it_into_an_error_of_its_own(number, line, status):
    code = (
        # Where the tests themselves run in the background, SIGINT is ignored and a child inherits that.
        "import os, signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from lumbar_ext.workflow.error_reporting import report_input_errors\n"
        "report_input_errors()\n"
        f"try: os.kill(os.getpid(), {int(number)}); signal.pause()\n"
        "except BaseException as error: raise SystemError('returned a result with an exception set') from error"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == status and done.stderr == f"{line}: no result was written\n"


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


def test_an_error_that_is_raised_again_as_its_own_cause_is_no_endless_chain():
    with pytest.raises(InputError) as raised, bare_input_errors():
        raise wrapped(InputError("a.png: empty"))
    assert raised.value.__context__.__cause__ is raised.value
    assert disk_error_behind(raised.value) is None and input_error_behind(raised.value) is raised.value
