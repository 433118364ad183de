"""The command that works on an archive.

lumbar-ext pacs https://pacs.example.org/dicom-web OUT --filters "{'StudyDate': '20260101-', 'ModalitiesInStudy': 'DX'}"
lumbar-ext pacs https://pacs.example.org/dicom-web OUT --filters ... --watch_seconds 60
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from lumbar_ext.batch.cohort_folder import CohortFolder
from lumbar_ext.batch.cohort_verbs import make_folder, refuse_unknown_entries
from lumbar_ext.batch.manifest import Study
from lumbar_ext.batch.study_key import settings_key
from lumbar_ext.batch.study_outcome import HAS_RESULTS, Outcome, What
from lumbar_ext.batch.study_runs import Place, run_studies
from lumbar_ext.batch.study_task import ReconstructStudies
from lumbar_ext.engine.task import ItemLimits
from lumbar_ext.errors import InputError
from lumbar_ext.io.input_file import MAX_DOCUMENT_BYTES, require_file
from lumbar_ext.pacs.archive import Archive, ArchiveError
from lumbar_ext.pacs.archived_studies import ReconstructArchived
from lumbar_ext.typed_values import Count, Positive, Whole


def pacs(
    url: str,
    output_dir: str,
    *,
    filters: dict[str, str] | None = None,
    calibration: str = "",
    credentials: str = "",
    ca_bundle: str = "",
    watch_seconds: Positive | None = None,
    retry: bool = False,
    workers: Count | None = None,
    timeout_seconds: Positive | None = 900.0,
    retries: Whole = 2,
    **entries: Any,
) -> None:
    """Reconstructs the studies of a DICOM archive and stores report, meshes and overlays with them, by DICOMweb.

    Studies that hold such results already are left alone, and so are those that this folder knows to have failed.

    Args:
        url: of the archive's DICOMweb service, such as https://pacs.example.org/dicom-web.
        output_dir: folder of results and outcomes on this machine.
        filters: which studies, DICOM keyword to value, such as {'StudyDate': '20260101-'}; null for all.
        calibration: calibration file of all studies; empty where their headers hold their own.
        credentials: JSON file with user and password, or token; empty for the environment's LUMBAR_EXT_PACS_USER and
            LUMBAR_EXT_PACS_PASSWORD, or LUMBAR_EXT_PACS_TOKEN.
        ca_bundle: file of certificates to trust in place of the system's.
        watch_seconds: look again after so many seconds, until interrupted; null to look once.
        retry: whether to try those again that failed before.
        workers: studies at once; null for one a core.
        timeout_seconds: of each study, more ends it; null for no limit.
        retries: further attempts after a crash.
        entries: options of lumbar-ext reconstruct, such as --looks 0.

    Raises:
        InputError: if an option, the folder, or the archive cannot be used.
    """
    refuse_unknown_entries(entries)
    if calibration:
        require_file(calibration, "a calibration file", MAX_DOCUMENT_BYTES)
    folder = CohortFolder(Path(output_dir))
    make_folder(folder)
    settings = settings_key(entries)
    reconstruct = ReconstructStudies(str(folder.studies.resolve()), entries, settings)
    archive = Archive(url, credentials, ca_bundle)
    task = ReconstructArchived(archive, reconstruct, calibration and str(Path(calibration).resolve()))
    limits = ItemLimits(timeout_seconds, retries=retries)
    with folder.alone():
        while True:
            try:
                found, new, done = work_off(folder, task, filters or {}, limits, Place(workers=workers), retry)
                if new or watch_seconds is None:
                    print(f"{found} studies found, {new} were new, {done} of these have results", flush=True)
            except ArchiveError as error:
                if watch_seconds is None:
                    raise InputError(str(error)) from error
                print(f"warning: {error}; looking again in {watch_seconds:g} s", file=sys.stderr, flush=True)
            if watch_seconds is None:
                return
            # What failed before this run was tried once more.
            retry = False
            time.sleep(watch_seconds)


def work_off(
    folder: CohortFolder,
    task: ReconstructArchived,
    filters: dict[str, str],
    limits: ItemLimits,
    place: Place,
    retry: bool,
) -> tuple[int, int, int]:
    """Reconstructs what a filter finds and is not done.

    Returns:
        How many studies were found, how many of these were new, and how many of these have results now.

    Raises:
        ArchiveError: if the archive does not answer.
        InputError: if it cannot be used at all.
    """
    found = [Study(uid, {}) for uid in task.archive.studies(filters)]
    unknown = [study for study in found if _is_open(folder.outcome(study), retry)]
    todo = [study for study in unknown if not task.archive.has_results(study.name)]
    if todo:
        run_studies(folder, todo, task, limits, task.reconstruct.settings, place, again=tuple(What))
    outcomes = [folder.outcome(study) for study in todo]
    done = sum(outcome is not None and outcome.what in HAS_RESULTS for outcome in outcomes)
    return len(found), len(todo), done


def _is_open(outcome: Outcome | None, retry: bool) -> bool:
    """Whether the archive is to be asked about a study: not where it is known to be done, or to have failed by itself."""
    if outcome is None:
        return True
    was_unreachable = outcome.what is What.CRASHED and outcome.sentence.startswith(ArchiveError.__name__)
    return was_unreachable or (retry and outcome.what not in HAS_RESULTS)
