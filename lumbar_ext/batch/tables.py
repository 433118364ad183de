"""All measurements of a cohort in one tidy table, and its studies in another; each as Parquet and CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.csv
import pyarrow.parquet

from lumbar_ext.batch.cohort_folder import CohortFolder
from lumbar_ext.batch.manifest import Study
from lumbar_ext.batch.study_outcome import HAS_RESULTS, Outcome
from lumbar_ext.io.atomic import atomic_path
from lumbar_ext.measurements.document import CSV_COLUMNS

_NUMBERS = ("value", "sd", "low_90", "high_90", "reference_low", "reference_high", "held", "held_cases")
_SWITCH = "outside_reference"
_COLUMNS = tuple(name for name in CSV_COLUMNS if name not in ("study", "definition"))
"""A definition is a sentence, which ten thousand studies need not repeat; the study is the manifest's."""
TABLE_SCHEMA = pyarrow.schema(
    [("study", pyarrow.string()), ("outcome", pyarrow.string())]
    + [
        (name, pyarrow.float64() if name in _NUMBERS else pyarrow.bool_() if name == _SWITCH else pyarrow.string())
        for name in _COLUMNS
    ]
)
"""A row a value: its study and how that ended, then the columns of a study's own `measurements.csv`."""

_OWN = ("study", "outcome", "sentence", "flags", "attempts", "seconds", "cpu_seconds", "host", "ended", "folder")
_STUDIES_A_PIECE = 500  # some 100,000 rows in memory at once

Pair = tuple[Study, Outcome | None]


def write_measurements_table(folder: CohortFolder, pairs: Sequence[Pair]) -> Iterator[list[dict[str, Any]]]:
    """Writes `measurements.parquet` and `.csv`, some hundred studies at a time, and yields the rows on the way.

    Args:
        folder: of the cohort.
        pairs: its studies, and what became of them.
    """
    with (
        atomic_path(folder.table("measurements", "parquet")) as parquet,
        atomic_path(folder.table("measurements", "csv")) as text,
        pyarrow.parquet.ParquetWriter(parquet, TABLE_SCHEMA) as in_parquet,
        pyarrow.csv.CSVWriter(text, TABLE_SCHEMA) as in_csv,
    ):
        done = [(study, outcome) for study, outcome in pairs if outcome is not None and outcome.what in HAS_RESULTS]
        for first in range(0, len(done), _STUDIES_A_PIECE):
            rows = [row for pair in done[first : first + _STUDIES_A_PIECE] for row in _rows(folder, *pair)]
            piece = pyarrow.Table.from_pylist(rows, TABLE_SCHEMA)
            in_parquet.write_table(piece)
            in_csv.write_table(piece)
            yield rows


def write_studies_table(folder: CohortFolder, pairs: Sequence[Pair]) -> None:
    """Writes `studies.parquet` and `.csv`: a row a study, with what its row of the manifest carried along."""
    carried = list(dict.fromkeys(name for study, _ in pairs for name in study.carried))
    # A column of the manifest may be called like one of these.
    names = {name: f"manifest_{name}" if name in _OWN else name for name in carried}
    rows = [_study_row(folder, study, outcome, names) for study, outcome in pairs]
    numbers = ("attempts", "seconds", "cpu_seconds")
    schema = pyarrow.schema(
        [(name, pyarrow.float64() if name in numbers else pyarrow.string()) for name in (*_OWN, *names.values())]
    )
    table = pyarrow.Table.from_pylist(rows, schema)
    with atomic_path(folder.table("studies", "parquet")) as path:
        pyarrow.parquet.write_table(table, path)
    with atomic_path(folder.table("studies", "csv")) as path:
        pyarrow.csv.write_csv(table, path)


def _study_row(folder: CohortFolder, study: Study, outcome: Outcome | None, names: Mapping[str, str]) -> dict[str, Any]:
    carried = {names[name]: text for name, text in study.carried.items()}
    if outcome is None:
        return {"study": study.name, "outcome": "to do", **carried}
    own = {name: getattr(outcome, name) for name in ("sentence", "attempts", "seconds", "cpu_seconds", "host", "ended")}
    place = folder.study(study).relative_to(folder.path).as_posix()
    flags = "; ".join(outcome.flags)
    return {"study": study.name, "outcome": str(outcome.what), "flags": flags, "folder": place, **own, **carried}


def _rows(folder: CohortFolder, study: Study, outcome: Outcome) -> Iterable[dict[str, Any]]:
    path = Path(folder.study(study), "measurements.csv")
    if not path.is_file():
        return
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield {
                "study": study.name,
                "outcome": str(outcome.what),
                **{name: _typed(name, text) for name, text in row.items() if name in _COLUMNS},
            }


def _typed(name: str, text: str) -> str | float | bool | None:
    if text == "":
        return None
    if name in _NUMBERS:
        return float(text)
    return text == "True" if name == _SWITCH else text
