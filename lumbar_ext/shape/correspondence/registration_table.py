"""The table of what became of every input of a build, and how tables are written."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from lumbar_ext.shape.correspondence.cohort_registration import RegisteredCohort
from lumbar_ext.shape.sources.cohort_file import Cohort


def registration_rows(cohort: Cohort, registered: RegisteredCohort) -> list[dict]:
    """What became of every shape of a cohort, for a CSV."""
    done = {s.shape.name: s for s in registered.shapes}
    rows = []
    for shape in sorted(cohort.shapes, key=lambda s: (s.level_index, s.name)):
        row = {"shape": shape.name, "level": shape.level, "split": shape.split, "weight": shape.weight}
        found = done.get(shape.name)
        distances = ("", "") if found is None else (found.template_to_target_mm, found.target_to_template_mm)
        for way, distance in zip(("to_target", "from_target"), distances, strict=True):
            for index, name in enumerate(("mean", "p95")):
                row[f"{way}_{name}_mm"] = "" if found is None else f"{distance[index]:.3f}"
        row["self_intersections"] = "" if found is None else found.n_self_intersections
        row["status"] = "registered" if found is not None else "skipped"
        row["notes"] = registered.skipped.get(shape.name, "") if found is None else "; ".join(found.notes)
        rows.append(row)
    return rows


def write_registration_csv(path: Path, rows: Sequence[dict]) -> None:
    """Writes rows of equal keys as CSV, the keys as its header."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
