"""The worked example of docs/cohorts.md with dask-jobqueue, whose jobs a stand-in for SLURM starts on this machine."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from lumbar_ext.batch.study_runs import Place

pytest.importorskip("dask_jobqueue", reason="comes with the extra [test]")

COHORTS = Path(__file__).parents[2] / "docs" / "cohorts.md"
# A job is a process group of its own, named by its number. Its script is copied, as SLURM does, for dask-jobqueue removes it.
SBATCH = """#!/bin/sh
cp "$1" "$JOBS.sh"
setsid bash "$JOBS.sh" >> "$JOBS" 2>&1 &
echo "Submitted batch job $!" | tee -a "$JOBS"
"""
PATIENCE_SECONDS = 600  # for a job that never comes: a cluster without workers waits for ever
SCANCEL = "#!/bin/sh\nkill -- -$1\n"


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """SLURM's commands; gives the file that names the jobs."""
    for name, script in {"sbatch": SBATCH, "scancel": SCANCEL}.items():
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(script)
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("JOBS", str(tmp_path / "jobs.txt"))
    # Its scheduler is wherever this machine's name leads to; the jobs import this tree.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "jobs.txt"
    for number in re.findall(r"Submitted batch job (\d+)", (tmp_path / "jobs.txt").read_text()):
        try:
            os.killpg(int(number), signal.SIGKILL)
        except ProcessLookupError:
            continue


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


def test_the_documented_cluster_runs_a_cohort(fake_cohort, slurm, patience):
    words = {"first": "ok", "second": "flag", "third": "damaged"}
    fake_cohort.write(words)
    (example,) = re.findall(r"```python\n(from dask_jobqueue.*?)```", COHORTS.read_text(), re.DOTALL)
    outcomes, scripts = {}, []

    def input_(prompt):
        """Somebody types the command that the example shows, and ends the example when it is done."""
        assert prompt.startswith("lumbar-ext cohort MANIFEST OUT --scheduler tcp://")
        scripts.append(names["cluster"].job_script())
        outcomes.update(fake_cohort.run(place=Place(scheduler=prompt.split()[-1])))

    names = {"input": input_}
    exec(example, names)
    names["cluster"].close()
    assert outcomes == {"first": "ok", "second": "flagged", "third": "bad input"}
    assert "#SBATCH --cpus-per-task=8" in scripts[0] and "#SBATCH --mem=24G" in scripts[0]
    assert "--nthreads 8 --memory-limit 24.00GiB --no-nanny" in scripts[0]
    assert "Submitted batch job" in slurm.read_text()
