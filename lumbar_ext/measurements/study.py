"""The measurement study: errors of the method and of the pipeline on studies with known truth.

    python -m monai.bundle run --config_file "['inference.json','evaluate_measurements.json']" --dataset_dir COHORT ...

Method error: true mesh measured against what the simulator constructed. Pipeline error: reconstructed mesh against true
mesh, both measured by the same functions. Rows of both, with the uncertainty before calibration, go to a CSV file that
`measurements.calibration` reads.
"""

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
from lumbar_ext.errors import InputError
from lumbar_ext.io.landmarks import read_landmarks
from lumbar_ext.io.mesh import read_mesh
from lumbar_ext.measurements.calibration import VERTEX, shipped_calibration
from lumbar_ext.measurements.construction import constructed_poses, constructed_values
from lumbar_ext.measurements.definitions import BY_ID, DEFINITIONS
from lumbar_ext.measurements.quality import Grade, Quality, vertebra_quality
from lumbar_ext.measurements.registered import measure_registration
from lumbar_ext.measurements.spine import Mesh, Values, mark_spine, measure_spine
from lumbar_ext.registration.landmarks3d import Landmarks3D
from lumbar_ext.registration.result import RegistrationResult
from lumbar_ext.shape.surface import Surface, locate

LARGE_ERROR_MM = 2.0
"""Mean distance to the truth from which on a vertebra's quality grade should raise a doubt."""

_VERTICES_A_VERTEBRA = 60
_UNSIGNED = ("cobb",)
# The side of a nearly straight spine is a matter of chance; what counts is how large its angle is.


@dataclass(frozen=True)
class MeasurementError:
    """One value of one study; None where it cannot be had.

    Args:
        study, subject, id: what it is.
        truth: measured on the true mesh.
        estimate: measured on the reconstructed mesh.
        construction: what the simulator put in.
        method_error: truth minus construction.
        pipeline_error: estimate minus truth.
        laplace_sd: of the estimate, before calibration.
    """

    study: str
    subject: str
    id: str
    truth: float | None
    estimate: float | None
    construction: float | None
    method_error: float | None
    pipeline_error: float | None
    laplace_sd: float | None


def studies_with_truth(
    dataset_dir: str | Path, output_dir: str | Path, limit: int | None = None
) -> list[dict[str, str]]:
    """The inputs of every study folder that has true meshes, as `workflow.stages.ReadStudy` takes them.

    Args:
        dataset_dir: folder of study folders.
        output_dir: where results would go; nothing but the table is written.
        limit: only the first so many, all by default.

    Raises:
        InputError: if there is no such study.
    """
    truths = sorted(path.parent for path in Path(dataset_dir).glob("*/truth/L1.stl"))[:limit]
    if not truths:
        raise InputError(
            f"{dataset_dir}: holds no study with true meshes, expected folders with truth/L1.stl to L5.stl"
        )
    return [
        {
            "ap_image": str(truth.parent / "ap.png"),
            "lat_image": str(truth.parent / "lat.png"),
            "calibration": str(truth.parent / "calibration.json"),
            "truth_dir": str(truth),
            "output_dir": str(output_dir),
        }
        for truth in truths
    ]


def true_meshes(truth_dir: str | Path) -> dict[str, Mesh]:
    """True meshes of a study with their true landmarks, world mm."""
    landmarks = read_landmarks(Path(truth_dir) / "landmarks.json").position_mm
    return {level: Mesh(*read_mesh(Path(truth_dir) / f"{level}.stl"), landmarks[i]) for i, level in enumerate(LEVELS)}


def measure_meshes(meshes: Mapping[str, Mesh]) -> Values:
    """All values of meshes."""
    marks, broken = mark_spine(meshes)
    placed = {level: own.place(meshes[level].vertices_mm, meshes[level].landmarks_mm) for level, own in marks.items()}
    return measure_spine(placed, broken)


def measurement_errors(
    study: str, result: RegistrationResult, triangles: np.ndarray, truth_dir: str | Path
) -> list[MeasurementError]:
    """All rows of a registered study."""
    true = true_meshes(truth_dir)
    truth, measured = measure_meshes(true), measure_registration(result, triangles)
    poses = constructed_poses(truth_dir)
    construction = {} if poses is None else constructed_values(true, poses)
    rows = []
    for key in {**truth.found, **measured.values.found}:
        known, found, built = truth.found.get(key), measured.values.found.get(key), construction.get(key)
        rows.append(
            MeasurementError(
                study,
                *key,
                *(None if value is None else float(value) for value in (known, found, built)),
                _difference(key[1], known, built),
                _difference(key[1], found, known),
                measured.laplace_sd.get(key),
            )
        )
    for level, deviations in measured.vertex_sd_mm.items():
        found = Surface(result.vertebrae[level].vertices_mm, triangles)
        rows += _vertex_rows(study, level, found, Surface(true[level].vertices_mm, true[level].triangles), deviations)
    return rows


def _vertex_rows(
    study: str, level: str, found: Surface, truth: Surface, deviations: np.ndarray
) -> list[MeasurementError]:
    """Signed distances of some vertices to the true surface."""
    picks = np.linspace(0, len(deviations) - 1, _VERTICES_A_VERTEBRA).astype(int)
    points = found.vertices_mm[picks]
    nearest = locate(truth, points)
    a, b, c = (truth.vertices_mm[nearest.vertices[:, i]] for i in range(3))
    outward = np.einsum("ij,ij->i", points - nearest.points_mm, np.cross(b - a, c - a))
    distances = np.linalg.norm(points - nearest.points_mm, axis=1) * np.where(outward >= 0, 1, -1)
    return [
        MeasurementError(study, level, VERTEX, None, None, None, None, float(distance), float(deviations[pick]))
        for distance, pick in zip(distances, picks, strict=True)
    ]


@dataclass(frozen=True)
class GradedVertebra:
    """The quality of a reconstructed vertebra beside its true error: mean distance of its vertices, mm."""

    study: str
    level: str
    quality: Quality
    error_mm: float

    @property
    def grade(self) -> Grade:
        """Its grade."""
        return self.quality.grade


def graded_vertebrae(
    errors: list[MeasurementError], result: RegistrationResult, landmarks: Landmarks3D
) -> list[GradedVertebra]:
    """The grade and the error of every vertebra of a registered study.

    Args:
        errors: rows of the study.
        result: its registration.
        landmarks: what it started from.
    """
    factor = shipped_calibration().factor(VERTEX)
    graded = []
    for level, fit in result.vertebrae.items():
        own = [error for error in errors if (error.subject, error.id) == (level, VERTEX)]
        distances = np.array([error.pipeline_error for error in own])
        known = factor is not None and len(own) > 0
        spread = factor * np.array([error.laplace_sd for error in own]) if known else None
        quality = vertebra_quality(fit, landmarks, spread)
        graded.append(GradedVertebra(errors[0].study, level, quality, float(np.abs(distances).mean())))
    return graded


def format_sensitivity(graded: list[GradedVertebra]) -> str:
    """How many vertebrae that are wrong by more than 2 mm the grades catch, and how many others they doubt."""
    lines = []
    for name, wanted in ((f"over {LARGE_ERROR_MM:g} mm", True), (f"up to {LARGE_ERROR_MM:g} mm", False)):
        own = [vertebra for vertebra in graded if (vertebra.error_mm > LARGE_ERROR_MM) is wanted]
        doubted = sum(vertebra.grade is not Grade.GOOD for vertebra in own)
        share = f" ({doubted / len(own):.0%})" if own else ""
        lines.append(f"mean error {name}: {doubted} of {len(own)} vertebrae graded check or failed{share}")
    return "\n".join(lines)


def _difference(name: str, a: np.ndarray | None, b: np.ndarray | float | None) -> float | None:
    if a is None or b is None:
        return None
    return float(abs(a) - abs(b)) if name in _UNSIGNED else float(a - b)


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
        errors = measurement_errors(study, data["pred"], triangles, data["truth_dir"])
        graded = graded_vertebrae(errors, data["pred"], data["landmarks"])
        return {**data, "measurement_errors": errors, "graded_vertebrae": graded}


class MeasurementErrorTable:
    """Gathers the rows of every study of an evaluator's run; at the end prints a table and writes all rows as CSV.

    Args:
        title: what was measured on what, printed above the table.
        csv_path: file for the rows.
    """

    def __init__(self, title: str, csv_path: str | Path) -> None:
        self.title = title
        self.csv_path = Path(csv_path)
        self.errors: list[MeasurementError] = []
        self.graded: list[GradedVertebra] = []

    def attach(self, engine: Engine) -> None:
        """Registers with an evaluator."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.errors.clear)
        engine.add_event_handler(Events.EPOCH_STARTED, self.graded.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._gather)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def _gather(self, engine: Engine) -> None:
        self.errors += engine.state.output["measurement_errors"]
        self.graded += engine.state.output["graded_vertebrae"]

    def _finish(self, engine: Engine) -> None:
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
        by_kind.setdefault(error.id, []).append(error)
    for kind in [definition.id for definition in DEFINITIONS] + [VERTEX]:
        own = by_kind.get(kind, [])
        if own:
            unit = BY_ID[kind].unit if kind in BY_ID else "mm"
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
