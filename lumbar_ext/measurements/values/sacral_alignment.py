"""Alignment of the lumbar spine over S1, whose superior endplate its landmarks give, and of T12, whose centre they give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.landmarks.hip_axis import NOT_MARKED
from lumbar_ext.measurements.marks.sacral_marks import HIPS
from lumbar_ext.measurements.marks.vertebra_marks import MarkedVertebra, NotMeasurableError
from lumbar_ext.measurements.values.endplates import endplate
from lumbar_ext.measurements.values.frames import angle_in_plane_deg, dot
from lumbar_ext.measurements.values.spine_frame import marked_level, regional_axes

LEAST_LORDOSIS_DEG = 10.0
"""Of L1-S1: below it a share of the lordosis says nothing."""

_Spine = Mapping[str, MarkedVertebra]


def sacrum_of(spine: _Spine) -> MarkedVertebra:
    """S1, which is named by counting down to it.

    Raises:
        NotMeasurableError: if it is missing, or L5 is, so that what was located may be another vertebra's endplate.
    """
    sacrum = marked_level(spine, "S1")
    if "L5" not in spine:
        raise NotMeasurableError("L5 is missing, so that the endplate below may not be that of S1")
    return sacrum


def sacrum_under_l5(spine: _Spine) -> MarkedVertebra:
    """S1 where it is L5's neighbour.

    Raises:
        NotMeasurableError: as `sacrum_of`, and if there is a sixth lumbar vertebra.
    """
    sacrum = sacrum_of(spine)
    if "L6" in spine:
        raise NotMeasurableError("a sixth lumbar vertebra lies between L5 and S1")
    return sacrum


def sacral_lordosis_deg(spine: _Spine, upper: str) -> np.ndarray:
    """Angle from the superior endplate of `upper` to that of S1 in the lumbar sagittal plane, positive for lordosis."""
    above, below = endplate(marked_level(spine, upper), "superior"), endplate(sacrum_under_l5(spine), "superior")
    return angle_in_plane_deg(above.up, below.up, regional_axes(spine).left)


def lordosis_distribution_percent(spine: _Spine) -> np.ndarray:
    """Share of the lordosis L1-S1 that lies in L4-S1.

    Raises:
        NotMeasurableError: if L1-S1 is below `LEAST_LORDOSIS_DEG`, or cannot be had.
    """
    whole = sacral_lordosis_deg(spine, "L1")
    if float(np.mean(whole)) < LEAST_LORDOSIS_DEG:
        raise NotMeasurableError(f"lordosis L1-S1 is below {LEAST_LORDOSIS_DEG:g} deg, of which there are no shares")
    return 100 * sacral_lordosis_deg(spine, "L4") / whole


def sacral_slope_deg(spine: _Spine) -> np.ndarray:
    """Angle of the superior endplate of S1 to the horizontal in the lumbar sagittal plane, positive where it falls to the
    front.
    """
    plate, lumbar = endplate(sacrum_of(spine), "superior"), regional_axes(spine)
    return angle_in_plane_deg(lumbar.up, plate.up, lumbar.left)


def pelvic_incidence_deg(spine: _Spine) -> np.ndarray:
    """Angle in the lumbar sagittal plane from the line of the hips and the centre of S1's superior endplate to the normal of
    this; it is the sum of pelvic tilt and sacral slope.
    """
    plate = endplate(sacrum_of(spine), "superior")
    return angle_in_plane_deg(_from_hips(spine), plate.up, regional_axes(spine).left)


def pelvic_tilt_deg(spine: _Spine) -> np.ndarray:
    """Angle in the lumbar sagittal plane of the same line to the vertical, positive where S1 stands behind the hips."""
    way, lumbar = _from_hips(spine), regional_axes(spine)
    return angle_in_plane_deg(way, lumbar.up, lumbar.left)


def _from_hips(spine: _Spine) -> np.ndarray:
    """[..., 3] from the middle of the femoral heads to the centre of S1's superior endplate.

    Raises:
        NotMeasurableError: as `sacrum_of`, and if the hips are not known.
    """
    centre = endplate(sacrum_of(spine), "superior").centre_mm
    if HIPS not in spine:
        raise NotMeasurableError(NOT_MARKED)
    return centre - spine[HIPS]["middle"][..., 0, :]


def t12_of(spine: _Spine) -> MarkedVertebra:
    """T12, of which the centre is known, over an S1 that is known.

    Raises:
        NotMeasurableError: as `sacrum_of`, and if T12 is missing, or L1 is, so that what was located may be another vertebra.
    """
    t12 = marked_level(spine, "T12")
    sacrum_of(spine)
    if "L1" not in spine:
        raise NotMeasurableError("L1 is missing, so that the vertebra above may not be T12")
    return t12


def t12_offset_mm(spine: _Spine, axis: str) -> np.ndarray:
    """How far T12's centre stands beside the vertical through the centre of S1's endplate.

    Args:
        spine: with T12 and S1.
        axis: "front" or "left" of the lumbar frame, in which it is positive.

    Raises:
        NotMeasurableError: as `t12_of`.
    """
    t12, plate = t12_of(spine), endplate(sacrum_of(spine), "superior")
    return dot(t12.axes.origin_mm - plate.centre_mm, getattr(regional_axes(spine), axis))


@dataclass(frozen=True)
class Apex:
    """The vertebra or disc that stands out most.

    Args:
        name: such as "L3" or "L3-L4".
        place_mm: [..., 3] its centre, world mm.
        beside_mm: [...] how far it lies beside the vertical through the centre of S1's endplate.
    """

    name: str
    place_mm: np.ndarray
    beside_mm: np.ndarray


def apex(spine: _Spine, axis: str) -> Apex:
    """The vertebra or disc that stands out most from the vertical through the centre of S1's endplate.

    Discs stand midway between the facing centres. For many shapes at once the apex is that of their mean.

    Args:
        spine: with L1 to L5 and S1.
        axis: "front": the one farthest in front counts; "left": the one farthest to either side. Distances are positive along
            it.

    Raises:
        NotMeasurableError: as `sacrum_under_l5`, and if one of L1 to L5 is missing: it, or a sixth one, may be the apex.
    """
    vertebrae = [marked_level(spine, level) for level in LEVELS]
    along, plate = getattr(regional_axes(spine), axis), endplate(sacrum_under_l5(spine), "superior")
    places = {level: own.axes.origin_mm for level, own in zip(LEVELS, vertebrae, strict=True)}
    for (upper, above), (lower, below) in pairwise(zip(LEVELS, vertebrae, strict=True)):
        facing = endplate(above, "inferior").centre_mm, endplate(below, "superior").centre_mm
        places[f"{upper}-{lower}"] = (facing[0] + facing[1]) / 2
    beside = {name: dot(place - plate.centre_mm, along) for name, place in places.items()}
    rank = (lambda name: float(np.mean(beside[name]))) if axis == "front" else (lambda name: abs(np.mean(beside[name])))
    name = max(beside, key=rank)
    return Apex(name, places[name], beside[name])
