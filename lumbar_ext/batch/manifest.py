"""The list of a cohort's studies: a CSV or Parquet file, or a folder that is scanned for study folders."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import write_text
from lumbar_ext.studies.study_folder import CALIBRATION_NAME, StudyFolder

COLUMNS: dict[str, tuple[str, ...]] = {
    "study": ("study", "study_id", "id"),
    "ap": ("ap", "ap_image"),
    "lat": ("lat", "lateral", "lat_image"),
    "calibration": ("calibration",),
    "landmarks": ("landmarks",),
}
"""By what a column says, the names it may have, in capitals or not; all are needed but the landmarks."""

FILES = ("ap", "lat", "calibration", "landmarks")
_LONGEST_NAME = 120  # of a folder; file systems take 255 bytes, and suffixes and temporary names are added


@dataclass(frozen=True)
class Study:
    """A row of a manifest.

    Args:
        name: its id, unique in the cohort.
        files: absolute path by role (`FILES`); without the landmarks where none are given.
        carried: the manifest's other columns.
        refused: a sentence where the row cannot be used, else empty.
    """

    name: str
    files: Mapping[str, str]
    carried: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""

    @property
    def folder_name(self) -> str:
        """The name of its folder: the id, with what file systems do not like in % and two digits."""
        safe = quote(self.name, safe=" ,;=+@()[]{}")
        safe = "%2E" + safe[1:] if safe.startswith(".") else safe
        if len(safe) <= _LONGEST_NAME:
            return safe
        return f"{safe[:_LONGEST_NAME]}-{hashlib.sha256(self.name.encode()).hexdigest()[:12]}"


def read_manifest(path: str | Path) -> list[Study]:
    """The studies of a cohort, each id once.

    Rows that say the same are one study; an id with different rows is one that is refused, and so is a row without an id
    or a file.

    Args:
        path: a `.csv` or `.parquet` file, whose paths are absolute or relative to its folder, or a folder.

    Raises:
        InputError: if it cannot be read, lacks a column, or holds no study.
    """
    path = Path(path)
    if path.is_dir():
        return _scanned(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected a manifest (.csv, .parquet) or a folder of studies")
    rows = _parquet_rows(path) if path.suffix.lower() in (".parquet", ".pq") else _csv_rows(path)
    studies = _studies(path, rows)
    if not studies:
        raise InputError(f"{path}: holds no study, expected a row for each")
    return _each_once(studies)


def write_manifest(path: str | Path, studies: Sequence[Study]) -> None:
    """Writes studies as a CSV file that `read_manifest` reads."""
    carried = list(dict.fromkeys(name for study in studies for name in study.carried))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["study", *FILES, "refused", *carried])
    for study in studies:
        own = [study.carried.get(name, "") for name in carried]
        rows.writerow([study.name, *(study.files.get(role, "") for role in FILES), study.refused, *own])
    write_text(path, text.getvalue())


def _scanned(folder: Path) -> list[Study]:
    """A study of each folder beneath one, whose id is its path in it, that holds a calibration or a radiograph `ap.*`."""
    places = {path.parent for pattern in (CALIBRATION_NAME, "ap.*") for path in folder.rglob(pattern)}
    places = [place for place in sorted(places) if not any(p.startswith(".") for p in place.relative_to(folder).parts)]
    if not places:
        raise InputError(f"{folder}: holds no study, expected folders with ap.png, lat.png and {CALIBRATION_NAME}")
    return [_of_folder(place.resolve(), place.relative_to(folder).as_posix()) for place in places]


def _of_folder(place: Path, name: str) -> Study:
    files = StudyFolder(place)
    name = place.name if name == "." else name
    try:
        found = {view: str(files.radiograph(view)) for view in ("ap", "lat")}
    except InputError as error:
        return Study(name, {}, refused=str(error))
    return Study(name, {**found, "calibration": str(files.calibration)})


def _csv_rows(path: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = max(",;\t", key=first.count)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restkey="", strict=True)
        return [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV in UTF-8 ({error})") from error


def _parquet_rows(path: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    import pyarrow.parquet

    try:
        return list(enumerate(pyarrow.parquet.read_table(path).to_pylist(), 1))
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({error})") from error


def _studies(path: Path, rows: Iterable[tuple[int, dict[str, Any]]]) -> list[Study]:
    rows = list(rows)
    columns = _columns(path, [name for name in rows[0][1] if name]) if rows else {}
    return [_study(path, number, row, columns) for number, row in rows]


def _columns(path: Path, found: Sequence[str]) -> dict[str, str]:
    """By what it says, the name of a column in the file."""
    columns = {}
    for role, names in COLUMNS.items():
        own = [name for name in found if name.strip().lower() in names]
        if len(own) > 1 or (not own and role != "landmarks"):
            raise InputError(
                f"{path}: expected one column {' or '.join(names)}, found {', '.join(own or found) or 'nothing'}"
            )
        if own:
            columns[role] = own[0]
    return columns


def _study(path: Path, number: int, row: dict[str, Any], columns: Mapping[str, str]) -> Study:
    texts = {name: "" if value is None else str(value).strip() for name, value in row.items() if name}
    name = texts[columns["study"]]
    given = {role: texts[columns[role]] for role in FILES if role in columns and texts[columns[role]]}
    files = {role: str(path.parent.resolve() / file) for role, file in given.items()}
    own = set(columns.values()) | {"refused"}
    study = Study(name, files, {key: text for key, text in texts.items() if key not in own}, texts.get("refused", ""))
    if not name:
        return replace(study, name=f"line {number}", refused=f"line {number} of the manifest has no study id")
    missing = [role for role in ("ap", "lat", "calibration") if role not in files]
    if missing and not study.refused:
        return replace(study, refused=f"line {number} of the manifest has no {' and no '.join(missing)}")
    if row.get(""):
        return replace(study, refused=f"line {number} of the manifest has more fields than there are columns")
    return study


def _each_once(studies: Sequence[Study]) -> list[Study]:
    once: dict[str, Study] = {}
    for study in studies:
        before = once.setdefault(study.name, study)
        if before != study:
            sentence = "the manifest has this id more than once, with different rows"
            once[study.name] = replace(before, files={}, refused=sentence)
    return list(once.values())
