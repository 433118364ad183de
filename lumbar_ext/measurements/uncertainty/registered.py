"""Measures what a registration found: values with uncertainties, and the uncertainty of every vertex."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.spatial.transform import Rotation

from lumbar_ext.landmarks.hip_axis import HipAxis
from lumbar_ext.landmarks.located_anchors import LocatedAnchors
from lumbar_ext.measurements.marks.sacral_marks import HIPS, mark_centre, mark_hips, mark_sacrum, sacral_rim_mm
from lumbar_ext.measurements.marks.vertebra_marks import MarkedVertebra, NotMeasurableError
from lumbar_ext.measurements.uncertainty.posterior import N_SAMPLES, VertebraSamples, sample_registration, vertex_sd_mm
from lumbar_ext.measurements.values.hidden_endplates import HiddenEndplates, closed_discs, without_endplates
from lumbar_ext.measurements.values.lumbar_alignment import EndplateLine, endplate_lines
from lumbar_ext.measurements.values.segment import middle_disc_height_mm
from lumbar_ext.measurements.values.spine_values import Key, Mesh, Values, mark_spine, measure_spine
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.registration.result import RegistrationResult

_DISC_MM = (-4.0, 30.0)
"""Heights of the disc L5-S1 between which S1 is taken for L5's neighbour: discs are up to 20 mm high, and landmarks err by a
few millimetres; the next endplate below or above lies 30 mm and more away."""


@dataclass(frozen=True)
class RegisteredMeasurements:
    """Measurements of a registration, before calibration.

    Args:
        values: of the registered meshes.
        laplace_sd: by key, the standard deviation over samples of the registration; empty where it has no curvature.
        vertex_sd_mm: by level, [V] the same for every vertex along its normal.
        per_degree_of_lean: by key, how far the value changes where the room's vertical is a degree off, to the front and aside
            (root sum of squares): nothing for what vertebrae are to each other. Empty where `laplace_sd` is.
        lines: by view, the endplates between which its angle is told.
        sacral_rim_mm: [N, 3] rim of S1's superior endplate, world mm; None where it cannot be had.
    """

    values: Values
    laplace_sd: dict[Key, float]
    vertex_sd_mm: dict[str, np.ndarray]
    per_degree_of_lean: dict[Key, float] = field(default_factory=dict)
    lines: dict[str, tuple[EndplateLine, ...]] = field(default_factory=dict)
    sacral_rim_mm: np.ndarray | None = None


def registered_meshes(result: RegistrationResult, triangles: np.ndarray) -> dict[str, Mesh]:
    """The meshes of a registration with the landmarks of their shapes."""
    meshes = {}
    for level, fit in result.vertebrae.items():
        coefficients = np.concatenate([fit.coefficients, fit.free_form])
        landmarks = fit.world_from_vertebra.apply(fit.shape.landmarks(coefficients))
        meshes[level] = Mesh(np.asarray(fit.vertices_mm, dtype=np.float64), triangles, landmarks)
    return meshes


def measure_registration(
    result: RegistrationResult,
    triangles: np.ndarray,
    anchors: LocatedAnchors | None = None,
    hips: HipAxis | None = None,
    hidden: HiddenEndplates | None = None,
) -> RegisteredMeasurements:
    """Marks and measures the meshes of a registration and the samples around it.

    Args:
        result: the registration.
        triangles: [M, 3] of every mesh.
        anchors: T12 and S1; unknown by default.
        hips: where the femoral heads are; not marked by default.
        hidden: endplates that the films do not show, beside those of closed discs.
    """
    hips = hips or HipAxis()
    meshes = registered_meshes(result, triangles)
    marks, broken = mark_spine(meshes)
    spine = {level: own.place(meshes[level].vertices_mm, meshes[level].landmarks_mm) for level, own in marks.items()}
    anchors = checked_anchors(anchors or LocatedAnchors.unknown(), spine)
    hidden = {**closed_discs(spine), **(hidden or {})}
    anchored = marked_anchors(anchors, anchors.t12_mm, anchors.sacrum and anchors.sacrum.points_mm)
    everything = without_endplates({**spine, **anchored, HIPS: mark_hips(hips)}, hidden)
    values = measure_spine(everything, {**broken, **anchors.missing})
    lines, rim = endplate_lines(everything), anchors.sacrum and sacral_rim_mm(anchors.sacrum.points_mm)
    samples = sample_registration(result)
    if samples is None:
        return RegisteredMeasurements(values, {}, {}, lines=lines, sacral_rim_mm=rim)
    sampled = {level: samples[level].place(own) for level, own in marks.items()}
    anchored = marked_anchors(anchors, *anchors.samples(N_SAMPLES))
    sampled = {**sampled, **anchored, HIPS: mark_hips(hips.samples(N_SAMPLES))}
    spread = measure_spine(without_endplates(sampled, hidden))
    deviations = {key: _spread(value, values.found[key]) for key, value in spread.found.items() if key in values.found}
    leaning = {
        level: own.place(_leaning(meshes[level].vertices_mm), _leaning(meshes[level].landmarks_mm))
        for level, own in marks.items()
    }
    anchored = marked_anchors(anchors, _leaning(anchors.t12_mm), _leaning(anchors.sacrum and anchors.sacrum.points_mm))
    leaning = {**leaning, **anchored, HIPS: mark_hips(replace(hips, middle_mm=_leaning(hips.middle_mm)))}
    leant = measure_spine(without_endplates(leaning, hidden)).found
    changes = {
        key: float(np.linalg.norm(value - values.found[key])) for key, value in leant.items() if key in values.found
    }
    return RegisteredMeasurements(values, deviations, _vertex_spreads(samples, triangles), changes, lines, rim)


def _leaning(points_mm: np.ndarray | None) -> np.ndarray | None:
    """[2, ..., 3] points [..., 3] of the world turned by a degree about Y, and about X; None for None."""
    if points_mm is None:
        return None
    turns = Rotation.from_rotvec([[0, 1, 0], [1, 0, 0]], degrees=True).as_matrix()
    return np.einsum("tij,...j->t...i", turns, points_mm)


def marked_anchors(
    anchors: LocatedAnchors, t12_mm: np.ndarray | None, s1_mm: np.ndarray | None
) -> dict[str, MarkedVertebra]:
    """T12, L6 and S1 as marked vertebrae, as far as they are there.

    Args:
        anchors: whether there is an L6.
        t12_mm: [..., 3] centre of T12, or None.
        s1_mm: [..., 5, 3] points of S1, or None.
    """
    marked = {} if t12_mm is None else {"T12": mark_centre("T12", t12_mm)}
    if anchors.sixth:
        marked["L6"] = mark_centre("L6", np.full(3, np.nan))
    return marked if s1_mm is None else {**marked, "S1": mark_sacrum(s1_mm)}


def checked_anchors(anchors: LocatedAnchors, spine: Mapping[str, MarkedVertebra]) -> LocatedAnchors:
    """The anchors without an S1 that cannot be the neighbour of the reconstructed L5.

    Args:
        anchors: as located.
        spine: marked vertebrae.
    """
    if anchors.sacrum is None or anchors.sixth or "L5" not in spine:
        return anchors
    try:
        height_mm = float(middle_disc_height_mm(spine["L5"], mark_sacrum(anchors.sacrum.points_mm)))
    except NotMeasurableError:
        return anchors
    low, high = _DISC_MM
    if low <= height_mm <= high:
        return anchors
    return anchors.without_sacrum(
        f"its endplate would leave {height_mm:.0f} mm to L5, expected {low:g} to {high:g}: it is not the next vertebra"
    )


def _spread(samples: np.ndarray, value: np.ndarray) -> float:
    """Root mean square deviation from the value itself; the samples' mean may differ by what is not linear."""
    return float(np.sqrt(np.square(samples - value).mean()))


def _vertex_spreads(samples: dict[str, VertebraSamples], triangles: np.ndarray) -> dict[str, np.ndarray]:
    return {level: vertex_sd_mm(own, Surface(own.fit.vertices_mm, triangles).normals) for level, own in samples.items()}
