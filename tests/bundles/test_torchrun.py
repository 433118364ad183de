"""Training in two processes of torchrun (gloo): one dies, and the same command goes on to one end for both."""

import json
import os
import re
import subprocess
import sys
import time

import psutil
import pytest
import torch

from tests.bundles.test_multitask import CONFIGS, SHORT, TINY, UNLOGGED

SECONDS = 900  # for what takes 20 on a free machine


@pytest.fixture
def command(tmp_path, write_view_cohort):
    """A training that its session ends within an epoch that would go on for much longer."""
    write_view_cohort(tmp_path / "cohort" / "train", 2)
    write_view_cohort(tmp_path / "cohort" / "validation", 1, seed=1)
    # The first handler is the resume point: about every second, in place of every three minutes.
    soon = tmp_path / "soon.json"
    soon.write_text(json.dumps({"train#handlers#0#every_minutes": 0.02}))
    options = {
        "config_file": [*(str(CONFIGS / name) for name in ("train.json", "multi_gpu_train.json")), str(soon)],
        "bundle_root": tmp_path,
        "logging_file": CONFIGS / "logging.conf",
        "dataset_dir": tmp_path / "cohort",
        "session_minutes": 0.15,
        "iterations": 100000,
        **(SHORT | UNLOGGED | TINY | {"validate_every": 100000, "batch_size": 1}),
    }
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "monai.bundle", "run"]
    return [sys.executable, *start, *(str(part) for name, value in options.items() for part in (f"--{name}", value))]


@pytest.fixture
def torchrun(command):
    """A function that starts the training."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return lambda output: subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)


def wait_for_file(path, process, log):
    for _ in range(10 * SECONDS):
        if path.is_file():
            return
        assert process.poll() is None, log.read_text()[-3000:]
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-3000:])


def test_the_same_command_goes_on_after_a_process_has_died(torchrun, tmp_path):
    log, resume = tmp_path / "log.txt", tmp_path / "runs" / "resume.pt"
    with log.open("w") as output:
        first = torchrun(output)
        wait_for_file(resume, first, log)
        ranks = psutil.Process(first.pid).children()
        assert len(ranks) == 2
        ranks[1].kill()
        assert first.wait(SECONDS) != 0, "torchrun says that a process has died"
    assert not any(rank.is_running() for rank in ranks), "and leaves none behind"
    done = torch.load(resume, weights_only=True)["draws"]["iterations"]
    assert done > 0 and "session used up" not in log.read_text()

    with log.open("w") as output:
        assert torchrun(output).wait(SECONDS) == 0, log.read_text()[-3000:]
    said = log.read_text()
    assert said.count(f"resumed from {resume}") == 2
    counts = [int(count) for count in re.findall(r"session used up: .* (\d+) iterations", said)]
    assert len(counts) == 2 and counts[0] == counts[1] > 0, "both stop at the same iteration"
    after = torch.load(resume, weights_only=True)
    assert after["draws"]["iterations"] == after["schedule"]["iterations"] == done + counts[0]
