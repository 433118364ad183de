"""How well T12 and S1 are located: values with them, over true vertebrae, against all that is true.

    lumbar-ext evaluate-anchors "['out/cohort/people']" out/anchors/anchor_errors.csv

No registration: L1 to L5 are the true meshes, so that only the landmarks of T12 and S1 are measured, and what is made
of them, in two seconds a study. A reconstruction adds the errors of L1 to L5, which are smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from lumbar_ext.bundle_paths import MULTITASK, bundle_dir
from lumbar_ext.engine.completed import Gathered, report_completed
from lumbar_ext.evaluation.measurement_errors import MeasurementError, signed_error, true_meshes, true_neighbours
from lumbar_ext.evaluation.measurement_study import format_table, write_rows
from lumbar_ext.evaluation.truth import study_items
from lumbar_ext.landmarks.anchors import TrueAnchors, read_anchors
from lumbar_ext.landmarks.located_anchors import LocatedAnchors
from lumbar_ext.measurements.marks.vertebra_marks import MarkedVertebra
from lumbar_ext.measurements.uncertainty.interval_calibration import interval_kind, rests_on_landmarks
from lumbar_ext.measurements.uncertainty.posterior import N_SAMPLES
from lumbar_ext.measurements.uncertainty.registered import checked_anchors, marked_anchors
from lumbar_ext.measurements.values.spine_values import mark_spine, measure_spine
from lumbar_ext.studies.biplanar_study import BiplanarStudy, read_study
from lumbar_ext.studies.study_folder import TruthFolder
from lumbar_ext.typed_values import Count


def evaluate_anchors(
    dataset_dirs: list[str],
    csv_path: str,
    *,
    bundle_root: str | None = None,
    limit: int | None = None,
    workers: Count = 1,
) -> None:
    """Prints the errors of values with T12 and S1, and why these could not be located, and writes a row for each value.

    Args:
        dataset_dirs: folders of simulated studies with true meshes (`lumbar-ext simulate --meshes true`).
        csv_path: CSV file for the rows, as `calibrate-measurements` reads them.
        bundle_root: folder of the network's bundle, if it is another one than the package's.
        limit: the first studies of each folder only.
        workers: processes; more than one need the extra [cohort].
    """
    items = [item for folder in dataset_dirs for item in study_items(folder, folder, limit=limit)]
    names = [Path(item["output_dir"]).name for item in items]
    report = Gathered(partial(_report, csv_path=csv_path))
    report_completed(AnchorTask(bundle_dir(MULTITASK, bundle_root)), items, names, report, workers)


def _report(found: list[StudyAnchors], csv_path: str) -> None:
    for study in found:
        for level, reason in study.missing.items():
            print(f"{study.name}: {level}: {reason}")
    errors = [error for study in found for error in study.errors]
    write_rows(csv_path, errors)
    print(format_table("T12 and S1 as located, over true vertebrae", errors))


@dataclass(frozen=True)
class StudyAnchors:
    """What was measured of one study.

    Args:
        name: its name.
        errors: its rows.
        missing: by level, why it is not located.
    """

    name: str
    errors: list[MeasurementError]
    missing: dict[str, str]


@dataclass(frozen=True)
class AnchorTask:
    """The task of the processes that locate T12 and S1.

    Args:
        bundle_root: folder of the network's bundle.
    """

    bundle_root: Path

    def prepare(self) -> Callable[[Mapping[str, str]], StudyAnchors]:
        """Loads the networks."""
        from lumbar_ext.workflow.locate_and_look import observe_located
        from lumbar_ext.workflow.network_bundle import load_locating_networks

        networks = load_locating_networks(self.bundle_root)
        return lambda item: _study_errors(item, lambda study: observe_located(*networks, study).located_anchors())


def _study_errors(item: Mapping[str, str], locate: Callable[[BiplanarStudy], LocatedAnchors]) -> StudyAnchors:
    name, truth = Path(item["output_dir"]).name, TruthFolder(Path(item["truth_dir"]))
    located = locate(read_study(item["ap_image"], item["lat_image"], item["calibration"]))
    meshes = true_meshes(truth.path)
    marks, _ = mark_spine(meshes)
    spine = {level: own.place(meshes[level].vertices_mm, meshes[level].landmarks_mm) for level, own in marks.items()}
    located = checked_anchors(located, spine)
    errors = anchor_errors(name, spine, located, read_anchors(truth.anchors))
    return StudyAnchors(name, errors, dict(located.missing))


def anchor_errors(
    study: str, spine: Mapping[str, MarkedVertebra], located: LocatedAnchors, true: TrueAnchors | None
) -> list[MeasurementError]:
    """Rows of the values that rest on T12 and S1.

    Args:
        study: its name.
        spine: the true vertebrae, marked.
        located: what was located.
        true: where they are.
    """
    truth = measure_spine({**spine, **true_neighbours(true)})
    found = measure_spine(
        {**spine, **marked_anchors(located, located.t12_mm, located.sacrum and located.sacrum.points_mm)}
    )
    spread = measure_spine({**spine, **marked_anchors(located, *located.samples(N_SAMPLES))})
    rows = []
    for key, known in truth.found.items():
        if not rests_on_landmarks(interval_kind(key)):
            continue
        own, samples = found.found.get(key), spread.found.get(key)
        both = own is not None and samples is not None
        rows.append(
            MeasurementError(
                study,
                *key,
                float(known),
                None if own is None else float(own),
                None,
                None,
                signed_error(key[1], own, known),
                float(np.sqrt(np.square(samples - own).mean())) if both else None,
            )
        )
    return rows
