"""The folder of a cohort: which file of it has which name, and who works in it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lumbar_ext.batch.manifest import Study
from lumbar_ext.batch.study_outcome import Outcome, read_outcome
from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import write_text


@dataclass(frozen=True)
class CohortFolder:
    """The files of a cohort.

    Args:
        path: the folder.
    """

    path: Path

    @property
    def studies(self) -> Path:
        """A folder for each study that was tried."""
        return self.path / "studies"

    @property
    def manifest(self) -> Path:
        """`manifest.csv`: the studies of the last run, one a row."""
        return self.path / "manifest.csv"

    @property
    def run(self) -> Path:
        """`cohort.json`: the options of the last run."""
        return self.path / "cohort.json"

    @property
    def page(self) -> Path:
        """`index.html`: the page on which people look through the studies."""
        return self.path / "index.html"

    def table(self, name: str, kind: str) -> Path:
        """`measurements` or `studies`, as csv or parquet."""
        return self.path / f"{name}.{kind}"

    def study(self, study: Study) -> Path:
        """The folder of a study's results and outcome, named after its id."""
        return self.studies / study.folder_name

    def outcome(self, study: Study) -> Outcome | None:
        """What became of a study; None if it was not tried."""
        return read_outcome(self.study(study))

    def read_run(self) -> dict[str, Any]:
        """The options of the last run.

        Raises:
            InputError: if there was none.
        """
        try:
            return json.loads(self.run.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path}: no folder of a cohort, expected one that lumbar-ext cohort made") from error

    def write_run(self, document: Mapping[str, Any]) -> None:
        """Writes the options of a run as `cohort.json`, in one step."""
        write_text(self.run, json.dumps(document, indent=1) + "\n")

    @property
    def is_worked_in(self) -> bool:
        """Whether another process holds the folder's lock; asking takes the lock for a moment."""
        try:
            with self.alone():
                return False
        except InputError:
            return True

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Holds the folder for one run; the lock is free as soon as the process has ended, however.

        Raises:
            InputError: if another run holds it; the message says which.
        """
        with open(self.path / ".run", "a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise InputError(f"{self.path}: another run works here ({file.read().strip() or 'unknown'})") from None
            except OSError:
                # A file system without locks: each study still appears whole, and the later one stays.
                pass
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            yield
