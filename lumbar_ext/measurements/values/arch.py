"""Measurements of pedicles, canal and processes, in the vertebra's own frame."""

from __future__ import annotations

from typing import Literal

import numpy as np

from lumbar_ext.measurements.marks.vertebra_frame import Axes, unit
from lumbar_ext.measurements.marks.vertebra_marks import MarkedVertebra
from lumbar_ext.measurements.values.frames import dot

LeftRight = Literal["left", "right"]
SAFE_DEPTH_SHARE = 0.8
"""A screw is commonly advanced to 80 % of the way to the anterior cortex."""


def pedicle_axis(vertebra: MarkedVertebra, side: LeftRight) -> np.ndarray:
    """[..., 3] unit normal of the isthmus, the narrowest section of the pedicle, to the front."""
    outline = vertebra[f"{side}_isthmus"]
    offsets = outline - outline.mean(-2, keepdims=True)
    # The outline stays nearly plane when the shape changes: its least-squares normal follows it.
    normal = np.linalg.eigh(np.swapaxes(offsets, -1, -2) @ offsets)[1][..., :, 0]
    return normal * np.where(dot(normal, vertebra.axes.front) >= 0, 1.0, -1.0)[..., None]


def pedicle_width_mm(vertebra: MarkedVertebra, side: LeftRight) -> np.ndarray:
    """Transverse outer diameter of the isthmus: its extent across the vertebra's Z (Zindrick et al., Spine 12, 1987)."""
    axis = pedicle_axis(vertebra, side)
    across = unit(np.cross(vertebra.axes.up, axis))
    return np.ptp(dot(vertebra[f"{side}_isthmus"], across[..., None, :]), axis=-1)


def pedicle_height_mm(vertebra: MarkedVertebra, side: LeftRight) -> np.ndarray:
    """Sagittal outer diameter of the isthmus: its extent along the vertebra's Z in its own plane (Zindrick 1987)."""
    axis = pedicle_axis(vertebra, side)
    up = vertebra.axes.up
    along = unit(up - dot(up, axis)[..., None] * axis)
    return np.ptp(dot(vertebra[f"{side}_isthmus"], along[..., None, :]), axis=-1)


def pedicle_transverse_angle_deg(vertebra: MarkedVertebra, side: LeftRight) -> np.ndarray:
    """Angle of the pedicle's axis to the midsagittal plane in the axial plane, positive where it converges to the front."""
    forward, leftward, _ = _components(pedicle_axis(vertebra, side), vertebra.axes)
    return np.degrees(np.arctan2(-leftward if side == "left" else leftward, forward))


def pedicle_sagittal_angle_deg(vertebra: MarkedVertebra, side: LeftRight) -> np.ndarray:
    """Angle of the pedicle's axis to the axial plane, positive where it rises to the front."""
    forward, leftward, upward = _components(pedicle_axis(vertebra, side), vertebra.axes)
    return np.degrees(np.arctan2(upward, np.hypot(forward, leftward)))


def screw_length_mm(vertebra: MarkedVertebra, side: LeftRight) -> np.ndarray:
    """80 % of the longest straight line through the isthmus from posterior to anterior cortex that leaves room for a 6.5 mm
    screw, or for 90 % of the isthmus where that is narrower.
    """
    entry, leaving = np.moveaxis(vertebra[f"{side}_screw"], -2, 0)
    return SAFE_DEPTH_SHARE * np.linalg.norm(leaving - entry, axis=-1)


def canal_width_mm(vertebra: MarkedVertebra) -> np.ndarray:
    """Smallest transverse width of the canal on axial sections at the pedicles: the interpedicular distance."""
    right, left = np.moveaxis(vertebra["canal_width"], -2, 0)
    return np.abs(dot(left - right, vertebra.axes.left))


def canal_depth_mm(vertebra: MarkedVertebra) -> np.ndarray:
    """Smallest midsagittal distance of the body's posterior wall and the lamina on axial sections at the pedicles."""
    wall, lamina = np.moveaxis(vertebra["canal_depth"], -2, 0)
    return np.linalg.norm(wall - lamina, axis=-1)


def canal_area_mm2(vertebra: MarkedVertebra) -> np.ndarray:
    """Smallest area of the canal on axial sections at the pedicles that bone closes all around."""
    outline = vertebra["canal_outline"]
    p = outline - outline.mean(-2, keepdims=True)
    return np.abs(dot(np.cross(p, np.roll(p, -1, axis=-2)).sum(-2), vertebra.axes.up)) / 2


def transverse_span_mm(vertebra: MarkedVertebra) -> np.ndarray:
    """Distance of the tips of both transverse processes along the vertebra's Y."""
    left, right = np.moveaxis(vertebra["transverse_tips"], -2, 0)
    return dot(left - right, vertebra.axes.left)


def spinous_length_mm(vertebra: MarkedVertebra) -> np.ndarray:
    """Distance of the spinous process's most posterior point from the front of the lamina in the midsagittal plane."""
    return np.linalg.norm(vertebra["spinous_tip"][..., 0, :] - vertebra["canal_depth"][..., 1, :], axis=-1)


def _components(direction: np.ndarray, axes: Axes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forward, leftward and upward part [...] of directions [..., 3]."""
    return dot(direction, axes.front), dot(direction, axes.left), dot(direction, axes.up)
