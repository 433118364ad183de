"""What a whole reconstruction costs, radiographs to report: from a cold shell, and again in a process that is warm.

    python benchmarks/whole_run.py [--study FOLDER] [--repeats 3] [--threads 2] [--first true]

Runs the documented command in processes of its own and prints wall time, processor time of all threads, peak memory and the
wall time of each stage. `--first true` adds what an installation ends with, `lumbar-ext warm-up` with nothing compiled before;
the first command after it; and the first command without it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
BUNDLE = ROOT / "bundles" / "lumbar_reconstruction"
CONFIG = BUNDLE / "configs" / "inference.json"
_KIB_A_MIB = 1024


@dataclass(frozen=True)
class Cost:
    """What a run took.

    Args:
        wall_s: by the clock.
        processor_s: of all threads and child processes.
        peak_mib: largest resident memory.
        stage_s: wall time of each stage.
    """

    wall_s: float
    processor_s: float
    peak_mib: float
    stage_s: dict[str, float]


def main(study: str = str(BUNDLE / "sample"), repeats: int = 3, threads: int = 2, first: bool = False) -> None:
    """Prints the tables.

    Args:
        study: folder with ap.png, lat.png and calibration.json.
        repeats: runs of each kind; medians count.
        threads: of torch, OpenMP and the compiled kernels.
        first: also the first command after an installation.
    """
    environment = {name: str(threads) for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")}
    rows: dict[str, list[Cost]] = {}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "monai.bundle", "run", *_arguments(study, folder)]
        if first:
            kept, empty = (environment | {"NUMBA_CACHE_DIR": str(Path(folder) / name)} for name in ("kept", "empty"))
            warm_up = [sys.executable, "-c", "from lumbar_ext.cli.command import main; main()", "warm-up"]
            rows["warm-up, which an installation ends with"] = [_run(warm_up, kept, None)]
            rows["first command after installation"] = [_run(command, kept, folder)]
            rows["first command without warm-up"] = [_run(command, empty, folder)]
        rows["whole command, cold shell"] = [_run(command, environment, folder) for _ in range(repeats)]
        again = [sys.executable, __file__, "again", study, folder, str(repeats)]
        done = subprocess.run(again, check=True, capture_output=True, text=True, cwd=ROOT, env=os.environ | environment)
        costs = [Cost(**line) for line in json.loads(done.stdout.strip().splitlines()[-1])]
        rows["run in a new process, imports and weights loaded"] = costs[:1]
        rows["run in a warm process"] = costs[1:]
    print(f"| {threads} thread{'s' * (threads > 1)} | wall s | processor s | peak memory, MiB |\n|---|---|---|---|")
    for name, costs in rows.items():
        median = [
            np.median([getattr(cost, field) for cost in costs]) for field in ("wall_s", "processor_s", "peak_mib")
        ]
        print(f"| {name} | {median[0]:.1f} | {median[1]:.1f} | {median[2]:.0f} |")
    print("\n| stage, wall s | cold | warm |\n|---|---|---|")
    for stage in rows["whole command, cold shell"][0].stage_s:
        names = ("whole command, cold shell", "run in a warm process")
        cells = [f"{np.median([cost.stage_s[stage] for cost in rows[name]]):.2f}" for name in names]
        print(f"| {stage} | {' | '.join(cells)} |")


def again(study: str, folder: str, repeats: int) -> None:
    """Runs the workflow once and `repeats` times more in this process; prints the costs as JSON."""
    from monai.bundle import ConfigWorkflow

    workflow = ConfigWorkflow(
        config_file=str(CONFIG), workflow_type="infer", logging_file=False, **_overrides(study, folder)
    )
    workflow.initialize()
    costs = []
    for _ in range(repeats + 1):
        begin, worked = time.perf_counter(), time.process_time()
        workflow.run()
        spent = time.perf_counter() - begin, time.process_time() - worked
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB_A_MIB
        costs.append(Cost(*spent, peak, _stages(folder)).__dict__)
    print(json.dumps(costs))


def _run(command: list[str], environment: dict[str, str], folder: str | None) -> Cost:
    """Runs a command to its end; `folder` is where its results are, None for one without results."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | environment
    )
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: ended with code {process.returncode}")
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / _KIB_A_MIB, _stages(folder) if folder else {})


def _overrides(study: str, folder: str) -> dict[str, str]:
    files = {f"{view}_image": str(Path(study) / f"{view}.png") for view in ("ap", "lat")}
    calibration = str(Path(study) / "calibration.json")
    return {**files, "calibration": calibration, "bundle_root": str(BUNDLE), "output_dir": f"{folder}/out"}


def _arguments(study: str, folder: str) -> list[str]:
    options = {"config_file": str(CONFIG), **_overrides(study, folder)}
    return [text for name, value in options.items() for text in (f"--{name}", value)]


def _stages(folder: str) -> dict[str, float]:
    return json.loads(Path(folder, "out", "registration.json").read_text(encoding="utf-8"))["stage_seconds"]


if __name__ == "__main__":
    import fire

    if sys.argv[1:2] == ["again"]:
        fire.Fire({"again": again})
    else:
        fire.Fire(main)
