"""Measurements of a motion segment: two neighbouring vertebrae and the disc between them.

Disc heights and displacement are measured along and across the disc's own middle plane, the bisector of the two facing
endplates, after Frobin et al. (Precision measurement of disc height, vertebral height and sagittal plane displacement from
lateral radiographic views of the lumbar spine, Clin Biomech 12, 1997), so that neither a slip nor a tilt changes a height.
"""

from __future__ import annotations

import numpy as np

from lumbar_ext.measurements.marks.vertebra_frame import unit
from lumbar_ext.measurements.marks.vertebra_marks import MarkedVertebra
from lumbar_ext.measurements.values.endplates import Endplate, body_axes, endplate
from lumbar_ext.measurements.values.frames import angle_in_plane_deg, cardan_rad, dot, relative_rotation

MEYERDING_SHARES = (0.25, 0.50, 0.75, 1.00)
"""Shares of the lower endplate's depth at which Meyerding's grades II, III, IV and V begin."""


def anterior_disc_height_mm(upper: MarkedVertebra, lower: MarkedVertebra) -> np.ndarray:
    """Distance of the facing anterior midsagittal rim points across the disc's middle plane."""
    above, below = _facing(upper, lower)
    return dot(above.anterior_mm - below.anterior_mm, _disc_up(above, below))


def middle_disc_height_mm(upper: MarkedVertebra, lower: MarkedVertebra) -> np.ndarray:
    """Distance of the facing endplate surfaces, at the middle of each, across the disc's middle plane."""
    above, below = _facing(upper, lower)
    return dot(upper["inferior_middle"][..., 0, :] - lower["superior_middle"][..., 0, :], _disc_up(above, below))


def posterior_disc_height_mm(upper: MarkedVertebra, lower: MarkedVertebra) -> np.ndarray:
    """Distance of the facing posterior midsagittal rim points across the disc's middle plane."""
    above, below = _facing(upper, lower)
    return dot(above.posterior_mm - below.posterior_mm, _disc_up(above, below))


def disc_angle_deg(upper: MarkedVertebra, lower: MarkedVertebra) -> np.ndarray:
    """Sagittal angle between the facing endplates, positive where the disc is taller in front."""
    above, below = _facing(upper, lower)
    return angle_in_plane_deg(above.up, below.up, _left(upper, lower))


def segmental_lordosis_deg(upper: MarkedVertebra, lower: MarkedVertebra) -> np.ndarray:
    """Sagittal angle from the superior endplate of the upper to the inferior endplate of the lower vertebra."""
    return angle_in_plane_deg(endplate(upper, "superior").up, endplate(lower, "inferior").up, _left(upper, lower))


def lumbosacral_lordosis_deg(fifth: MarkedVertebra, sacrum: MarkedVertebra) -> np.ndarray:
    """The same of L5-S1, to the superior endplate of S1."""
    return angle_in_plane_deg(endplate(fifth, "superior").up, endplate(sacrum, "superior").up, _left(fifth, sacrum))


def sagittal_slip_mm(upper: MarkedVertebra, lower: MarkedVertebra) -> np.ndarray:
    """Displacement of the upper body over the lower one, positive to the front.

    The posterior inferior corner of the upper body, seen along the lower superior endplate from its posterior corner
    (Meyerding 1932; Taillard 1954).
    """
    above, below = _facing(upper, lower)
    return dot(above.posterior_mm - below.posterior_mm, below.front)


def sagittal_slip_percent(upper: MarkedVertebra, lower: MarkedVertebra) -> np.ndarray:
    """The same in percent of the depth of the lower vertebra's superior endplate, the classic denominator."""
    return 100 * sagittal_slip_mm(upper, lower) / endplate(lower, "superior").depth_mm


def lateral_slip_mm(upper: MarkedVertebra, lower: MarkedVertebra) -> np.ndarray:
    """Displacement of the upper inferior endplate's centre over the lower superior one's, positive to the left."""
    above, below = _facing(upper, lower)
    return dot(above.centre_mm - below.centre_mm, below.left)


def meyerding_grade(slip_percent: float) -> int:
    """Meyerding's grade of a forward slip: I below 25 % of the endplate's depth, II to 50, III to 75, IV to 100, V beyond.

    Args:
        slip_percent: signed; 0 is returned below 5 %, which normal segments show (see `reference_ranges.json`).
    """
    if slip_percent < 5:
        return 0
    return 1 + int(sum(slip_percent >= 100 * share for share in MEYERDING_SHARES))


def relative_angles_deg(upper: MarkedVertebra, lower: MarkedVertebra) -> np.ndarray:
    """(lateral, flexion, axial) [..., 3] of the upper vertebra in the lower one's frame; see `cardan_rad`, `body_axes`."""
    return np.degrees(cardan_rad(relative_rotation(body_axes(upper), body_axes(lower))))


def lumbosacral_angles_deg(fifth: MarkedVertebra, sacrum: MarkedVertebra) -> np.ndarray:
    """(lateral, flexion, axial) [..., 3] of L5 in the frame of S1, whose Z stands on its superior endplate."""
    return np.degrees(cardan_rad(relative_rotation(body_axes(fifth), sacrum.axes)))


def _facing(upper: MarkedVertebra, lower: MarkedVertebra) -> tuple[Endplate, Endplate]:
    return endplate(upper, "inferior"), endplate(lower, "superior")


def _disc_up(above: Endplate, below: Endplate) -> np.ndarray:
    return unit(above.up + below.up)


def _left(upper: MarkedVertebra, lower: MarkedVertebra) -> np.ndarray:
    return unit(upper.axes.left + lower.axes.left)
