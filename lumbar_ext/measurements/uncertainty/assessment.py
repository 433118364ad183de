"""Measurements as they are reported: with calibrated uncertainty, reference range, flag and class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.landmarks.hip_axis import HipAxis
from lumbar_ext.landmarks.located_anchors import LocatedAnchors
from lumbar_ext.landmarks.triangulated import Landmarks3D
from lumbar_ext.measurements.uncertainty.grade import Quality, missing_quality, vertebra_quality, without_impossible
from lumbar_ext.measurements.uncertainty.interval_calibration import (
    NORMAL_90,
    VERTEX,
    Calibration,
    Coverage,
    interval_kind,
    rests_on_landmarks,
    shipped_calibration,
)
from lumbar_ext.measurements.uncertainty.registered import RegisteredMeasurements, measure_registration
from lumbar_ext.measurements.values.definitions import BY_ID, DEFINITIONS, Scope, subject_name
from lumbar_ext.measurements.values.hidden_endplates import HiddenEndplates
from lumbar_ext.measurements.values.lumbar_alignment import EndplateLine
from lumbar_ext.measurements.values.reference_ranges import ReferenceRange, reference_range
from lumbar_ext.measurements.values.segment import meyerding_grade
from lumbar_ext.measurements.values.spine_values import Key, Values
from lumbar_ext.measurements.values.vertebral_body import genant_grade
from lumbar_ext.registration.result import RegistrationResult

SLIP_MM = 3.0
"""Displacements below this are within normal variation and get no name."""

UNCALIBRATED_DEG = {Scope.SPINE: 1.35, Scope.SEGMENT: 0.55, Scope.VERTEBRA: 0.55}
"""Standard deviation that cameras found from films add to an angle: 1.25 (that of a normal distribution) times the mean errors
of the Cobb angle, 1.08 deg, and of neighbours, 0.44 deg, that `benchmarks/self_calibration.py --network` prints of twelve
validation studies (docs/cameras.md)."""
UNCALIBRATED_LEAN_DEG = 3.0
"""The same of the vertical: how far either film may hang or be tilted, which nothing on it tells (`SpinePrior.tilt_deg`)."""

_POWER_OF_SIZE = {"mm": 1, "mm2": 2, "mm3": 3}
_RATIOS = ("wedge_ratio", "biconcavity_ratio", "crush_ratio")
_ROMAN = ("", "I", "II", "III", "IV", "V")


@dataclass(frozen=True)
class Measurement:
    """One reported value.

    Args:
        subject: "L3", "L3-L4", "L1-L5" or "S1".
        id: of its definition.
        value: None where it cannot be had.
        sd: calibrated standard deviation; None where unknown.
        interval_90: (low, high) that holds the truth of nine in ten values; None where unknown.
        reason: why there is no value.
        reference: the usual range; None where none is known.
        outside_reference: whether the value lies outside of it for sure: with its whole interval, where there is one; None
            without value or range, and where the interval is withheld because it held the truth too seldom.
        grade: a class the literature gives to such a value, such as "Meyerding I", or what belongs to it, such as the end
            vertebrae of a curve; None for none.
        held: how often intervals of this kind of value held the truth in the check; None without interval or cases.
        no_interval: why a value has no interval, a phrase; None where it has one, or no value.
    """

    subject: str
    id: str
    value: float | None
    sd: float | None
    interval_90: tuple[float, float] | None
    reason: str | None
    reference: ReferenceRange | None
    outside_reference: bool | None
    grade: str | None
    held: Coverage | None = None
    no_interval: str | None = None


@dataclass(frozen=True)
class Assessment:
    """Everything that is reported of a reconstruction.

    Args:
        measurements: in the order of definitions, then subjects; values that cannot be had are among them.
        vertex_sd_mm: by level, [V] calibrated standard deviation along the normal; empty where unknown.
        quality: by level, all five.
        calibrated: whether uncertainties are calibrated.
        lines: by view, the endplates between which its angle is told.
        intervals: what is known of the intervals, a sentence.
        sacral_rim_mm: [N, 3] rim of S1's superior endplate, world mm; None where it cannot be had.
    """

    measurements: tuple[Measurement, ...]
    vertex_sd_mm: dict[str, np.ndarray]
    quality: dict[str, Quality]
    calibrated: bool
    lines: Mapping[str, tuple[EndplateLine, ...]] = field(default_factory=dict)
    intervals: str = ""
    sacral_rim_mm: np.ndarray | None = None

    def get(self, subject: str, definition_id: str) -> Measurement:
        """A subject's measurement of a definition; one that could not be had is there too, with its reason."""
        return next(m for m in self.measurements if (m.subject, m.id) == (subject, definition_id))


def assess_registration(
    result: RegistrationResult,
    triangles: np.ndarray,
    landmarks: Landmarks3D | None = None,
    calibration: Calibration | None = None,
    missing: Mapping[str, str] | None = None,
    anchors: LocatedAnchors | None = None,
    size_sd: float | None = None,
    hips: HipAxis | None = None,
    hidden: HiddenEndplates | None = None,
) -> Assessment:
    """Measures and grades a registration.

    Args:
        result: the registration.
        triangles: [M, 3] of every mesh.
        landmarks: what it started from.
        calibration: of the uncertainties, the package's own by default.
        missing: why levels were not registered, where that is known.
        anchors: T12 and S1; unknown by default.
        size_sd: relative standard deviation of all lengths, of cameras that are not calibrated; angles are then as uncertain as
            `UNCALIBRATED_DEG` and `UNCALIBRATED_LEAN_DEG` say. None for calibrated ones.
        hips: where the femoral heads are; not marked by default.
        hidden: endplates that the films do not show, as a user says.
    """
    calibration = calibration or shipped_calibration()
    measured = measure_registration(result, triangles, anchors, hips, hidden)
    spread = calibrated_vertex_sd_mm(measured, calibration)
    quality = spine_quality(result, landmarks, measured, calibration, missing)
    deviations = _calibrated(measured, calibration)
    if size_sd is not None:
        deviations = _uncalibrated(deviations, measured, size_sd)
    values = assess_values(measured.values, deviations, calibration)
    statement = calibration.statement() if calibration.factors else ""
    return Assessment(
        values, spread, quality, bool(calibration.factors), measured.lines, statement, measured.sacral_rim_mm
    )


def calibrated_vertex_sd_mm(measured: RegisteredMeasurements, calibration: Calibration) -> dict[str, np.ndarray]:
    """By level, [V] standard deviation of every vertex along its normal; empty where it is not calibrated."""
    factor = calibration.factor(VERTEX)
    return {} if factor is None else {level: factor * own for level, own in measured.vertex_sd_mm.items()}


def spine_quality(
    result: RegistrationResult,
    landmarks: Landmarks3D | None,
    measured: RegisteredMeasurements,
    calibration: Calibration,
    missing: Mapping[str, str] | None = None,
) -> dict[str, Quality]:
    """The quality of L1 to L5, those that are missing among them, as every report states it.

    Args:
        result: the registration.
        landmarks: what it started from.
        measured: what was measured of it.
        calibration: of the uncertainties.
        missing: why levels were not registered, where that is known.
    """
    spread, missing = calibrated_vertex_sd_mm(measured, calibration), missing or {}
    quality = {
        level: vertebra_quality(result.vertebrae[level], landmarks, spread.get(level))
        if level in result.vertebrae
        else missing_quality(missing.get(level, "not found in both views"))
        for level in LEVELS
    }
    return without_impossible(quality, measured.values.found)


def assess_values(
    values: Values,
    deviations: dict[Key, float] | None = None,
    calibration: Calibration | None = None,
) -> tuple[Measurement, ...]:
    """Reported values of measured ones.

    Args:
        values: what was measured.
        deviations: calibrated standard deviations by key.
        calibration: what is known of their intervals; nothing by default.
    """
    deviations, calibration = deviations or {}, calibration or Calibration({}, {})
    return tuple(
        _reported(key, values, deviations.get(key), calibration)
        for definition in DEFINITIONS
        for key in ((subject_name(levels), definition.id) for levels in definition.subjects)
    )


def _calibrated(measured: RegisteredMeasurements, calibration: Calibration) -> dict[Key, float]:
    """Deviations of the kinds that are calibrated; a deviation that is not would look more certain than it is."""
    return {
        key: sd * factor
        for key, sd in measured.laplace_sd.items()
        if (factor := calibration.factor(interval_kind(key))) is not None
    }


def _uncalibrated(deviations: dict[Key, float], measured: RegisteredMeasurements, size_sd: float) -> dict[Key, float]:
    """Deviations with those of cameras that were found from the films: of the scale, which moves all lengths together (and
    areas twice as far), of angles, and of the vertical.
    """
    wider = {}
    for key, sd in deviations.items():
        definition = BY_ID[key[1]]
        scale = _POWER_OF_SIZE.get(definition.unit, 0) * size_sd * float(measured.values.found.get(key, 0.0))
        turn = UNCALIBRATED_DEG[definition.scope] if definition.unit == "deg" else 0.0
        lean = UNCALIBRATED_LEAN_DEG * measured.per_degree_of_lean.get(key, 0.0)
        wider[key] = float(np.linalg.norm([sd, scale, turn, lean]))
    return wider


def _reported(key: Key, values: Values, sd: float | None, calibration: Calibration) -> Measurement:
    reference, kind = reference_range(key[1], key[0]), interval_kind(key)
    if key not in values.found:
        return Measurement(*key, None, None, None, values.reasons.get(key, "not measured"), reference, None, None)
    value = float(values.found[key])
    interval = None if sd is None else (value - NORMAL_90 * sd, value + NORMAL_90 * sd)
    unknown = reference is None or calibration.withheld(kind)
    outside = None if unknown else not reference.reached_by(*(interval or (value, value)))
    # Landmarks err by more than a slip that is worth a name.
    sure = outside is not False or not rests_on_landmarks(kind)
    no_interval = calibration.no_interval(kind) or "the registration states no spread" if interval is None else None
    held = None if interval is None else calibration.held(kind)
    grade = _grade(key, values) if sure else None
    return Measurement(*key, value, sd, interval, None, reference, outside, grade, held, no_interval)


def _grade(key: Key, values: Values) -> str | None:
    subject, name = key
    value = float(values.found[key])
    if name == "sagittal_slip" and abs(value) >= SLIP_MM:
        return "anterolisthesis" if value > 0 else "retrolisthesis"
    if name == "lateral_slip" and abs(value) >= SLIP_MM:
        return f"laterolisthesis to the {'left' if value > 0 else 'right'}"
    if name == "sagittal_slip_percent" and meyerding_grade(value):
        return f"Meyerding {_ROMAN[meyerding_grade(value)]}"
    if name in _RATIOS and name == _lowest_ratio(subject, values):
        grade = genant_grade([value])
        return f"Genant {grade}" if grade else None
    return values.remarks.get(key)


def _lowest_ratio(subject: str, values: Values) -> str | None:
    """The ratio with the largest height loss, which decides Genant's grade."""
    known = {name: float(values.found[subject, name]) for name in _RATIOS if (subject, name) in values.found}
    return min(known, key=known.get, default=None)
