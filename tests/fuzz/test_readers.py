"""Half a minute of the fuzz of every reader; `make fuzz` runs it for an hour."""

import os
import subprocess
import sys
from pathlib import Path

from tests.fuzz.run import LAST_CASE


def test_damaged_files_of_every_reader_keep_the_law():
    """In a process of its own: a reader that ends the process must not end the tests."""
    command = [sys.executable, "-m", "tests.fuzz.run", "--seconds", os.environ.get("FUZZ_SECONDS", "30")]
    if "FUZZ_SECONDS" not in os.environ:
        # The same cases on any machine; `make fuzz` goes on where this ends.
        command += ["--seeds", "250"]
    root = Path(__file__).parents[2]
    finished = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    said = finished.stdout[-4000:] + finished.stderr[-2000:]
    assert finished.returncode == 0, f"{said}\nlast case: {LAST_CASE.read_text()}"
