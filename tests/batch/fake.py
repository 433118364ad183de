"""Studies whose AP file says what shall go wrong, at no cost; pickled by value, as the processes know no tests."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cloudpickle

from lumbar_ext.batch.study_task import published
from lumbar_ext.errors import InputError

cloudpickle.register_pickle_by_value(sys.modules[__name__])
HEADER = "subject,id,title,value,unit,sd,low_90,high_90,reference_low,reference_high,outside_reference,grade,reason\n"


@dataclass(frozen=True)
class FakeStudies:
    """Writes one measurement and a report for each study."""

    studies_dir: str
    settings: str
    diary: str

    def prepare(self):
        return lambda study: published(self.studies_dir, self.settings, study, self._fill)

    def _fill(self, study, folder):
        with open(self.diary, "a") as file:
            file.write(f"{study.name}\n")
        (folder / "half.txt").touch()
        try:
            word = Path(study.files["ap"]).read_text()
        except OSError as error:
            raise InputError(f"{study.files['ap']}: no such file") from error
        if word == "damaged":
            raise InputError(f"{study.files['ap']}: damaged")
        if word == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "hang":
            time.sleep(3600)
        if word == "slow":
            time.sleep(0.4)
        if word == "full":
            # A device whose every write finds no space.
            with open("/dev/full", "w") as file:
                file.write("results")
        value = f"L1-L5,lordosis_l1_l5,Lumbar lordosis L1-L5,{40 + len(study.name)},deg,2,38,42,17.3,62.1,False,,\n"
        (folder / "measurements.csv").write_text(HEADER + value)
        (folder / "report.html").write_text(f"report of {study.name}")
        return ["L5 check: look at it"] if word == "flag" else []


def run_in_this_process(out, names, scheduler=None):
    """What a killed run runs: slow studies, until somebody ends it; and what a job of a cluster runs."""
    from lumbar_ext.batch.cohort_folder import CohortFolder
    from lumbar_ext.batch.manifest import read_manifest
    from lumbar_ext.batch.study_runs import Place, run_studies
    from lumbar_ext.engine.task import ItemLimits

    folder = CohortFolder(Path(out))
    with folder.alone():
        task = FakeStudies(str(folder.studies), "key", str(folder.path / "diary.txt"))
        run_studies(
            folder, read_manifest(names), task, ItemLimits(threads=1), "key", Place(workers=2, scheduler=scheduler)
        )
