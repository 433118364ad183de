"""Measurements as files: `measurements.json` (schema `measurements.schema.json`) and a tidy `measurements.csv`."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.io.atomic import write_text
from lumbar_ext.io.json_document import check_document, read_document
from lumbar_ext.measurements.uncertainty.assessment import Assessment, Measurement
from lumbar_ext.measurements.uncertainty.grade import Grade, Quality
from lumbar_ext.measurements.uncertainty.interval_calibration import Coverage
from lumbar_ext.measurements.values.definitions import BY_ID, DEFINITIONS
from lumbar_ext.measurements.values.reference_ranges import ReferenceRange

INTENDED_USE = (
    "Research only. Not a medical device, not for diagnosis or treatment; evaluated on simulated radiographs."
)

SCHEMA = "measurements.schema.json"
CSV_COLUMNS = (
    "study",
    "patient",
    "subject",
    "id",
    "title",
    "definition",
    "value",
    "unit",
    "sd",
    "low_90",
    "high_90",
    "reference_low",
    "reference_high",
    "outside_reference",
    "grade",
    "reason",
    "reconstruction",
    "held",
    "held_cases",
    "no_interval",
)
_DIGITS = 4  # of mm, deg and shares: far below any uncertainty


def measurements_document(assessment: Assessment, poses: Mapping[str, RigidTransform]) -> dict[str, Any]:
    """The content of `measurements.json`.

    Args:
        assessment: what is reported.
        poses: `world_from_vertebra` of the levels that were found.
    """
    return {
        "intended_use": INTENDED_USE,
        "calibrated_uncertainty": assessment.calibrated,
        "definitions": {
            d.id: {"title": d.title, "unit": d.unit, "scope": str(d.scope), "definition": d.text, "source": d.source}
            for d in DEFINITIONS
        },
        "vertebrae": {
            level: {
                "quality": _quality_document(assessment.quality[level]),
                "world_from_vertebra": _matrix(poses.get(level)),
            }
            for level in LEVELS
        },
        "measurements": [_measurement_document(measurement) for measurement in assessment.measurements],
    }


def write_measurements(path: str | Path, document: dict[str, Any]) -> None:
    """Writes `measurements.json` atomically.

    Raises:
        InputError: if the document violates its schema.
    """
    check_document(document, SCHEMA)
    write_text(path, json.dumps(document, indent=1) + "\n")


def read_measurements(path: str | Path) -> tuple[Measurement, ...]:
    """The values of a `measurements.json`.

    Raises:
        InputError: naming the file and key, if it is missing or violates its schema.
    """
    return tuple(_measurement(entry) for entry in read_document(path, SCHEMA)["measurements"])


def write_measurements_csv(path: str | Path, assessment: Assessment, patient: str = "", study: str = "") -> None:
    """Writes one row a value; what is unknown stays empty.

    The column `reconstruction` holds the worst grade among the vertebrae from the subject's first to its last.

    Args:
        path: of the file.
        assessment: what is reported.
        patient: repeated in every row, so that files of many people can be put together; empty where the films do not say.
        study: the study's name, repeated likewise.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(CSV_COLUMNS)
    for m in assessment.measurements:
        definition, interval = BY_ID[m.id], m.interval_90 or (None, None)
        reference = (m.reference.low, m.reference.high) if m.reference else (None, None)
        numbers = [_rounded(number) for number in (m.sd, *interval, *reference)]
        named = [study, patient, m.subject, m.id, definition.title, definition.text, _rounded(m.value), definition.unit]
        worst = max((assessment.quality[level].grade for level in _levels_of(m.subject)), key=list(Grade).index)
        held = (_rounded(m.held.share), m.held.cases) if m.held else (None, None)
        rows.writerow([*named, *numbers, m.outside_reference, m.grade, m.reason, str(worst), *held, m.no_interval])
    write_text(path, text.getvalue())


def _levels_of(subject: str) -> tuple[str, ...]:
    """Of L1 to L5, from "L2" its own, from "L2-L4" L2 to L4, from "L4-S1" L4 and L5, from "S1" L5, from which S1 is counted."""
    first, _, last = subject.partition("-")
    top = LEVELS.index(first) if first in LEVELS else len(LEVELS) - 1 if first == "S1" else 0
    bottom = LEVELS.index(last or first) if (last or first) in LEVELS else len(LEVELS) - 1
    return LEVELS[top : bottom + 1]


def _measurement_document(m: Measurement) -> dict[str, Any]:
    reference = m.reference and {"low": m.reference.low, "high": m.reference.high, "source": m.reference.source}
    return {
        "subject": m.subject,
        "id": m.id,
        "value": _rounded(m.value),
        "unit": BY_ID[m.id].unit,
        "sd": _rounded(m.sd),
        "interval_90": None if m.interval_90 is None else [_rounded(end) for end in m.interval_90],
        "reason": m.reason,
        "reference": reference,
        "outside_reference": m.outside_reference,
        "grade": m.grade,
        "held": m.held and {"share": _rounded(m.held.share), "cases": m.held.cases},
        "no_interval": m.no_interval,
    }


def _measurement(entry: dict[str, Any]) -> Measurement:
    # Files of earlier versions say nothing of the last two.
    reference, interval, held = entry["reference"], entry["interval_90"], entry.get("held")
    return Measurement(
        entry["subject"],
        entry["id"],
        entry["value"],
        entry["sd"],
        None if interval is None else (interval[0], interval[1]),
        entry["reason"],
        None if reference is None else ReferenceRange(reference["low"], reference["high"], reference["source"]),
        entry["outside_reference"],
        entry["grade"],
        None if held is None else Coverage(held["share"], held["cases"]),
        entry.get("no_interval"),
    )


def _quality_document(quality: Quality) -> dict[str, Any]:
    return {
        "grade": str(quality.grade),
        "reasons": list(quality.reasons),
        "residual": _rounded(quality.residual),
        "landmark_gap_mm": _rounded(quality.gap_mm),
        "parameters_at_bounds": quality.bound_hits,
        "mean_vertex_sd_mm": _rounded(quality.vertex_sd_mm),
    }


def _matrix(pose: RigidTransform | None) -> list[list[float]] | None:
    return None if pose is None else pose.to_matrix().round(6).tolist()


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), _DIGITS)
