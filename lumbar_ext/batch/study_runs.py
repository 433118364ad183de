"""Runs a task on the studies of a cohort that are missing or have changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from tqdm import tqdm

from lumbar_ext.batch.cohort_folder import CohortFolder
from lumbar_ext.batch.manifest import Study
from lumbar_ext.batch.study_key import are_still, input_files
from lumbar_ext.batch.study_outcome import Outcome, What, publish_outcome
from lumbar_ext.engine.run import run_items
from lumbar_ext.engine.task import Ended, How, ItemLimits, Task
from lumbar_ext.io.atomic import remove_leftovers

_FAILED = {How.BAD_INPUT: What.BAD_INPUT, How.CRASHED: What.CRASHED, How.TIMED_OUT: What.TIMED_OUT}


@dataclass(frozen=True)
class Place:
    """Where a run's processes are.

    Args:
        scheduler: address of a Dask scheduler; None for this machine.
        workers: processes on this machine; None for one a core.
    """

    scheduler: str | None = None
    workers: int | None = None


def run_studies(
    folder: CohortFolder,
    studies: Sequence[Study],
    task: Task,
    limits: ItemLimits,
    settings: str,
    place: Place,
    again: Sequence[What] = (),
) -> None:
    """Runs a task on the studies that are missing or have changed; each ends with an outcome in its folder.

    Args:
        folder: of the cohort.
        studies: all of it.
        task: makes of a `Study` its folder with an outcome.
        limits: of each study.
        settings: key of what all results depend on.
        place: where.
        again: outcomes that are tried again.
    """
    remove_leftovers(folder.studies)
    todo = [study for study in studies if not _is_done(folder, study, settings, again)]
    for study in todo:
        if study.refused:
            # No settings: a row that is mended is another study.
            refusal = Outcome(study.name, What.BAD_INPUT, study.refused, (), "", {})
            publish_outcome(folder.study(study), refusal)
    todo = [study for study in todo if not study.refused]
    counts: Counter[str] = Counter()
    ways = {"workers": place.workers, "scheduler": place.scheduler}
    try:
        with (
            tqdm(total=len(todo), unit="study", desc="reconstruct") as bar,
            closing(run_items(task, todo, limits, **ways)) as run,
        ):
            for index, ended in run:
                what = ended.value if ended.how is How.DONE else _record(folder, todo[index], settings, ended)
                counts[str(what)] += 1
                bar.set_postfix_str(", ".join(f"{count} {name}" for name, count in counts.items()), refresh=False)
                bar.update()
    finally:
        # Of studies that were being worked on when a full disk, say, ended the run.
        remove_leftovers(folder.studies)


def _is_done(folder: CohortFolder, study: Study, settings: str, again: Sequence[What]) -> bool:
    outcome = folder.outcome(study)
    if outcome is None or outcome.what in again:
        return False
    if study.refused:
        return outcome.sentence == study.refused
    return outcome.settings == settings and are_still(outcome.inputs, study.files)


def _record(folder: CohortFolder, study: Study, settings: str, ended: Ended) -> What:
    what = _FAILED[ended.how]
    outcome = Outcome(
        study.name,
        what,
        ended.message,
        (),
        settings,
        input_files(study.files),
        ended.attempts,
        round(ended.seconds, 3),
        round(ended.cpu_seconds, 3),
        ended.host,
        log="" if what is What.BAD_INPUT else ended.log,
    )
    publish_outcome(folder.study(study), outcome)
    return what
