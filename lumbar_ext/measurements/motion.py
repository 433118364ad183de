"""Two studies of one person, flexion and extension: how far each segment moves, and whether that is unusual.

    python -m lumbar_ext.measurements.motion --first_dir out/flexion --second_dir out/extension --output motion.json

Both folders hold the `measurements.json` of a reconstruction. Only what both have is compared.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.io.atomic import write_text
from lumbar_ext.measurements.assessment import Measurement
from lumbar_ext.measurements.document import read_measurements, read_poses
from lumbar_ext.measurements.frames import cardan_rad

TRANSLATION_LIMIT_MM = 4.0
"""Sagittal translation from flexion to extension above which a segment is called unstable on radiographs: more than 3 to
4 mm (Boden and Wiesel, Spine 1990; White and Panjabi 1990, who allow 4.5 mm)."""

ROTATION_LIMIT_DEG = {"L1-L2": 15.0, "L2-L3": 15.0, "L3-L4": 15.0, "L4-L5": 20.0}
"""Sagittal rotation above which a segment is called unstable: 15 deg at L1-L4, 20 deg at L4-L5 (White and Panjabi,
Clinical Biomechanics of the Spine, 2nd ed. 1990)."""

THRESHOLD_SOURCE = (
    "White and Panjabi, Clinical Biomechanics of the Spine, 1990; Boden and Wiesel, Spine 1990;15:571; background "
    "knowledge"
)
_SLIP = "sagittal_slip"


@dataclass(frozen=True)
class SegmentMotion:
    """What changes in a segment from the first to the second study; None where it cannot be had.

    Args:
        subject: such as "L3-L4".
        flexion_deg: rotation of the upper vertebra in the lower one's frame, sequence Y-X'-Z'': about Y.
        lateral_bend_deg: about X'.
        axial_rotation_deg: about Z''.
        translation_mm: change of the sagittal slip, positive to the front.
        translation_sd_mm: its standard deviation.
        beyond_threshold: whether rotation or translation lies beyond the published limit.
        threshold: these limits in words, with their source.
        reason: why a value is missing.
    """

    subject: str
    flexion_deg: float | None
    lateral_bend_deg: float | None
    axial_rotation_deg: float | None
    translation_mm: float | None
    translation_sd_mm: float | None
    beyond_threshold: bool | None
    threshold: str
    reason: str | None


def relative_motion_deg(
    first_upper: RigidTransform, first_lower: RigidTransform, second_upper: RigidTransform, second_lower: RigidTransform
) -> np.ndarray:
    """(lateral, flexion, axial) [3] by which the upper vertebra turns in the lower one's frame between two poses.

    Args:
        first_upper, first_lower: `world_from_vertebra` in the first study.
        second_upper, second_lower: in the second; its world may be another one.
    """
    before = first_lower.inverse() @ first_upper
    after = second_lower.inverse() @ second_upper
    return np.degrees(cardan_rad((after @ before.inverse()).rotation))


def compare_studies(
    first_poses: Mapping[str, RigidTransform],
    second_poses: Mapping[str, RigidTransform],
    first_values: tuple[Measurement, ...],
    second_values: tuple[Measurement, ...],
) -> tuple[SegmentMotion, ...]:
    """The motion of every segment between two studies.

    Args:
        first_poses, second_poses: `world_from_vertebra` of the levels that each study found.
        first_values, second_values: their measurements.
    """
    slips = [{m.subject: m for m in values if m.id == _SLIP} for values in (first_values, second_values)]
    motions = []
    for upper, lower in pairwise(LEVELS):
        missing = sorted(
            {level for poses in (first_poses, second_poses) for level in (upper, lower) if level not in poses}
        )
        name = f"{upper}-{lower}"
        if missing:
            motions.append(_missing(name, f"{', '.join(missing)}: missing in a study"))
            continue
        turned = relative_motion_deg(first_poses[upper], first_poses[lower], second_poses[upper], second_poses[lower])
        motions.append(_motion(name, turned, slips[0].get(name), slips[1].get(name)))
    return tuple(motions)


def compare(first_dir: str, second_dir: str, output: str | None = None) -> None:
    """Compares two reconstructions of one person and prints a table.

    Args:
        first_dir: output folder of the first study.
        second_dir: output folder of the second study.
        output: JSON file to write; none by default.

    Raises:
        InputError: if a folder holds no valid `measurements.json`.
    """
    files = [Path(folder) / "measurements.json" for folder in (first_dir, second_dir)]
    poses, values = [read_poses(file) for file in files], [read_measurements(file) for file in files]
    motions = compare_studies(*poses, *values)
    print(
        "| segment | flexion deg | lateral deg | axial deg | translation mm | beyond threshold |\n|---|---|---|---|---|---|"
    )
    for m in motions:
        numbers = (m.flexion_deg, m.lateral_bend_deg, m.axial_rotation_deg, m.translation_mm)
        cells = ["" if number is None else f"{number:.1f}" for number in numbers]
        verdict = m.reason or ("yes" if m.beyond_threshold else "no")
        print("| " + " | ".join([m.subject, *cells, verdict]) + " |")
    if output:
        document = {"first": str(first_dir), "second": str(second_dir), "segments": [asdict(m) for m in motions]}
        write_text(output, json.dumps(document, indent=1) + "\n")


def _motion(name: str, turned_deg: np.ndarray, first: Measurement | None, second: Measurement | None) -> SegmentMotion:
    lateral, flexion, axial = (float(angle) for angle in turned_deg)
    translation = deviation = reason = None
    if first is None or second is None or first.value is None or second.value is None:
        reason = next((m.reason for m in (first, second) if m is not None and m.reason), "no slip was measured")
    else:
        translation = second.value - first.value
        if first.sd is not None and second.sd is not None:
            deviation = math.hypot(first.sd, second.sd)
    beyond = abs(flexion) > ROTATION_LIMIT_DEG[name] or abs(translation or 0.0) > TRANSLATION_LIMIT_MM
    # Without the translation a rotation below its limit proves nothing.
    known = beyond or translation is not None
    return SegmentMotion(
        name, flexion, lateral, axial, translation, deviation, beyond if known else None, _threshold(name), reason
    )


def _missing(name: str, reason: str) -> SegmentMotion:
    return SegmentMotion(name, None, None, None, None, None, None, _threshold(name), reason)


def _threshold(name: str) -> str:
    return f"rotation {ROTATION_LIMIT_DEG[name]:.0f} deg, translation {TRANSLATION_LIMIT_MM:.0f} mm; {THRESHOLD_SOURCE}"


if __name__ == "__main__":
    import fire

    fire.Fire(compare)
