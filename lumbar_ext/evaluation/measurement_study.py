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
from lumbar_ext.evaluation.truth import true_surfaces
from lumbar_ext.measurements.uncertainty.assessment import spine_quality
from lumbar_ext.measurements.uncertainty.interval_calibration import (
    LUMBOSACRAL,
    VERTEX,
    interval_kind,
    shipped_calibration,
)
from lumbar_ext.measurements.uncertainty.registered import measure_registration
from lumbar_ext.measurements.values.definitions import BY_ID, DEFINITIONS
from lumbar_ext.workflow.outputs import measured_anchors, missing_levels


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
        observed, result = data["observed"], data["pred"]
        missing, anchors = missing_levels(observed, result), measured_anchors(observed, result)
        measured = measure_registration(result, triangles, anchors)
        errors = measurement_errors(study, result, triangles, data["truth_dir"], measured)
        quality = spine_quality(result, data["landmarks"], measured, shipped_calibration(), missing)
        graded = graded_vertebrae(errors, result, quality, true_surfaces(data["truth_dir"]))
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
        print(format_table(self.title, self.errors), file=sys.stdout, flush=True)


def write_rows(csv_path: str | Path, errors: list[MeasurementError]) -> None:
    """Writes the rows; what is unknown stays empty."""
    Path(csv_path).parent.mkdir(parents=True, exist_ok=True)
    with Path(csv_path).open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, [field.name for field in fields(MeasurementError)])
        rows.writeheader()
        rows.writerows(
            {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in asdict(error).items()} for error in errors
        )


_SIGNS = ("residual", "gap_mm", "bound_hits", "vertex_sd_mm", "look")
QUALITY_COLUMNS = ("study", "level", "grade", "error_mm", "doubts", *_SIGNS)


def write_quality(csv_path: str | Path, graded: list[GradedVertebra]) -> None:
    """Writes the signs and grades of vertebrae beside their true errors, which `evaluation.grade_tables` reads."""
    with Path(csv_path).open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(QUALITY_COLUMNS)
        for own in graded:
            quality = own.quality
            signs = (quality.residual, quality.gap_mm, quality.bound_hits, quality.vertex_sd_mm, own.look)
            texts = ["" if sign is None else f"{sign:.4g}" for sign in signs]
            error = "" if own.error_mm is None else f"{own.error_mm:.3f}"
            rows.writerow([own.study, own.level, own.grade, error, len(quality.reasons), *texts])


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
