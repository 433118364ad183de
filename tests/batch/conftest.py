"""A small cohort on disk."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from lumbar_ext.batch.cohort_folder import CohortFolder
from lumbar_ext.batch.manifest import read_manifest
from lumbar_ext.batch.study_runs import Place, run_studies
from lumbar_ext.engine.task import ItemLimits
from tests.batch.fake import FakeStudies


@dataclass(frozen=True)
class FakeCohort:
    """A manifest of fake studies and its folder of results."""

    root: Path

    @property
    def manifest(self):
        return self.root / "manifest.csv"

    @property
    def folder(self):
        return CohortFolder(self.root / "out")

    def write(self, words):
        """A study for each id, whose AP file says the word; None for no file."""
        lines = ["study,ap,lat,calibration,site"]
        for name, word in words.items():
            if word is not None:
                (self.root / f"{name}.ap").write_text(word)
            (self.root / f"{name}.lat").touch()
            lines.append(f"{name},{name}.ap,{name}.lat,{name}.lat,north")
        self.manifest.write_text("\n".join(lines) + "\n")

    def run(self, again=(), *, place=None, **limits):
        """Runs what is to be done, and returns by id how it ended."""
        self.folder.studies.mkdir(parents=True, exist_ok=True)
        task = FakeStudies(str(self.folder.studies), "key", str(self.folder.path / "diary.txt"))
        limits = ItemLimits(**{"threads": 1, "retries": 1, **limits})
        run_studies(self.folder, read_manifest(self.manifest), task, limits, "key", place or Place(workers=2), again)
        return self.outcomes()

    def outcomes(self, just_killed=False):
        """By id, how a study ended; each folder holds a whole set. A kill may leave a hidden one, until the next run."""
        found = {}
        for study in read_manifest(self.manifest):
            outcome = self.folder.outcome(study)
            if outcome is not None:
                found[study.name] = str(outcome.what)
                names = {path.name for path in self.folder.study(study).iterdir()}
                whole = {"half.txt", "measurements.csv", "report.html"} if outcome.what in ("ok", "flagged") else set()
                assert names == {"outcome.json"} | whole
        # Nothing but the studies: no staging folders, nothing twice.
        there = [path for path in self.folder.studies.iterdir() if not (just_killed and path.name.startswith("."))]
        assert len(there) == len(found)
        return found

    def attempts(self):
        """How many times each study was begun, in all runs."""
        return Counter((self.folder.path / "diary.txt").read_text().split())


@pytest.fixture
def fake_cohort(tmp_path):
    return FakeCohort(tmp_path)
