"""Two studies of one person, flexion and extension: how far each segment moves, and whether that is unusual.

    lumbar-ext motion out/flexion out/extension --output motion.json

Both folders hold the `measurements.json` of a reconstruction. Only what both have is compared. Rotations come from the measured
orientation of each vertebra (`endplates.body_axes`), which the person's shape decides in both studies alike.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.io.atomic import write_text
from lumbar_ext.measurements.document import read_measurements
from lumbar_ext.measurements.uncertainty.assessment import Measurement
from lumbar_ext.measurements.uncertainty.interval_calibration import NORMAL_90
from lumbar_ext.measurements.values.frames import cardan_rad, cardan_rotation
from lumbar_ext.measurements.values.spine_values import Key

TRANSLATION_LIMIT_MM = 4.0
"""Sagittal translation from flexion to extension above which a segment is called unstable on radiographs: more than 3 to
4 mm (Boden and Wiesel, Spine 1990; White and Panjabi 1990, who allow 4.5 mm)."""

ROTATION_LIMIT_DEG = {"L1-L2": 15.0, "L2-L3": 15.0, "L3-L4": 15.0, "L4-L5": 20.0, "L5-S1": 25.0}
"""Sagittal rotation above which a segment is called unstable: 15 deg at L1-L4, 20 deg at L4-L5, 25 deg at L5-S1
(White and Panjabi, Clinical Biomechanics of the Spine, 2nd ed. 1990)."""

THRESHOLD_SOURCE = (
    "White and Panjabi, Clinical Biomechanics of the Spine, 1990; Boden and Wiesel, Spine 1990;15:571; background "
    "knowledge"
)
_SLIP = "sagittal_slip"
_ANGLES = ("relative_lateral_bend", "relative_flexion", "relative_axial_rotation")
_STEP_DEG = 0.01  # of central differences


@dataclass(frozen=True)
class SegmentMotion:
    """What changes in a segment from the first to the second study; None where it cannot be had.

    Args:
        subject: such as "L3-L4".
        flexion_deg: rotation of the upper vertebra in the lower one's frame, sequence Y-X'-Z'': about Y.
        flexion_sd_deg: its standard deviation.
        lateral_bend_deg: about X'.
        lateral_bend_sd_deg: its standard deviation.
        axial_rotation_deg: about Z''.
        axial_rotation_sd_deg: its standard deviation.
        translation_mm: change of the sagittal slip, positive to the front.
        translation_sd_mm: its standard deviation.
        beyond_threshold: whether rotation or translation lies beyond the published limit.
        threshold: these limits in words, with their source.
        reason: why a value is missing.
    """

    subject: str
    flexion_deg: float | None
    flexion_sd_deg: float | None
    lateral_bend_deg: float | None
    lateral_bend_sd_deg: float | None
    axial_rotation_deg: float | None
    axial_rotation_sd_deg: float | None
    translation_mm: float | None
    translation_sd_mm: float | None
    beyond_threshold: bool | None
    threshold: str
    reason: str | None


def relative_motion_deg(first_deg: np.ndarray, second_deg: np.ndarray) -> np.ndarray:
    """(lateral, flexion, axial) [3] by which the upper vertebra turns in the lower one's frame between two studies.

    Args:
        first_deg, second_deg: [3] the same angles of the upper vertebra in the lower one's frame, in each study.
    """
    before, after = (cardan_rotation(np.radians(angles)) for angles in (first_deg, second_deg))
    return np.degrees(cardan_rad(after @ before.T))


def compare_studies(first: tuple[Measurement, ...], second: tuple[Measurement, ...]) -> tuple[SegmentMotion, ...]:
    """The motion of every segment between two studies.

    Args:
        first, second: measurements of each study.
    """
    studies = [{(m.subject, m.id): m for m in values} for values in (first, second)]
    return tuple(_motion(f"{upper}-{lower}", studies) for upper, lower in pairwise((*LEVELS, "S1")))


def compare_postures(first_dir: str, second_dir: str, output: str | None = None) -> None:
    """Compares two reconstructions of one person and prints a table.

    Args:
        first_dir: output folder of the first study.
        second_dir: output folder of the second study.
        output: JSON file to write; none by default.

    Raises:
        InputError: if a folder holds no valid `measurements.json`.
    """
    files = [Path(folder) / "measurements.json" for folder in (first_dir, second_dir)]
    motions = compare_studies(*(read_measurements(file) for file in files))
    print(
        "| segment | flexion deg | lateral deg | axial deg | translation mm | beyond threshold |\n|---|---|---|---|---|---|"
    )
    for m in motions:
        numbers = (
            (m.flexion_deg, m.flexion_sd_deg),
            (m.lateral_bend_deg, m.lateral_bend_sd_deg),
            (m.axial_rotation_deg, m.axial_rotation_sd_deg),
            (m.translation_mm, m.translation_sd_mm),
        )
        print("| " + " | ".join([m.subject, *(_with_interval(*number) for number in numbers), verdict(m)]) + " |")
    if output:
        document = {"first": str(first_dir), "second": str(second_dir), "segments": [asdict(m) for m in motions]}
        write_text(output, json.dumps(document, indent=1) + "\n")


def verdict(motion: SegmentMotion) -> str:
    """Whether a segment moves beyond the limits: "yes" or "no" where the 90 % intervals agree, "not certain" elsewhere."""
    if motion.beyond_threshold is None:
        return motion.reason or "not certain"
    sides = [_side(abs(motion.flexion_deg), motion.flexion_sd_deg, ROTATION_LIMIT_DEG[motion.subject])]
    if motion.translation_mm is not None:
        sides.append(_side(abs(motion.translation_mm), motion.translation_sd_mm, TRANSLATION_LIMIT_MM))
    if "beyond" in sides:
        return "yes"
    return "not certain" if "unsure" in sides else "no"


def _side(value: float, sd: float | None, limit: float) -> str:
    """On which side of its limit a value's 90 % interval lies; without one, the value."""
    half = NORMAL_90 * (sd or 0.0)
    if value - half > limit:
        return "beyond"
    return "within" if value + half <= limit else "unsure"


def _with_interval(value: float | None, sd: float | None) -> str:
    if value is None:
        return ""
    text = f"{value + 0.0:.1f}"
    text = text.removeprefix("-") if float(text) == 0 else text
    return text if sd is None else f"{text} ± {NORMAL_90 * sd:.1f}"


def _motion(name: str, studies: list[dict[Key, Measurement]]) -> SegmentMotion:
    angles = [[study.get((name, angle)) for angle in _ANGLES] for study in studies]
    reason = _why_unknown([m for own in angles for m in own])
    if reason is not None:
        return SegmentMotion(name, *(None,) * 9, _threshold(name), reason)
    lateral, flexion, axial = map(float, relative_motion_deg(*([m.value for m in own] for own in angles)))
    lateral_sd, flexion_sd, axial_sd = _motion_deviations_deg(angles)
    slips = [study.get((name, _SLIP)) for study in studies]
    reason = _why_unknown(slips)
    translation = None if reason else slips[1].value - slips[0].value
    beyond = abs(flexion) > ROTATION_LIMIT_DEG[name] or abs(translation or 0.0) > TRANSLATION_LIMIT_MM
    return SegmentMotion(
        subject=name,
        flexion_deg=flexion,
        flexion_sd_deg=flexion_sd,
        lateral_bend_deg=lateral,
        lateral_bend_sd_deg=lateral_sd,
        axial_rotation_deg=axial,
        axial_rotation_sd_deg=axial_sd,
        translation_mm=translation,
        translation_sd_mm=None if reason else _deviation(slips),
        # Without the translation a rotation below its limit proves nothing.
        beyond_threshold=beyond if beyond or translation is not None else None,
        threshold=_threshold(name),
        reason=reason,
    )


def _motion_deviations_deg(angles: list[list[Measurement]]) -> tuple[float | None, float | None, float | None]:
    """Standard deviations of (lateral, flexion, axial) between two studies whose angles err independently, to first order.

    A turn about one axis between the studies hands the errors of the others on, too. None for an angle whose own deviation
    is unknown in one of the studies; where that of another angle is, the largest known one of its study stands for it.

    Args:
        angles: of each study, its (lateral, flexion, axial).
    """
    known = [[m.sd for m in own if m.sd is not None] for own in angles]
    own_known = [all(study[axis].sd is not None for study in angles) for axis in range(len(_ANGLES))]
    if not any(own_known):
        return None, None, None
    deviations = np.array(
        [[max(sds) if m.sd is None else m.sd for m in own] for own, sds in zip(angles, known, strict=True)]
    )
    places = np.array([[m.value for m in own] for own in angles])
    squares = np.zeros(len(_ANGLES))
    for which in np.ndindex(*places.shape):
        step = np.zeros_like(places)
        step[which] = _STEP_DEG
        slope = (relative_motion_deg(*(places + step)) - relative_motion_deg(*(places - step))) / (2 * _STEP_DEG)
        squares += np.square(slope * deviations[which])
    lateral, flexion, axial = (
        float(np.sqrt(own)) if sure else None for own, sure in zip(squares, own_known, strict=True)
    )
    return lateral, flexion, axial


def _why_unknown(values: list[Measurement | None]) -> str | None:
    """Why one of the values is missing; None if none is."""
    for value in values:
        if value is None or value.value is None:
            return (value.reason if value is not None else None) or "not measured in both studies"
    return None


def _deviation(values: list[Measurement]) -> float | None:
    """Of the difference of two independent values."""
    return None if any(m.sd is None for m in values) else math.hypot(*(m.sd for m in values))


def _threshold(name: str) -> str:
    return f"rotation {ROTATION_LIMIT_DEG[name]:.0f} deg, translation {TRANSLATION_LIMIT_MM:.0f} mm; {THRESHOLD_SOURCE}"
