"""Alignment of the whole lumbar spine."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.measurements.marks.vertebra_marks import MarkedVertebra, NotMeasurableError
from lumbar_ext.measurements.values.endplates import Side, body_axes, endplate
from lumbar_ext.measurements.values.frames import angle_between_deg, angle_in_plane_deg, cardan_rad, dot
from lumbar_ext.measurements.values.sacral_alignment import apex, sacrum_of, t12_of
from lumbar_ext.measurements.values.spine_frame import marked_level, regional_axes

LEAST_COBB_DEG = 10.0
"""A curve below is not called scoliosis (Scoliosis Research Society); which vertebrae are its ends is then chance."""


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


class LineKind(StrEnum):
    """What a line on a film is: an endplate or the horizontal, between which angles are told; the vertical over S1; how far
    a place lies beside that.
    """

    DIRECTION = "direction"
    VERTICAL = "vertical"
    OFFSET = "offset"


@dataclass(frozen=True)
class EndplateLine:
    """An endplate as one draws it on a film to read an angle, and what else one draws with it.

    Args:
        name: such as "L1 superior endplate".
        centre_mm: [3] world mm; of an offset, the place that lies beside the vertical.
        along: [3] unit vector, of an endplate in it and in the plane of the angle; of an offset, towards the vertical.
        kind: what it is.
        reach_mm: how far it is drawn from the centre against and along `along`; None for endplates, which are drawn as far as
            the picture likes.
    """

    name: str
    centre_mm: np.ndarray
    along: np.ndarray
    kind: LineKind = LineKind.DIRECTION
    reach_mm: tuple[float, float] | None = None

    def points_mm(self, half_mm: float) -> np.ndarray:
        """Both ends [2, 3] of the line, `half_mm` away from the centre where it does not say itself how far it reaches."""
        before, beyond = self.reach_mm or (half_mm, half_mm)
        return self.centre_mm + np.array([[-before], [beyond]]) * self.along


SACRAL_VERTICAL, T12_OFFSET, APEX_OFFSET = "vertical over S1", "T12", "apex"
"""Names of the lines beside endplates."""

_BELOW_MM, _ABOVE_MM = 25.0, 20.0
"""How far the vertical reaches below S1's endplate and above the highest place that is known."""


def endplate_lines(spine: Mapping[str, MarkedVertebra]) -> dict[str, tuple[EndplateLine, ...]]:
    """By view, what one draws on the film: endplates of its angle, the vertical over S1, and what lies beside that.

    On the AP film stand the Cobb angle's endplates, on the lateral one those of the lordosis. Lordosis reaches to S1 where
    that was located next to L5, and the horizontal of the sacral slope is drawn too; else to L5. The vertical goes through the
    centre of S1's endplate; T12's centre lies beside it, and the apex: of the lordosis, and on the AP film of a curve of
    `LEAST_COBB_DEG`. What cannot be measured is not drawn.
    """
    lines: dict[str, tuple[EndplateLine, ...]] = {"ap": (), "lat": ()}
    curved = False
    with suppress(NotMeasurableError):
        curve = cobb(spine)
        curved = abs(float(np.mean(curve.angle_deg))) >= LEAST_COBB_DEG
        lines["ap"] = (_line(spine, curve.upper, "superior", "left"), _line(spine, curve.lower, "inferior", "left"))
    with suppress(NotMeasurableError):
        lines["lat"] = _sagittal_lines(spine)
    return {"ap": lines["ap"] + _beside(spine, "left", curved), "lat": lines["lat"] + _beside(spine, "front", True)}


def _beside(spine: Mapping[str, MarkedVertebra], axis: str, with_apex: bool) -> tuple[EndplateLine, ...]:
    """The vertical over S1, and T12 and the apex beside it along an axis of the lumbar frame."""
    places: dict[str, np.ndarray] = {}
    try:
        foot = endplate(sacrum_of(spine), "superior").centre_mm
    except NotMeasurableError:
        return ()
    with suppress(NotMeasurableError):
        places[T12_OFFSET] = t12_of(spine).axes.origin_mm
    if with_apex:
        with suppress(NotMeasurableError):
            places[APEX_OFFSET] = apex(spine, axis).place_mm
    lumbar = regional_axes(spine)
    tops = [*(spine[level].axes.origin_mm for level in LEVELS if level in spine), *places.values()]
    height_mm = max(float(dot(top - foot, lumbar.up)) for top in tops) + _ABOVE_MM
    vertical = EndplateLine(SACRAL_VERTICAL, foot, lumbar.up, LineKind.VERTICAL, (_BELOW_MM, height_mm))
    offsets = []
    for name, place in places.items():
        way = foot + dot(place - foot, lumbar.up) * lumbar.up - place
        length_mm = float(np.linalg.norm(way))
        offsets.append(EndplateLine(name, place, way / max(length_mm, 1e-9), LineKind.OFFSET, (0.0, length_mm)))
    return (vertical, *offsets)


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
