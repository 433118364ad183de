"""Alignment of the whole lumbar spine."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.measurements.marks.vertebra_frame import Axes
from lumbar_ext.measurements.marks.vertebra_marks import MarkedVertebra, NotMeasurableError
from lumbar_ext.measurements.values.endplates import Side, body_axes, endplate
from lumbar_ext.measurements.values.frames import angle_between_deg, angle_in_plane_deg, cardan_rad, lumbar_axes


@dataclass(frozen=True)
class Cobb:
    """A Cobb angle.

    Args:
        angle_deg: [...] signed: positive where the curve is convex to the left.
        upper, lower: the end vertebrae.
    """

    angle_deg: np.ndarray
    upper: str
    lower: str


@dataclass(frozen=True)
class EndplateLine:
    """An endplate as one draws it on a film to read an angle.

    Args:
        name: such as "L1 superior endplate".
        centre_mm: [3] world mm.
        along: [3] unit vector in the endplate and in the plane of the angle.
    """

    name: str
    centre_mm: np.ndarray
    along: np.ndarray

    def points_mm(self, half_mm: float) -> np.ndarray:
        """Both ends [2, 3] of the line, `half_mm` away from the centre."""
        return self.centre_mm + np.array([[-half_mm], [half_mm]]) * self.along


def endplate_lines(spine: Mapping[str, MarkedVertebra]) -> dict[str, tuple[EndplateLine, ...]]:
    """By view, the endplates of its angle: the Cobb angle's on the AP film, those of the lordosis on the lateral one.

    Lordosis reaches to S1 where that was located next to L5, and the horizontal of the sacral slope is drawn too; else to
    L5. A view whose angle cannot be measured has no lines.
    """
    lines: dict[str, tuple[EndplateLine, ...]] = {"ap": (), "lat": ()}
    with suppress(NotMeasurableError):
        curve = cobb(spine)
        lines["ap"] = (_line(spine, curve.upper, "superior", "left"), _line(spine, curve.lower, "inferior", "left"))
    with suppress(NotMeasurableError):
        lines["lat"] = _sagittal_lines(spine)
    return lines


def _sagittal_lines(spine: Mapping[str, MarkedVertebra]) -> tuple[EndplateLine, ...]:
    first, last = _line(spine, "L1", "superior", "front"), _line(spine, "L5", "inferior", "front")
    if "S1" not in spine or "L6" in spine:
        return first, last
    sacral = _line(spine, "S1", "superior", "front")
    return first, sacral, EndplateLine("horizontal", sacral.centre_mm, regional_axes(spine).front)


def _line(spine: Mapping[str, MarkedVertebra], level: str, side: Side, along: str) -> EndplateLine:
    plate = endplate(marked_level(spine, level), side)
    return EndplateLine(f"{level} {side} endplate", plate.centre_mm, getattr(plate, along))


def lordosis_deg(spine: Mapping[str, MarkedVertebra]) -> np.ndarray:
    """Angle from the superior endplate of L1 to the inferior endplate of L5 in the lumbar sagittal plane, positive for
    lordosis.

    Raises:
        NotMeasurableError: if L1 or L5 is missing.
    """
    first, last = marked_level(spine, "L1"), marked_level(spine, "L5")
    return angle_in_plane_deg(endplate(first, "superior").up, endplate(last, "inferior").up, regional_axes(spine).left)


def lordosis_3d_deg(spine: Mapping[str, MarkedVertebra]) -> np.ndarray:
    """Angle in space between the superior endplate of L1 and the inferior endplate of L5."""
    first, last = marked_level(spine, "L1"), marked_level(spine, "L5")
    return angle_between_deg(endplate(first, "superior").up, endplate(last, "inferior").up)


def cobb(spine: Mapping[str, MarkedVertebra]) -> Cobb:
    """The largest coronal angle between the superior endplate of one vertebra and the inferior endplate of a lower one.

    Cobb 1948; the end vertebrae are those that tilt most towards each other, found among all pairs. For many shapes at once
    the end vertebrae are those of their mean.

    Raises:
        NotMeasurableError: with fewer than two vertebrae, or where one between others is missing: it may be an end vertebra.
    """
    there = [level for level in LEVELS if level in spine]
    if len(there) < 2:
        raise NotMeasurableError("a Cobb angle needs two vertebrae")
    for level in LEVELS[LEVELS.index(there[0]) : LEVELS.index(there[-1])]:
        marked_level(spine, level)
    pairs = list(combinations(there, 2))
    upper, lower = max(pairs, key=lambda pair: abs(float(np.mean(cobb_between_deg(spine, *pair)))))
    return Cobb(cobb_between_deg(spine, upper, lower), upper, lower)


def cobb_between_deg(spine: Mapping[str, MarkedVertebra], upper: str, lower: str) -> np.ndarray:
    """Coronal angle between the superior endplate of `upper` and the inferior endplate of `lower`, positive where the
    curve is convex to the left.
    """
    above, below = endplate(marked_level(spine, upper), "superior"), endplate(marked_level(spine, lower), "inferior")
    return -angle_in_plane_deg(above.up, below.up, regional_axes(spine).front)


def axial_rotation_deg(vertebra: MarkedVertebra) -> np.ndarray:
    """Turn of the vertebra's Y axis about the room's vertical, positive to the left (Stokes 1994).

    Relative to the X-ray system: without the pelvis in view, a turn of the whole person is part of it.
    """
    left = vertebra.axes.left
    return np.degrees(np.arctan2(-left[..., 0], left[..., 1]))


def orientation_deg(vertebra: MarkedVertebra) -> np.ndarray:
    """(lateral, flexion, axial) [..., 3] of the vertebra in the room; see `frames.cardan_rad` and `endplates.body_axes`."""
    return np.degrees(cardan_rad(body_axes(vertebra).rotation))


def regional_axes(spine: Mapping[str, MarkedVertebra]) -> Axes:
    """The lumbar frame of those of L1 to L5 that are there; see `frames.lumbar_axes`."""
    return lumbar_axes([spine[level].axes for level in LEVELS if level in spine])


def marked_level(spine: Mapping[str, MarkedVertebra], level: str) -> MarkedVertebra:
    """A level of a spine.

    Raises:
        NotMeasurableError: if it is missing.
    """
    if level not in spine:
        raise NotMeasurableError(f"{level} is missing")
    return spine[level]
