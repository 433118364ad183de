"""What the engine of cohorts costs a study: studies that do nothing, processor time of all processes.

    python -m benchmarks.cohort_overhead --studies 1000 --workers 2

Each study of nothing still has a manifest row, input files that are hashed, a folder that appears whole, an outcome and a
line in the tables.
"""

from __future__ import annotations

import csv
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cloudpickle
import fire

from lumbar_ext.batch.cohort_folder import CohortFolder
from lumbar_ext.batch.cohort_verbs import write_cohort_report
from lumbar_ext.batch.manifest import read_manifest
from lumbar_ext.batch.study_runs import Place, run_studies
from lumbar_ext.batch.study_task import published
from lumbar_ext.engine.task import ItemLimits

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@dataclass(frozen=True)
class NoStudies:
    """The task that does nothing."""

    studies_dir: str

    def prepare(self):
        """What makes an empty folder of a study."""
        return lambda study: published(self.studies_dir, "nothing", study, lambda _study, _folder: [])


def main(studies: int = 1000, workers: int = 2) -> None:
    """Prints seconds a study of a first run, of a second run with nothing to do, and of the tables and the page.

    Args:
        studies: rows of the manifest.
        workers: processes.
    """
    with tempfile.TemporaryDirectory() as root:
        folder = CohortFolder(Path(root, "out"))
        folder.studies.mkdir(parents=True)
        _write_manifest(Path(root), studies)
        steps = {
            "first run": lambda: _run(folder, root, workers),
            "second run": lambda: _run(folder, root, workers),
            "tables and page": lambda: write_cohort_report(folder, read_manifest(Path(root, "m.csv"))),
        }
        for name, step in steps.items():
            wall, cpu = time.perf_counter(), _cpu_seconds()
            step()
            wall, cpu = time.perf_counter() - wall, _cpu_seconds() - cpu
            print(
                f"{name}: {1000 * cpu / studies:.2f} ms of processor a study, {1000 * wall / studies:.2f} ms of wall time"
            )


def _run(folder: CohortFolder, root: str, workers: int) -> None:
    task = NoStudies(str(folder.studies))
    run_studies(
        folder, read_manifest(Path(root, "m.csv")), task, ItemLimits(threads=1), "nothing", Place(workers=workers)
    )


def _write_manifest(root: Path, studies: int) -> None:
    Path(root, "file").write_text("content")
    with Path(root, "m.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["study", "ap", "lat", "calibration"])
        rows.writerows([f"study-{i:06d}", "file", "file", "file"] for i in range(studies))


def _cpu_seconds() -> float:
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in own)


if __name__ == "__main__":
    fire.Fire(main)
