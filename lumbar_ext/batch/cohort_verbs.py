"""The commands of a cohort.

    lumbar-ext cohort MANIFEST OUT --workers 8
    lumbar-ext cohort-status OUT
    lumbar-ext cohort-retry OUT
    lumbar-ext cohort-report OUT

The first, given again, does what is missing or has changed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from lumbar_ext.batch.cohort_folder import CohortFolder
from lumbar_ext.batch.manifest import Study, read_manifest, write_manifest
from lumbar_ext.batch.page import Distributions, write_page
from lumbar_ext.batch.study_key import settings_key
from lumbar_ext.batch.study_outcome import Outcome, What
from lumbar_ext.batch.study_runs import Place, run_studies
from lumbar_ext.batch.study_task import ReconstructStudies
from lumbar_ext.batch.tables import write_measurements_table, write_studies_table
from lumbar_ext.bundle_paths import RECONSTRUCTION, bundle_dir
from lumbar_ext.engine.task import ItemLimits
from lumbar_ext.errors import InputError, NothingUsableError
from lumbar_ext.io.atomic import refuse_to_replace
from lumbar_ext.typed_values import Count, Positive, Whole
from lumbar_ext.workflow.options import refuse_unknown_entry

_GIVEN_PER_STUDY = ("ap_image", "lat_image", "calibration", "landmarks", "output_dir")
_AGAIN = (What.CRASHED, What.TIMED_OUT)


def cohort(
    manifest: str,
    output_dir: str,
    *,
    scheduler: str | None = None,
    workers: Count | None = None,
    threads: Count | None = None,
    memory_gib: Positive | None = None,
    timeout_seconds: Positive | None = 900.0,
    retries: Whole = 2,
    **entries: Any,
) -> None:
    """Reconstructs all studies of a manifest; given again, those that are missing or have changed.

    Args:
        manifest: CSV or Parquet file with the columns study, ap, lat and calibration (landmarks and others if you like), or
            a folder of study folders.
        output_dir: folder of the cohort: a folder for each study, tables, and index.html.
        scheduler: address of a Dask scheduler, such as tcp://10.0.0.1:8786, or the file of `dask scheduler --scheduler-file`;
            null for this machine.
        workers: studies at once on this machine; null for one a core.
        threads: of each study; null for an equal share of the cores.
        memory_gib: of each study, more ends it; null for an equal share of the machine's.
        timeout_seconds: of each study, more ends it; null for no limit.
        retries: further attempts after a crash.
        entries: options of lumbar-ext reconstruct, such as --looks 0.

    Raises:
        InputError: if the manifest, an option or the folder cannot be used, a study's files lie where results go, another run
            works in the folder, or the disk is full; NothingUsableError if no study has results.
    """
    refuse_unknown_entries(entries)
    limits = {"seconds": timeout_seconds, "memory_gib": memory_gib, "threads": threads, "retries": retries}
    studies = read_manifest(manifest)
    folder = CohortFolder(Path(output_dir))
    files = (path for study in studies for path in study.files.values() if path)
    refuse_to_replace(files, folder.studies, ("*",))
    make_folder(folder)
    with folder.alone():
        write_manifest(folder.manifest, studies)
        folder.write_run({"options": entries, "limits": limits, "started": _now()})
        _run(folder, studies, entries, ItemLimits(**limits), Place(scheduler, workers))
    _end(folder, studies)


def cohort_retry(
    output_dir: str, *, scheduler: str | None = None, workers: Count | None = None, bad_input: bool = False
) -> None:
    """Tries the crashed and timed-out studies of a cohort again, and does what is missing, as the last run would.

    Args:
        output_dir: folder of the cohort.
        scheduler: address of a Dask scheduler; null for this machine.
        workers: studies at once on this machine; null for one a core.
        bad_input: whether to try those again whose input was refused.

    Raises:
        InputError: if it is no folder of a cohort, or as `cohort` does.
    """
    folder = CohortFolder(Path(output_dir))
    run = folder.read_run()
    studies = read_manifest(folder.manifest)
    again = (*_AGAIN, What.BAD_INPUT) if bad_input else _AGAIN
    with folder.alone():
        folder.write_run({**run, "started": _now()})
        _run(folder, studies, run["options"], ItemLimits(**run["limits"]), Place(scheduler, workers), again)
    _end(folder, studies)


def cohort_status(output_dir: str) -> None:
    """Prints how many studies of a cohort ended how, and how long a run will go on.

    Args:
        output_dir: folder of the cohort.

    Raises:
        InputError: if it is no folder of a cohort.
    """
    folder = CohortFolder(Path(output_dir))
    started = datetime.fromisoformat(folder.read_run()["started"])
    outcomes = [folder.outcome(study) for study in read_manifest(folder.manifest)]
    print(_counts(outcomes))
    left = sum(outcome is None for outcome in outcomes)
    if not folder.is_worked_in:
        print("no run is going on" + (": the same command does the rest" if left else ""))
        return
    ended = [datetime.fromisoformat(outcome.ended) for outcome in outcomes if outcome is not None]
    hours = (datetime.now(UTC) - started).total_seconds() / 3600
    rate = sum(when >= started for when in ended) / max(hours, 1e-9)
    print(f"a run is going on: {rate:.0f} studies an hour" + (f", {left / rate:.1f} h to go" if rate else ""))


def cohort_report(output_dir: str) -> None:
    """Writes the tables and the page of a cohort as it is now, also while a run is going on.

    Args:
        output_dir: folder of the cohort.

    Raises:
        InputError: if it is no folder of a cohort.
    """
    folder = CohortFolder(Path(output_dir))
    folder.read_run()
    write_cohort_report(folder, read_manifest(folder.manifest))


def write_cohort_report(folder: CohortFolder, studies: Sequence[Study]) -> list[Outcome | None]:
    """Writes tables and page, and returns what became of each study."""
    pairs = [(study, folder.outcome(study)) for study in studies]
    distributions = Distributions()
    for rows in write_measurements_table(folder, pairs):
        distributions.add(rows)
    write_studies_table(folder, pairs)
    write_page(folder, pairs, distributions)
    return [outcome for _, outcome in pairs]


def _run(
    folder: CohortFolder,
    studies: Sequence[Study],
    options: dict[str, Any],
    limits: ItemLimits,
    place: Place,
    again: Sequence[What] = (),
) -> None:
    settings = settings_key(options)
    task = ReconstructStudies(str(folder.studies.resolve()), options, settings)
    run_studies(folder, studies, task, limits, settings, place, again)


def _end(folder: CohortFolder, studies: Sequence[Study]) -> None:
    outcomes = write_cohort_report(folder, studies)
    print(_counts(outcomes))
    print(f"page: {folder.page.resolve()}")
    if not any(outcome is not None and outcome.what in (What.OK, What.FLAGGED) for outcome in outcomes):
        raise NothingUsableError(f"{folder.path}: no study has results; studies.csv says why")


def _counts(outcomes: Sequence[Outcome | None]) -> str:
    counts = Counter("to do" if outcome is None else str(outcome.what) for outcome in outcomes)
    return f"{len(outcomes)} studies: " + ", ".join(
        f"{counts[name]} {name}" for name in (*map(str, What), "to do") if counts[name]
    )


def make_folder(folder: CohortFolder) -> None:
    """Makes the folder; InputError if it cannot be made or written to."""
    try:
        folder.studies.mkdir(parents=True, exist_ok=True)
        if not os.access(folder.path, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise InputError(f"{folder.path}: not usable as output folder ({error.strerror or error})") from error


def refuse_unknown_entries(entries: dict[str, Any]) -> None:
    """Raises InputError if an option is no entry of the reconstruction's config, or one that each study has of its own."""
    parser = ConfigParser()
    parser.read_config(str(bundle_dir(RECONSTRUCTION) / "configs" / "inference.json"))
    for name in entries:
        if name in _GIVEN_PER_STUDY:
            raise InputError(f"--{name}: stands in the manifest, for each study")
        refuse_unknown_entry(name, parser)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
