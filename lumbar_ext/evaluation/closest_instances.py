"""How far values are off because no instance of the shape model is quite the person: no radiograph, no registration.

    lumbar-ext evaluate-shape-values out/measurement_sets/test-plain out/measurements/shape.csv --every 4

True meshes of simulated people have the model's topology. The instance whose vertices lie closest to the true ones is measured
against them: what a perfect registration to this model would leave. Part of it that the landmarks' definition would leave, the
same mesh with the model's landmarks in place of the true ones gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.bundle_paths import RECONSTRUCTION, bundle_dir
from lumbar_ext.engine.completed import Gathered, report_completed
from lumbar_ext.evaluation.measurement_errors import MeasurementError, measure_meshes, signed_error
from lumbar_ext.evaluation.measurement_study import format_table, write_rows
from lumbar_ext.evaluation.truth import study_items
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.measurements.values.spine_values import Mesh, Values
from lumbar_ext.mesh.files import read_stl_of_topology
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.shape.model.surface_fit import LinearModel, fit_by_correspondence
from lumbar_ext.studies.study_folder import TruthFolder
from lumbar_ext.typed_values import Count


def evaluate_shape_values(
    dataset_dir: str,
    csv_path: str,
    *,
    shape_model: str | None = None,
    every: int = 1,
    limit: int | None = None,
    workers: Count = 1,
) -> None:
    """Prints how values of the closest instances differ from those of the true meshes, and writes a row for each.

    Args:
        dataset_dir: folder of simulated studies with true meshes (`lumbar-ext simulate --meshes true`).
        csv_path: CSV file for the rows.
        shape_model: weights of the model, if it is another one than the package's.
        every: take one study in so many.
        limit: the first of these only.
        workers: processes; more than one need the extra [cohort].

    Raises:
        InputError: if a true mesh has another topology than the model.
    """
    task = ShapeValueTask(Path(shape_model or bundle_dir(RECONSTRUCTION) / "models" / "model.pt"))
    items = study_items(dataset_dir, dataset_dir, limit=limit, every=every)
    names = [Path(item["output_dir"]).name for item in items]
    report_completed(task, items, names, Gathered(partial(_report, csv_path=csv_path)), workers)


def _report(found: list[ShapeValues], csv_path: str) -> None:
    by_landmarks = [error for study in found for error in study.by_landmarks]
    by_model = [error for study in found for error in study.by_model]
    write_rows(csv_path, by_model)
    print(format_table("true meshes with the model's landmarks against true ones", by_landmarks))
    print(format_table("closest instances of the shape model against true meshes", by_model))


@dataclass(frozen=True)
class ShapeValues:
    """The rows of one study: true meshes with the model's landmarks, and closest instances, against true meshes."""

    by_landmarks: list[MeasurementError]
    by_model: list[MeasurementError]


@dataclass(frozen=True)
class ShapeValueTask:
    """The task of the processes that measure closest instances.

    Args:
        shape_model: weights of the model.
    """

    shape_model: Path

    def prepare(self) -> Callable[[Mapping[str, str]], ShapeValues]:
        """Loads the model."""
        return partial(_shape_values, VertebraShapeModel.load(self.shape_model))


def _shape_values(model: VertebraShapeModel, item: Mapping[str, str]) -> ShapeValues:
    name = Path(item["output_dir"]).name
    true, renamed, closest = closest_meshes(Path(item["truth_dir"]), model)
    truth = measure_meshes(true)
    return ShapeValues(_rows(name, truth, measure_meshes(renamed)), _rows(name, truth, measure_meshes(closest)))


def closest_meshes(
    truth_dir: Path, model: VertebraShapeModel
) -> tuple[dict[str, Mesh], dict[str, Mesh], dict[str, Mesh]]:
    """The true meshes of a study; these with the landmarks that the model has on them; the closest instances."""
    triangles = model.triangles.cpu().numpy().astype(np.int32)
    truth = TruthFolder(truth_dir)
    landmarks_mm = read_landmarks(truth.landmarks).positions_mm
    true, renamed, closest = {}, {}, {}
    for i, level in enumerate(LEVELS):
        vertices_mm = read_stl_of_topology(truth.mesh(level), triangles).astype(np.float64)
        modes_mm = model.modes[i] * model.standard_deviations[i, :, None, None]
        linear = LinearModel(model.mean[i].double().numpy(), modes_mm.double().numpy(), triangles)
        instance_mm = fit_by_correspondence(linear, vertices_mm).vertices_mm
        true[level] = Mesh(vertices_mm, triangles, landmarks_mm[i])
        renamed[level] = Mesh(vertices_mm, triangles, _model_landmarks(model, vertices_mm))
        closest[level] = Mesh(instance_mm, triangles, _model_landmarks(model, instance_mm))
    return true, renamed, closest


def _model_landmarks(model: VertebraShapeModel, vertices_mm: np.ndarray) -> np.ndarray:
    return model.landmarks(torch.from_numpy(vertices_mm)).numpy()


def _rows(study: str, truth: Values, found: Values) -> list[MeasurementError]:
    values = found.found
    return [
        MeasurementError(
            study,
            *key,
            float(known),
            None if key not in values else float(values[key]),
            None,
            None,
            signed_error(key[1], values.get(key), known),
            None,
        )
        for key, known in truth.found.items()
    ]
