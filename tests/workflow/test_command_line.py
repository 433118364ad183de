"""The command of the README in processes of its own."""

import json
import os
import signal
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import nn

BUNDLE = Path(__file__).parents[2] / "bundles" / "lumbar_reconstruction"
START_SECONDS = 300


@pytest.fixture(scope="module")
def answers(true_study, perfect_network, tmp_path_factory):
    """A TorchScript file of a network that tells the views apart by their mean and knows what to answer."""
    (ap, ap_packed), (lat, lat_packed) = perfect_network(true_study).answers
    path = tmp_path_factory.mktemp("network") / "answers.ts"
    torch.jit.script(Answers(torch.stack([ap_packed, lat_packed]), float(ap.mean()), float(lat.mean()))).save(path)
    return path


class Answers(nn.Module):
    """Answers with the packed output of the view whose mean is nearer."""

    def __init__(self, packed, ap_mean: float, lat_mean: float):
        super().__init__()
        self.packed = nn.Parameter(packed)
        self.ap_mean, self.lat_mean = ap_mean, lat_mean

    def forward(self, image):
        mean = float(image.mean())
        index = 0 if abs(mean - self.ap_mean) < abs(mean - self.lat_mean) else 1
        return self.packed[index : index + 1]


def heed_interrupts():
    """Where the tests themselves run in the background, SIGINT is ignored and a child would inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start(true_study, answers, tmp_path):
    """A function that starts the command in a folder beside the study, with relative paths."""
    (tmp_path / "study").symlink_to(true_study.folder)
    started = []

    def run(stderr=subprocess.PIPE, **options):
        given = {
            "config_file": f"{BUNDLE}/configs/inference.json",
            "bundle_root": os.path.relpath(BUNDLE, tmp_path),
            "ap_image": "study/ap.png",
            "lat_image": "study/lat.png",
            "calibration": "study/calibration.json",
            "output_dir": "out",
            "multitask_weights": str(answers),
            "multitask_network": f"$torch.jit.load('{answers}')",
            "multitask_locator": "$None",
            "multitask_locator_weights": "$None",
            "max_seconds": 3600,
            "optimiser": "{'_target_': 'lumbar_ext.registration.GaussNewton'}",
            **options,
        }
        arguments = [f"--{name}={value}" for name, value in given.items()]
        command = [sys.executable, "-m", "monai.bundle", "run", *arguments]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": stderr, "text": True}
        started.append(subprocess.Popen(command, cwd=tmp_path, preexec_fn=heed_interrupts, **quiet))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()


def test_a_study_is_reconstructed_from_any_folder(start, tmp_path):
    # A name of digits is a folder like any other, and false is false.
    process = start(output_dir="2024_01_15", write_pdf="false")
    _, errors = process.communicate(timeout=START_SECONDS)
    measured = json.loads((tmp_path / "2024_01_15" / "measurements.json").read_text())
    grades = {vertebra["quality"]["grade"] for vertebra in measured["vertebrae"].values()}
    # Perfect decompositions of this unusual person drive many shape parameters to their bounds.
    assert process.returncode == (3 if grades == {"failed"} else 0), errors
    assert (tmp_path / "2024_01_15" / "report.html").is_file()
    assert not (tmp_path / "2024_01_15" / "report.pdf").exists()
    registration = json.loads((tmp_path / "2024_01_15" / "registration.json").read_text())
    assert registration["missing_levels"] == [] and registration["loss"] < 0.1
    assert "stages [" not in errors


def test_what_cannot_be_used_ends_in_one_clear_line_before_any_work(start, tmp_path):
    refused = {
        "study/ap.png: given as both views": {"lat_image": "study/ap.png"},
        "--keep_appart: no entry of the config; did you mean --keep_apart?": {"keep_appart": "true"},
        "--keep_apart: expected true or false, found 'maybe'": {"keep_apart": "maybe"},
        "--n_modes: expected a whole number of at least 1, or null, found '-1'": {"n_modes": "-1"},
        "--device: expected a device that this machine has": {"device": "tpu"},
    }
    # All at once: what takes time is to start.
    for line, process in [(line, start(**option)) for line, option in refused.items()]:
        _, errors = process.communicate(timeout=START_SECONDS)
        assert process.returncode == 2
        assert errors.splitlines()[-1].startswith(f"error: {line}") and "Traceback" not in errors
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "number, line, status", [(signal.SIGINT, "interrupted", 130), (signal.SIGTERM, "terminated", 143)]
)
def test_a_run_that_is_stopped_while_it_registers_leaves_nothing(start, tmp_path, number, line, status):
    endless = {"_target_": "lumbar_ext.registration.BobyqaJoint", "max_evaluations": 10**6, "last_step": 1e-9}
    terminal, stderr = os.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    process = start(stderr, optimiser=str(endless))
    os.close(stderr)
    shown = read_until(terminal, "register the vertebrae")
    assert "3/6 stages" in shown
    insist(process, number)
    lines = read_until(terminal, None).splitlines()
    # A second signal while the interpreter shuts down kills it outright, which shells call by the same number.
    assert process.wait(START_SECONDS) in (status, -int(number)) and status == 128 + number, "\n".join(lines)
    assert lines[-1] == f"{line}: no result was written" and "Traceback" not in "".join(lines)
    assert not (tmp_path / "out").exists()


def insist(process, number):
    """Signals until the process ends, as a person presses Ctrl-C again: Numba can swallow one while it loads its kernels."""
    for _ in range(10):
        time.sleep(1)
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(3)
            return


def read_until(terminal, text):
    """What a terminal shows until the text comes up, or for None until its process ends."""
    shown = ""
    while text is None or text not in shown:
        try:
            shown += os.read(terminal, 4096).decode()
        except OSError:
            break
    return shown
