"""The worked examples of docs/cohorts.md on a SLURM of this machine, to the letter but for places and the number of nodes."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lumbar_ext.batch.study_runs import Place
from tests.batch.slurm import slurm  # noqa: F401, a fixture

ROOT = Path(__file__).parents[2]
COHORTS = (ROOT / "docs" / "cohorts.md").read_text(encoding="utf-8")
PATIENCE_SECONDS = 300  # for a job that never comes: a cluster without workers waits for ever
WORDS = {"first": "ok", "second": "flag", "third": "damaged"}
OUTCOMES = {"first": "ok", "second": "flagged", "third": "bad input"}
# What the job of the example starts: the verb on studies that cost nothing.
STAND_IN = f"""#!{sys.executable}
import sys
from tests.batch.fake import run_in_this_process
verb, manifest, out, scheduler_option, scheduler, threads_option, threads = sys.argv[1:]
assert (verb, scheduler_option, threads_option, threads) == ("cohort", "--scheduler", "--threads", "1")
run_in_this_process(out, manifest, scheduler)
"""


@pytest.fixture
def jobs(slurm, tmp_path, monkeypatch):  # noqa: F811
    """A folder in which jobs can be submitted; they find the commands and the tree of these tests."""
    monkeypatch.setenv("SLURM_CONF", str(slurm))
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "lumbar-ext").write_text(STAND_IN)
    (commands / "lumbar-ext").chmod(0o755)
    places = (str(commands), str(Path(sys.executable).parent), os.environ["PATH"])
    monkeypatch.setenv("PATH", os.pathsep.join(places))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), *(path for path in sys.path if path))))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def patience():
    """Ends a test that waits for ever."""

    def give_up(*_):
        raise TimeoutError(f"no end after {PATIENCE_SECONDS} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_the_documented_job_goes_on_with_a_cohort(fake_cohort, jobs, patience):
    """Submitted after a job that reached its time limit: one study is done, a file tells of a scheduler that is no more."""
    fake_cohort.write({"first": "ok"})
    fake_cohort.run()
    (jobs / "scheduler.json").write_text('{"address": "tcp://127.0.0.1:9"}')
    fake_cohort.write(WORDS)
    (example,) = re.findall(r"```bash\n(#!/bin/bash\n#SBATCH --job-name=lumbar .*?)```", COHORTS, re.DOTALL)
    (jobs / "job.sh").write_text(example.replace("/shared/cohort", str(jobs)))
    log = jobs / "job.txt"
    ended = subprocess.run(["sbatch", "--wait", "--nodes=2", f"--output={log}", "job.sh"], check=False)
    assert ended.returncode == 0, log.read_text()[-3000:]
    assert fake_cohort.outcomes() == OUTCOMES and fake_cohort.attempts() == dict.fromkeys(WORDS, 1)


def test_the_documented_cluster_runs_a_cohort(fake_cohort, jobs, patience):
    pytest.importorskip("dask_jobqueue", reason="comes with the extra [test]")
    fake_cohort.write(WORDS)
    (example,) = re.findall(r"```python\n(from dask_jobqueue.*?)```", COHORTS, re.DOTALL)
    outcomes, scripts = {}, []

    def input_(prompt):
        """Somebody types the command that the example shows, and ends the example when it is done."""
        assert prompt.startswith("lumbar-ext cohort MANIFEST OUT --scheduler tcp://")
        scripts.append(names["cluster"].job_script())
        outcomes.update(fake_cohort.run(place=Place(scheduler=prompt.split()[-1])))

    names = {"input": input_}
    exec(example, names)
    names["cluster"].close()
    assert outcomes == OUTCOMES
    assert "#SBATCH --cpus-per-task=8" in scripts[0] and "#SBATCH --mem=24G" in scripts[0]
    assert "--nthreads 8 --memory-limit 24.00GiB --no-nanny" in scripts[0]
