"""Errors of measurements on studies with known truth, of the method and of the pipeline.

Method error: true mesh measured against what the simulator constructed. Pipeline error: reconstructed mesh against true
mesh, both measured by the same functions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.construction import constructed_poses, constructed_values
from lumbar_ext.landmarks.anchors import TrueAnchors, read_anchors
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.measurements.marks.sacral_marks import mark_centre, mark_sacrum
from lumbar_ext.measurements.marks.vertebra_marks import MarkedVertebra
from lumbar_ext.measurements.uncertainty.grade import Grade, Quality
from lumbar_ext.measurements.uncertainty.interval_calibration import VERTEX
from lumbar_ext.measurements.uncertainty.registered import RegisteredMeasurements
from lumbar_ext.measurements.values.spine_values import Mesh, Values, mark_spine, measure_spine
from lumbar_ext.mesh.files import read_mesh
from lumbar_ext.mesh.surface import Surface, locate
from lumbar_ext.registration.result import RegistrationResult
from lumbar_ext.studies.study_folder import TruthFolder

_VERTICES_A_VERTEBRA = 60  # neighbouring vertices err alike, so more add rows and no cases
_UNSIGNED = ("cobb", "apical_translation")
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


def true_meshes(truth_dir: str | Path) -> dict[str, Mesh]:
    """True meshes of a study with their true landmarks, world mm; a level that is part of the sacrum has none.

    Raises:
        InputError: if there is no mesh.
    """
    truth = TruthFolder(Path(truth_dir))
    landmarks = read_landmarks(truth.landmarks).positions_mm
    paths = {level: truth.mesh(level) for level in LEVELS}
    meshes = {
        level: Mesh(*read_mesh(paths[level]), landmarks[i]) for i, level in enumerate(LEVELS) if paths[level].is_file()
    }
    if not meshes:
        raise InputError(f"{truth_dir}: holds no mesh, expected L1.stl to L5.stl (simulate with --meshes true)")
    return meshes


def measure_meshes(meshes: Mapping[str, Mesh], anchors: TrueAnchors | None = None) -> Values:
    """All values that can be measured on true meshes and, where they are known, true positions of T12, L6 and S1."""
    marks, broken = mark_spine(meshes)
    placed = {level: own.place(meshes[level].vertices_mm, meshes[level].landmarks_mm) for level, own in marks.items()}
    return measure_spine(placed | true_neighbours(anchors), broken)


def true_neighbours(anchors: TrueAnchors | None) -> dict[str, MarkedVertebra]:
    """T12, L6 and S1 as marked vertebrae, those that are known."""
    if anchors is None:
        return {}
    centres = {"T12": anchors.t12_centre_mm, "L6": anchors.l6_centre_mm}
    marked = {level: mark_centre(level, centre) for level, centre in centres.items() if np.isfinite(centre).all()}
    return {**marked, "S1": mark_sacrum(anchors.s1_mm)} if np.isfinite(anchors.s1_mm).all() else marked


def measurement_errors(
    study: str,
    result: RegistrationResult,
    triangles: np.ndarray,
    truth_dir: str | Path,
    measured: RegisteredMeasurements,
) -> list[MeasurementError]:
    """All rows of a registered study.

    A vertebra that is not there, or was found where there is none, has no row of its surface.

    Args:
        study: its name.
        result: the registration.
        triangles: [M, 3] of every mesh.
        truth_dir: the study's truth.
        measured: what was measured of the registration.
    """
    true = true_meshes(truth_dir)
    truth = measure_meshes(true, read_anchors(TruthFolder(Path(truth_dir)).anchors))
    poses = constructed_poses(truth_dir)
    whole = poses is not None and set(LEVELS) <= poses.keys() & true.keys()
    construction = constructed_values(true, poses) if whole else {}
    rows = []
    for key in {**truth.found, **measured.values.found}:
        known, found, built = truth.found.get(key), measured.values.found.get(key), construction.get(key)
        rows.append(
            MeasurementError(
                study,
                *key,
                *(None if value is None else float(value) for value in (known, found, built)),
                signed_error(key[1], known, built),
                signed_error(key[1], found, known),
                measured.laplace_sd.get(key),
            )
        )
    for level, deviations in measured.vertex_sd_mm.items():
        if level not in true:
            continue
        found = Surface(result.vertebrae[level].vertices_mm, triangles)
        rows += _vertex_rows(study, level, found, Surface(true[level].vertices_mm, true[level].triangles), deviations)
    return rows


def _vertex_rows(
    study: str, level: str, found: Surface, truth: Surface, deviations: np.ndarray
) -> list[MeasurementError]:
    """Signed distances of some vertices to the true surface."""
    picks = np.linspace(0, len(deviations) - 1, _VERTICES_A_VERTEBRA).astype(int)
    points = found.vertices_mm[picks]
    nearest, corners = locate(truth, points)
    a, b, c = (truth.vertices_mm[corners.vertices[:, i]] for i in range(3))
    outward = np.einsum("ij,ij->i", points - nearest, np.cross(b - a, c - a))
    distances = np.linalg.norm(points - nearest, axis=1) * np.where(outward >= 0, 1, -1)
    return [
        MeasurementError(study, level, VERTEX, None, None, None, None, float(distance), float(deviations[pick]))
        for distance, pick in zip(distances, picks, strict=True)
    ]


@dataclass(frozen=True)
class GradedVertebra:
    """The quality of a vertebra as the report states it beside its true error.

    Args:
        study, level: which.
        quality: as every report states it.
        error_mm: mean distance of its vertices to the truth, mm; None where it is missing.
        look: mean absolute difference of its picture from the one that the last second look asked for, the worse view; None
            without a look.
    """

    study: str
    level: str
    quality: Quality
    error_mm: float | None
    look: float | None = None

    @property
    def grade(self) -> Grade:
        """How far the vertebra's measurements can be relied on, as the report grades it."""
        return self.quality.grade


def graded_vertebrae(
    errors: list[MeasurementError],
    result: RegistrationResult,
    quality: Mapping[str, Quality],
    true_levels: Collection[str],
) -> list[GradedVertebra]:
    """The grade and the error of every vertebra that is there, those that were not found among them.

    Args:
        errors: rows of the study.
        result: its registration.
        quality: as the report states it, by level.
        true_levels: of the person.
    """
    last = result.looks[-1].fit if result.looks else {}
    graded = []
    for level in (level for level in LEVELS if level in true_levels):
        distances = [abs(error.pipeline_error) for error in errors if (error.subject, error.id) == (level, VERTEX)]
        look = max(last[level].values(), default=None) if level in last else None
        error_mm = float(np.mean(distances)) if distances else None
        graded.append(GradedVertebra(errors[0].study, level, quality[level], error_mm, look))
    return graded


def signed_error(name: str, a: np.ndarray | None, b: np.ndarray | float | None) -> float | None:
    """One value less another, of unsigned kinds of their sizes; None where one is missing."""
    if a is None or b is None:
        return None
    return float(abs(a) - abs(b)) if name in _UNSIGNED else float(a - b)
