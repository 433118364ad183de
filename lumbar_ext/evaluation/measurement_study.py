"""The measurement study: measurement errors of all studies of a cohort, as CSV and as a table.

    python -m monai.bundle run --config_file "['inference.json','evaluate_measurements.json']" --dataset_dir COHORT ...

The CSV file also holds the uncertainties before calibration; `measurements.uncertainty.interval_calibration` reads it.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Transform
from torch import nn

from lumbar_ext.evaluation.measurement_errors import (
    GradedVertebra,
    MeasurementError,
    graded_vertebrae,
    measurement_errors,
)
from lumbar_ext.measurements.uncertainty.grade import Grade
from lumbar_ext.measurements.uncertainty.interval_calibration import LUMBOSACRAL, VERTEX, interval_kind
from lumbar_ext.measurements.values.definitions import BY_ID, DEFINITIONS
from lumbar_ext.workflow.outputs import measured_anchors

LARGE_ERROR_MM = 2.0
"""Mean distance to the truth from which on a vertebra's quality grade should raise a doubt."""


class MeasureErrors(Transform):
    """Adds `measurement_errors` and `graded_vertebrae` to the dictionary of a registered study with a `truth_dir`.

    Args:
        shape_model: the shape model, whose triangles the meshes have.
    """

    def __init__(self, shape_model: nn.Module) -> None:
        self.shape_model = shape_model

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Adds both."""
        triangles = self.shape_model.triangles.cpu().numpy()
        study = Path(data["truth_dir"]).parent.name
        anchors = measured_anchors(data["observed"], data["pred"])
        errors = measurement_errors(study, data["pred"], triangles, data["truth_dir"], anchors)
        graded = graded_vertebrae(errors, data["pred"], data["landmarks"])
        return {**data, "measurement_errors": errors, "graded_vertebrae": graded}


class MeasurementErrorTable:
    """Gathers the rows of every study; at the end prints a table and writes all rows as CSV.

    Args:
        title: what was measured on what, printed above the table.
        csv_path: file for the rows.
    """

    reads = ("measurement_errors", "graded_vertebrae")

    def __init__(self, title: str, csv_path: str | Path) -> None:
        self.title = title
        self.csv_path = Path(csv_path)
        self.errors: list[MeasurementError] = []
        self.graded: list[GradedVertebra] = []

    def add(self, study: Mapping[str, Any]) -> None:
        """Takes in the rows of a study."""
        self.errors += study["measurement_errors"]
        self.graded += study["graded_vertebrae"]

    def finish(self) -> None:
        """Writes both files and prints the tables."""
        write_rows(self.csv_path, self.errors)
        write_quality(self.csv_path.with_name("vertebra_quality.csv"), self.graded)
        print(format_table(self.title, self.errors), file=sys.stdout)
        print(format_sensitivity(self.graded), file=sys.stdout, flush=True)


def write_rows(csv_path: str | Path, errors: list[MeasurementError]) -> None:
    """Writes the rows; what is unknown stays empty."""
    Path(csv_path).parent.mkdir(parents=True, exist_ok=True)
    with Path(csv_path).open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, [field.name for field in fields(MeasurementError)])
        rows.writeheader()
        rows.writerows(
            {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in asdict(error).items()} for error in errors
        )


def write_quality(csv_path: str | Path, graded: list[GradedVertebra]) -> None:
    """Writes the signs and grades of vertebrae beside their true errors, from which limits can be chosen."""
    with Path(csv_path).open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["study", "level", "grade", "error_mm", "residual", "gap_mm", "bound_hits", "vertex_sd_mm"])
        for own in graded:
            signs = (own.quality.residual, own.quality.gap_mm, own.quality.bound_hits, own.quality.vertex_sd_mm)
            texts = ["" if sign is None else f"{sign:.4g}" for sign in signs]
            rows.writerow([own.study, own.level, own.grade, f"{own.error_mm:.3f}", *texts])


def format_table(title: str, errors: list[MeasurementError]) -> str:
    """A Markdown table, one row a kind of value: cases, bias and mean absolute error of method and pipeline."""
    lines = [
        title,
        "",
        "| value | unit | cases | method: bias | mean abs. | pipeline: bias | mean abs. | 95 % below | not measured |",
        "|---" * 9 + "|",
    ]
    by_kind: dict[str, list[MeasurementError]] = {}
    for error in errors:
        by_kind.setdefault(interval_kind((error.subject, error.id)), []).append(error)
    ids = [definition.id for definition in DEFINITIONS]
    for kind in (*ids, *(interval_kind((LUMBOSACRAL, name)) for name in ids), VERTEX):
        own = by_kind.get(kind, [])
        if own:
            unit = BY_ID[own[0].id].unit if kind != VERTEX else "mm"
            lines.append("| " + " | ".join([kind, unit, *_cells(own)]) + " |")
    return "\n".join(lines)


def _cells(errors: list[MeasurementError]) -> list[str]:
    pipeline = np.array([e.pipeline_error for e in errors if e.pipeline_error is not None])
    method = np.array([e.method_error for e in errors if e.method_error is not None])
    worst = f"{np.percentile(np.abs(pipeline), 95):.2f}" if len(pipeline) else ""
    missing = sum(e.pipeline_error is None for e in errors)
    return [str(len(pipeline)), *_bias_and_mean(method), *_bias_and_mean(pipeline), worst, str(missing)]


def _bias_and_mean(errors: np.ndarray) -> list[str]:
    return [f"{errors.mean():+.2f}", f"{np.abs(errors).mean():.2f}"] if len(errors) else ["", ""]


def format_sensitivity(graded: list[GradedVertebra]) -> str:
    """How many vertebrae that are wrong by more than 2 mm the grades catch, how many others they doubt, and how good the
    good ones are."""
    lines = []
    for name, wanted in ((f"over {LARGE_ERROR_MM:g} mm", True), (f"up to {LARGE_ERROR_MM:g} mm", False)):
        own = [vertebra for vertebra in graded if (vertebra.error_mm > LARGE_ERROR_MM) is wanted]
        doubted = sum(vertebra.grade is not Grade.GOOD for vertebra in own)
        share = f" ({doubted / len(own):.0%})" if own else ""
        lines.append(f"mean error {name}: {doubted} of {len(own)} vertebrae graded check or failed{share}")
    good = [vertebra.error_mm for vertebra in graded if vertebra.grade is Grade.GOOD]
    if good:
        shares = ", ".join(f"{np.mean(np.array(good) < limit):.0%} below {limit:g} mm" for limit in (1.0, 1.5, 2.0))
        lines.append(f"graded good: {len(good)} of {len(graded)} vertebrae; {shares}")
    return "\n".join(lines)
