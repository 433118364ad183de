"""The progress bar and the wall time of stages."""

import io

import pytest

from lumbar_ext.workflow.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(progress, *names):
    for name in names:
        with progress.stage(name):
            progress.note(f"{name}, loss 0.1")


def test_nothing_is_shown_where_standard_error_is_no_terminal(capfd):
    run(Progress(2), "read", "write")
    assert capfd.readouterr().err == ""


def test_a_terminal_shows_stages_and_notes(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    run(Progress(2), "read", "write")
    shown = terminal.getvalue()
    assert "read" in shown and "2/2 stages" in shown and shown.endswith("\n")


def test_a_second_run_counts_its_own_seconds():
    progress = Progress(2)
    run(progress, "read", "write")
    first = progress.seconds
    with progress.stage("read"):
        assert progress.seconds == {}
    assert list(first) == ["read", "write"] and list(progress.seconds) == ["read"]


def test_after_a_failed_run_the_next_one_starts_anew(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    progress = Progress(3)
    run(progress, "read")
    with pytest.raises(KeyboardInterrupt), progress.stage("register"):
        raise KeyboardInterrupt
    assert terminal.getvalue().endswith("\n")
    run(progress, "read")
    assert list(progress.seconds) == ["read"]
