"""Measures what a registration found: values with uncertainties, and the uncertainty of every vertex."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lumbar_ext.measurements.uncertainty.posterior import VertebraSamples, sample_registration, vertex_sd_mm
from lumbar_ext.measurements.values.lumbar_alignment import EndplateLine, endplate_lines
from lumbar_ext.measurements.values.spine_values import Key, Mesh, Values, mark_spine, measure_spine
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.registration.result import RegistrationResult


@dataclass(frozen=True)
class RegisteredMeasurements:
    """Measurements of a registration, before calibration.

    Args:
        values: of the registered meshes.
        laplace_sd: by key, the standard deviation over samples of the registration; empty where it has no curvature.
        vertex_sd_mm: by level, [V] the same for every vertex along its normal.
        lines: by view, the endplates between which its angle is told.
    """

    values: Values
    laplace_sd: dict[Key, float]
    vertex_sd_mm: dict[str, np.ndarray]
    lines: dict[str, tuple[EndplateLine, ...]] = field(default_factory=dict)


def registered_meshes(result: RegistrationResult, triangles: np.ndarray) -> dict[str, Mesh]:
    """The meshes of a registration with the landmarks of their shapes."""
    meshes = {}
    for level, fit in result.vertebrae.items():
        coefficients = np.concatenate([fit.coefficients, fit.free_form])
        landmarks = fit.world_from_vertebra.apply(fit.shape.landmarks(coefficients))
        meshes[level] = Mesh(np.asarray(fit.vertices_mm, dtype=np.float64), triangles, landmarks)
    return meshes


def measure_registration(result: RegistrationResult, triangles: np.ndarray) -> RegisteredMeasurements:
    """Marks and measures the meshes of a registration and the samples around it.

    Args:
        result: the registration.
        triangles: [M, 3] of every mesh.
    """
    meshes = registered_meshes(result, triangles)
    marks, broken = mark_spine(meshes)
    spine = {level: own.place(meshes[level].vertices_mm, meshes[level].landmarks_mm) for level, own in marks.items()}
    values, lines = measure_spine(spine, broken), endplate_lines(spine)
    samples = sample_registration(result)
    if samples is None:
        return RegisteredMeasurements(values, {}, {}, lines)
    spread = measure_spine({level: samples[level].place(own) for level, own in marks.items()})
    deviations = {key: _spread(value, values.found[key]) for key, value in spread.found.items() if key in values.found}
    return RegisteredMeasurements(values, deviations, _vertex_spreads(samples, triangles), lines)


def _spread(samples: np.ndarray, value: np.ndarray) -> float:
    """Root mean square deviation from the value itself; the samples' mean may differ by what is not linear."""
    return float(np.sqrt(np.square(samples - value).mean()))


def _vertex_spreads(samples: dict[str, VertebraSamples], triangles: np.ndarray) -> dict[str, np.ndarray]:
    return {level: vertex_sd_mm(own, Surface(own.fit.vertices_mm, triangles).normals) for level, own in samples.items()}
