"""How a lateral curve turns: axial rotations between neighbours at its ends, and of its apex."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.measurements.marks.vertebra_marks import MarkedVertebra, NotMeasurableError
from lumbar_ext.measurements.values.frames import dot
from lumbar_ext.measurements.values.lumbar_alignment import LEAST_COBB_DEG, axial_rotation_deg, cobb
from lumbar_ext.measurements.values.segment import relative_angles_deg
from lumbar_ext.measurements.values.spine_frame import marked_level, regional_axes


@dataclass(frozen=True)
class Curve:
    """A lateral curve.

    Args:
        levels: its vertebrae, from one end to the other.
        apex: the one between its ends that stands farthest from the line between these; None where they are neighbours.
    """

    levels: tuple[str, ...]
    apex: str | None


def coronal_curve(spine: Mapping[str, MarkedVertebra]) -> Curve:
    """The curve of the Cobb angle.

    Raises:
        NotMeasurableError: without a curve of `LEAST_COBB_DEG`, or where a vertebra of it is missing.
    """
    found = cobb(spine)
    if abs(float(np.mean(found.angle_deg))) < LEAST_COBB_DEG:
        raise NotMeasurableError(f"no curve: the Cobb angle is below {LEAST_COBB_DEG:g} deg")
    levels = LEVELS[LEVELS.index(found.upper) : LEVELS.index(found.lower) + 1]
    centres = {level: np.mean(np.atleast_2d(marked_level(spine, level).axes.origin_mm), axis=0) for level in levels}
    first, last = centres[levels[0]], centres[levels[-1]]
    left = np.mean(np.atleast_2d(regional_axes(spine).left), axis=0)

    def beside(level: str) -> float:
        share = (centres[level][2] - first[2]) / (last[2] - first[2])
        return abs(float(dot(centres[level] - first - share * (last - first), left)))

    return Curve(levels, max(levels[1:-1], key=beside, default=None))


def upper_end_rotation_deg(spine: Mapping[str, MarkedVertebra]) -> np.ndarray:
    """Axial rotation of the curve's upper end vertebra in the frame of the next one below."""
    upper, lower = coronal_curve(spine).levels[:2]
    return relative_angles_deg(spine[upper], spine[lower])[..., 2]


def lower_end_rotation_deg(spine: Mapping[str, MarkedVertebra]) -> np.ndarray:
    """Axial rotation of the next vertebra above the curve's lower end vertebra in the frame of that."""
    upper, lower = coronal_curve(spine).levels[-2:]
    return relative_angles_deg(spine[upper], spine[lower])[..., 2]


def apical_rotation_deg(spine: Mapping[str, MarkedVertebra]) -> np.ndarray:
    """Axial rotation of the curve's apical vertebra against the mean of its end vertebrae, which a turn of the whole person
    does not change.

    Raises:
        NotMeasurableError: as `coronal_curve`, and where the ends are neighbours.
    """
    curve = coronal_curve(spine)
    if curve.apex is None:
        raise NotMeasurableError("the end vertebrae of the curve are neighbours: no vertebra is its apex")
    ends = [axial_rotation_deg(spine[level]) for level in (curve.levels[0], curve.levels[-1])]
    return axial_rotation_deg(spine[curve.apex]) - (ends[0] + ends[1]) / 2
