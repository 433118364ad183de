"""Measured views of an evaluation, with where they came from, and their CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.io.atomic import atomic_path
from lumbar_ext.metrics.view_scores import MeasuredView, ViewScores

_DIGITS = 5  # of numbers in CSV files


@dataclass(frozen=True)
class EvaluatedView:
    """One view of an evaluation.

    Args:
        set_name: which of the evaluated sets it belongs to.
        study: name of the study folder.
        view: "ap" or "lat".
        findings: what is special about the subject, such as "four vertebrae"; empty for most.
        measured: its scores.
    """

    set_name: str
    study: str
    view: str
    findings: tuple[str, ...]
    measured: MeasuredView


@dataclass(frozen=True)
class LandmarkRow:
    """One true landmark of a CSV file; numbers are NaN where it was not reported.

    Args:
        set_name, study, view: where it was.
        level, landmark: which one.
        seen: whether its vertebra was reported.
        wrong_level: whether that vertebra lies nearer to another level.
        raw_vertebra_confidence, raw_confidence: scores before calibration.
        error_mm: distance on the detector; NaN also outside the image.
    """

    set_name: str
    study: str
    view: str
    level: str
    landmark: str
    seen: bool
    wrong_level: bool
    raw_vertebra_confidence: float
    raw_confidence: float
    error_mm: float


def landmark_rows(view: EvaluatedView) -> list[LandmarkRow]:
    """One row for each visible landmark of a true vertebra, and for all of a vertebra that is reported but not there."""
    levels = view.measured.levels
    shown = levels.visible | (levels.seen & ~levels.present)[:, None]
    return [
        LandmarkRow(
            set_name=view.set_name,
            study=view.study,
            view=view.view,
            level=LEVELS[i],
            landmark=LANDMARKS[j],
            seen=bool(levels.seen[i]),
            wrong_level=bool(levels.wrong[i]),
            raw_vertebra_confidence=float(levels.raw_confidence[i]),
            raw_confidence=float(levels.raw_landmark_confidence[i, j]) if levels.seen[i] else float("nan"),
            error_mm=float(levels.error_mm[i, j]),
        )
        for i, j in zip(*np.nonzero(shown), strict=True)
    ]


def write_landmarks_csv(path: str | Path, views: Iterable[EvaluatedView]) -> None:
    """One row a landmark: what the calibration of confidences is fitted to."""
    names = [field.name for field in fields(LandmarkRow)]
    write_table(path, names, (asdict(row) for view in views for row in landmark_rows(view)))


def write_views_csv(path: str | Path, views: Iterable[EvaluatedView]) -> None:
    """One row a view, with all scores."""
    names = ["set_name", "study", "view", "findings", *(field.name for field in fields(ViewScores))]
    write_table(path, names, (_view_row(view) for view in views))


def _view_row(view: EvaluatedView) -> dict[str, Any]:
    origin = {"set_name": view.set_name, "study": view.study, "view": view.view, "findings": "; ".join(view.findings)}
    return origin | asdict(view.measured.scores)


def write_table(path: str | Path, names: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """Writes rows with rounded numbers, atomically."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(names))
        writer.writeheader()
        writer.writerows({name: _rounded(value) for name, value in row.items()} for row in rows)


def _rounded(value: Any) -> Any:
    return round(value, _DIGITS) if isinstance(value, float) else value
