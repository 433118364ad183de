"""Surface errors of reconstructions, and the table that sums them up."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.transforms import Transform
from torch import nn

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.evaluation.truth import true_surfaces
from lumbar_ext.shape.surface import Surface, surface_distance_mm

PAPER_MEAN_MM = {"L1": 0.79, "L2": 0.77, "L3": 0.79, "L4": 0.78, "L5": 0.88, "all": 0.80}
"""Mean vertex-to-face error of Yu et al. (arXiv 2503.14573, Table 4, landmark-weighted), on real X-rays."""


@dataclass(frozen=True)
class SurfaceError:
    """How far a reconstructed vertebra is from the true one.

    Args:
        study: name of the study.
        level: "L1" to "L5".
        mean_mm: mean distance of the reconstructed vertices to the true surface, the paper's measure; NaN if missing.
        symmetric_mm: mean of that and of the true vertices to the reconstructed surface.
        percentile95_mm: 95th percentile of the pooled distances of both directions.
        hausdorff_mm: their maximum.
    """

    study: str
    level: str
    mean_mm: float
    symmetric_mm: float
    percentile95_mm: float
    hausdorff_mm: float


def surface_error(study: str, level: str, reconstructed: Surface | None, truth: Surface) -> SurfaceError:
    """Compares a reconstructed surface with the true one; both in world mm."""
    if reconstructed is None:
        return SurfaceError(study, level, *[float("nan")] * 4)
    forward, backward = surface_distance_mm(reconstructed, truth), surface_distance_mm(truth, reconstructed)
    pooled = np.concatenate([forward, backward])
    return SurfaceError(
        study,
        level,
        float(forward.mean()),
        float((forward.mean() + backward.mean()) / 2),
        float(np.percentile(pooled, 95)),
        float(pooled.max()),
    )


class MeasureSurfaceError(Transform):
    """Adds `surface_errors` of all five levels to the dictionary of a registered study with a `truth_dir`.

    Args:
        shape_model: the shape model, whose triangles the meshes have.
    """

    def __init__(self, shape_model: nn.Module) -> None:
        self.shape_model = shape_model

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Adds `surface_errors`, one `SurfaceError` a level."""
        triangles = self.shape_model.triangles.cpu().numpy()
        found = {level: Surface(fit.vertices_mm, triangles) for level, fit in data["pred"].vertebrae.items()}
        study = Path(data["truth_dir"]).parent.name
        truth = true_surfaces(data["truth_dir"])
        errors = [surface_error(study, level, found.get(level), truth[level]) for level in LEVELS]
        return {**data, "surface_errors": errors}


class SurfaceErrorTable:
    """Gathers the errors of every study of an evaluator's run; at the end prints the table and writes all rows as CSV.

    Args:
        title: what was measured on what, printed above the table.
        csv_path: file for one row a vertebra.
    """

    def __init__(self, title: str, csv_path: str | Path) -> None:
        self.title = title
        self.csv_path = Path(csv_path)
        self.errors: list[SurfaceError] = []

    def attach(self, engine: Engine) -> None:
        """Registers with an evaluator."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.errors.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._gather)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def _gather(self, engine: Engine) -> None:
        self.errors += engine.state.output["surface_errors"]

    def _finish(self, engine: Engine) -> None:
        self.csv_path.parent.mkdir(parents=True, exist_ok=True)
        with self.csv_path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.DictWriter(file, [field.name for field in fields(SurfaceError)])
            rows.writeheader()
            rows.writerows(asdict(error) for error in self.errors)
        print(format_table(self.title, self.errors), file=sys.stdout, flush=True)


def format_table(title: str, errors: list[SurfaceError]) -> str:
    """A Markdown table, one row a level: median and mean +- SD over vertebrae, then means, in mm."""
    header = "level | vertebrae (missing) | median | mean ± SD | symmetric | 95th percentile | Hausdorff"
    lines = [title, "", f"| {header} | paper, real X-rays |", "|---" * 8 + "|"]
    for level in (*LEVELS, "all"):
        cells = _table_cells([error for error in errors if level in (error.level, "all")])
        lines.append(" | ".join([f"| {level}", *cells, f"{PAPER_MEAN_MM[level]:.2f} |"]))
    return "\n".join(lines)


def _table_cells(errors: list[SurfaceError]) -> list[str]:
    found = [error for error in errors if np.isfinite(error.mean_mm)]
    count = f"{len(found)} ({len(errors) - len(found)})"
    if not found:
        return [count, *[""] * 5]
    mean = np.array([error.mean_mm for error in found])
    others = np.mean([(error.symmetric_mm, error.percentile95_mm, error.hausdorff_mm) for error in found], axis=0)
    spread = f"{mean.mean():.2f} ± {mean.std():.2f}"
    return [count, f"{np.median(mean):.2f}", spread, *(f"{value:.2f}" for value in others)]
