"""Anatomical variation as displacement fields: what a millimetre of width or a degree of droop does.

Each field is linear in its parameter and smooth over the surface. The fields are written in the vertebra frame (X
front, Y left, Z up) from the landmarks of a level mean, so one definition serves all levels. Standard deviations are
for adults after size is taken out; sources are in the table's comments (Panjabi 1992, Zindrick 1987, Masharawi 2007,
Li 2003, and the cohort of Clouthier 2023).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import LANDMARKS

_RAD_PER_DEG = np.pi / 180  # fields are a unit's change each, and their units are mm and deg


@dataclass(frozen=True)
class Geometry:
    """Coordinates and regions of a level mean that the fields are written with.

    Args:
        points: [V, 3] vertices in the vertebra frame, mm.
        landmarks: [7, 3] landmarks, mm.
    """

    points: np.ndarray
    landmarks: np.ndarray

    def landmark(self, name: str) -> np.ndarray:
        """[3] a landmark by its name in `LANDMARKS`, vertebra frame, mm."""
        return self.landmarks[LANDMARKS.index(name)]

    @property
    def x(self) -> np.ndarray:
        """[V] coordinates to the front, mm."""
        return self.points[:, 0]

    @property
    def y(self) -> np.ndarray:
        """[V] coordinates to the left, mm."""
        return self.points[:, 1]

    @property
    def z(self) -> np.ndarray:
        """[V] coordinates upwards, mm."""
        return self.points[:, 2]

    @property
    def wall_x(self) -> float:
        """x of the posterior wall of the body, taken 3 mm in front of the pedicle isthmus."""
        return float((self.landmark("left_pedicle")[0] + self.landmark("right_pedicle")[0]) / 2 + 3.0)

    @property
    def half_height(self) -> float:
        """Half the distance of the endplate centres, mm."""
        return float(self.landmark("superior_endplate")[2] - self.landmark("inferior_endplate")[2]) / 2

    @property
    def body(self) -> np.ndarray:
        """[V] 1 in the vertebral body, 0 in the arch."""
        return step(self.x, self.wall_x, 1.5)

    @property
    def body_extent(self) -> np.ndarray:
        """[3] depth, width and mid x of the body, mm."""
        inside = self.points[self.x > self.wall_x]
        low, high = inside.min(axis=0), inside.max(axis=0)
        return np.array([high[0] - low[0], high[1] - low[1], (high[0] + low[0]) / 2])

    def side(self, sign: int) -> np.ndarray:
        """[V] 1 on the left (+1) or right (-1) of the mid plane."""
        return step(sign * self.y, 0.0, 2.5)

    def transverse(self, sign: int) -> tuple[np.ndarray, float]:
        """[V] mm travelled outward along the transverse process from its root (0 before it), and its length."""
        tip = sign * self.landmark("left_transverse_process" if sign > 0 else "right_transverse_process")[1]
        root = 0.53 * tip
        return ramp(sign * self.y - root, 2.0) * (1 - self.body), tip - root

    @property
    def spinous(self) -> tuple[np.ndarray, float]:
        """[V] mm travelled backward along the spinous process from its root, and its length."""
        tip = -self.landmark("spinous_process")[0]
        root = tip - 26.0
        return ramp(-self.x - root, 2.5) * bump(self.y, 0.0, 11.0), tip - root

    def facet(self, sign: int, up: int) -> np.ndarray:
        """[V] region of the left or right, superior (+1) or inferior (-1) articular process."""
        centre_x = self.landmark("left_pedicle")[0] - (10.0 if up > 0 else 20.0)
        vertical = step(up * self.z, 9.0 if up > 0 else 8.0, 2.5)
        lateral = bump(sign * self.y, 15.0, 9.0)
        return vertical * lateral * bump(self.x, centre_x, 8.0) * (1 - self.body)


def step(value: np.ndarray, at: float, width: float) -> np.ndarray:
    """Smooth step from 0 to 1 at `at`."""
    return 0.5 * (1 + np.tanh((value - at) / width))


def ramp(value: np.ndarray, width: float) -> np.ndarray:
    """A smooth max(value, 0): it bends over about `width`, in the unit of `value` (softplus)."""
    return width * np.logaddexp(0.0, value / width)


def bump(value: np.ndarray, centre: float, sigma: float) -> np.ndarray:
    """A Gaussian of height 1 about `centre`, all in one unit."""
    return np.exp(-0.5 * ((value - centre) / sigma) ** 2)


def _field(x: np.ndarray | float = 0.0, y: np.ndarray | float = 0.0, z: np.ndarray | float = 0.0) -> np.ndarray:
    """Stacks components to [V, 3]."""
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1)


def _endplate_depth(g: Geometry, up: int) -> np.ndarray:
    """One mm deeper concavity of an endplate: a dome that ends at the rim."""
    depth, width, mid_x = g.body_extent
    radius2 = ((g.x - mid_x) / (0.5 * depth)) ** 2 + (g.y / (0.5 * width)) ** 2
    return _field(z=-up * np.clip(1 - radius2, 0, None) ** 2 * step(up * g.z, 0.55 * g.half_height, 3.0) * g.body)


def _rim(g: Geometry, up: int) -> np.ndarray:
    """One mm of lipping of the rim of an endplate."""
    depth, width, mid_x = g.body_extent
    scaled = np.stack([(g.x - mid_x) / (0.5 * depth), g.y / (0.5 * width)], axis=1)
    radius = np.linalg.norm(scaled, axis=1)
    outward = scaled / np.maximum(radius, 1e-6)[:, None]
    weight = bump(up * g.z, g.half_height, 3.5) * step(radius, 0.75, 0.1) * g.body
    return _field(weight * outward[:, 0], weight * outward[:, 1])


def _waist(g: Geometry) -> np.ndarray:
    """One mm narrower waist of the body on each side."""
    depth, width, mid_x = g.body_extent
    across = (1 - np.clip(g.z / g.half_height, -1, 1) ** 2) * g.body
    return _field(-across * np.tanh((g.x - mid_x) / (0.25 * depth)), -across * np.tanh(g.y / (0.25 * width)))


def _transverse_length(g: Geometry, sign: int) -> np.ndarray:
    """One mm longer transverse process, along its own direction."""
    travelled, length = g.transverse(sign)
    tip = g.landmark("left_transverse_process" if sign > 0 else "right_transverse_process")
    slope = np.array([0.25 * np.sign(tip[0] - g.landmark("left_pedicle")[0]), sign, 0.0])
    return (travelled / length)[:, None] * slope


def _pedicle_width(g: Geometry) -> np.ndarray:
    """One mm wider pedicles, both sides alike, the inner and outer walls moving by half a mm."""
    total = np.zeros_like(g.points)
    for sign, name in ((1, "left_pedicle"), (-1, "right_pedicle")):
        centre = g.landmark(name)
        near = bump(g.x, centre[0], 5.0) * bump(g.y, centre[1], 9.0) * g.side(sign)
        total += _field(y=0.5 * near * np.tanh((g.y - centre[1]) / 3.5))
    return total


def _pedicle_height(g: Geometry) -> np.ndarray:
    """One mm higher pedicles."""
    centre = g.landmark("left_pedicle")
    near = bump(g.x, centre[0], 5.0) * (1 - bump(g.y, 0.0, 5.0))
    return _field(z=0.5 * near * np.tanh((g.z - centre[2]) / 5.0) * bump(g.z, centre[2], 14.0))


def _pedicle_angle(g: Geometry) -> np.ndarray:
    """One degree more convergence to the front: pedicles turn about their centres, and the arch behind them widens."""
    reach_mm = 6.0
    total = np.zeros_like(g.points)
    for sign, name in ((1, "left_pedicle"), (-1, "right_pedicle")):
        centre = g.landmark(name)
        near = bump(g.x, centre[0], reach_mm) * bump(g.y, centre[1], 9.0) * g.side(sign)
        total += _field(x=sign * _RAD_PER_DEG * near * (g.y - centre[1]))
        carried = g.side(sign) * np.abs(_arch_sides(g)) * reach_mm * np.tanh((centre[0] - g.x) / reach_mm)
        total += _field(y=sign * _RAD_PER_DEG * carried)
    return total


def _facet_turn(g: Geometry) -> np.ndarray:
    """One degree more coronal facets on both sides: articular processes turn about their vertical axes."""
    total = np.zeros_like(g.points)
    for sign in (1, -1):
        for up in (1, -1):
            centre_x = g.landmark("left_pedicle")[0] - (10.0 if up > 0 else 20.0)
            weight = sign * _RAD_PER_DEG * g.facet(sign, up)
            total += _field(-weight * (g.y - sign * 15.0), weight * (g.x - centre_x))
    return total


@dataclass(frozen=True)
class Parameter:
    """One way a vertebra varies.

    Args:
        name: what it is, with its unit.
        sd: standard deviation in that unit, size removed.
        level_correlation: correlation between levels of a subject.
        field: displacement [V, 3] of one unit.
    """

    name: str
    sd: float
    level_correlation: float
    field: Callable[[Geometry], np.ndarray]


def _spinous_component(axis: int, angular: bool) -> Callable[[Geometry], np.ndarray]:
    """Motion of the spinous process along an axis: one mm at the tip, or one degree about its root."""

    def field(g: Geometry) -> np.ndarray:
        travelled, length = g.spinous
        amount = travelled * (_RAD_PER_DEG if angular else 1 / length)
        return amount[:, None] * np.eye(3)[axis] * (-1.0 if axis != 1 else 1.0)

    return field


def _spinous_scale(axis: int) -> Callable[[Geometry], np.ndarray]:
    """One mm more width (axis 1) or height (axis 2) of the spinous process."""

    def field(g: Geometry) -> np.ndarray:
        travelled, length = g.spinous
        weight = 0.5 * np.tanh(travelled / (0.35 * length))
        centre, scale = (0.0, 3.0) if axis == 1 else (g.landmark("spinous_process")[2], 8.0)
        return (weight * np.tanh((g.points[:, axis] - centre) / scale))[:, None] * np.eye(3)[axis]

    return field


def _transverse_angle(sign: int, axis: int) -> Callable[[Geometry], np.ndarray]:
    """One degree of upward (axis 2) or backward (axis 0) inclination of a transverse process about its root."""
    return lambda g: (g.transverse(sign)[0] * _RAD_PER_DEG)[:, None] * (np.eye(3)[2] if axis == 2 else -np.eye(3)[0])


def _transverse_thickness(sign: int) -> Callable[[Geometry], np.ndarray]:
    """One mm higher transverse process."""

    def field(g: Geometry) -> np.ndarray:
        travelled, length = g.transverse(sign)
        tip = g.landmark("left_transverse_process" if sign > 0 else "right_transverse_process")
        return _field(z=0.5 * np.tanh(travelled / (0.3 * length)) * np.tanh((g.z - tip[2]) / 4.0))

    return field


def _facet_length(sign: int, up: int) -> Callable[[Geometry], np.ndarray]:
    """One mm longer articular process."""
    return lambda g: _field(z=up * g.facet(sign, up))


def _arch_shift(g: Geometry) -> np.ndarray:
    """One mm deeper canal: the arch moves back, the pedicles lengthen."""
    return _field(x=-step(-g.x, -(g.wall_x - 6.0), 3.0))


def _arch_sides(g: Geometry) -> np.ndarray:
    """[V] 1 on the left and -1 on the right half of the arch, 0 in the body and in the spinous process."""
    behind_body = step(-g.x, -(g.wall_x + 2.0), 3.0)
    return behind_body * np.tanh(g.y / 8.0) * (1 - step(-g.x, -g.landmark("spinous_process")[0] - 30.0, 5.0))


def _arch_width(g: Geometry) -> np.ndarray:
    """One mm wider canal: pedicles, facets and transverse processes move apart."""
    return _field(y=0.5 * _arch_sides(g))


PARAMETERS: tuple[Parameter, ...] = (
    # Body: endplate width and depth SD about 3-4 mm, of which size explains most (Panjabi 1992; L5 CT series: depth
    # 3.5 mm).
    Parameter("body_width_mm", 1.5, 0.7, lambda g: _field(y=g.body * g.y / g.body_extent[1])),
    Parameter("body_depth_mm", 1.4, 0.7, lambda g: _field(x=ramp(g.x - g.wall_x, 1.0) / g.body_extent[0])),
    Parameter("body_height_mm", 1.2, 0.7, lambda g: _field(z=g.body * g.z / (2 * g.half_height))),
    # Wedge SD about 3 deg in the sagittal plane (Masharawi 2007), less in the frontal plane.
    Parameter(
        "sagittal_wedge_deg",
        2.5,
        0.3,
        lambda g: _field(z=_RAD_PER_DEG * g.body * (g.x - g.body_extent[2]) * g.z / (2 * g.half_height)),
    ),
    Parameter(
        "frontal_wedge_deg", 1.0, 0.2, lambda g: _field(z=_RAD_PER_DEG * g.body * g.y * g.z / (2 * g.half_height))
    ),
    # Concavity 1.0-1.7 mm superior, 2-3 mm inferior; the average mesh has less, so the spread is generous.
    Parameter("superior_concavity_mm", 0.8, 0.5, lambda g: _endplate_depth(g, +1)),
    Parameter("inferior_concavity_mm", 0.9, 0.5, lambda g: _endplate_depth(g, -1)),
    Parameter("superior_rim_mm", 0.7, 0.5, lambda g: _rim(g, +1)),
    Parameter("inferior_rim_mm", 0.7, 0.5, lambda g: _rim(g, -1)),
    Parameter("waist_mm", 0.7, 0.6, _waist),
    # Pedicle width SD 1.5-2.8 mm, height 1.5 mm (Zindrick 1987 and CT series).
    Parameter("pedicle_width_mm", 1.3, 0.6, _pedicle_width),
    Parameter("pedicle_height_mm", 1.0, 0.5, _pedicle_height),
    # Transverse angle SD 4.9-7.2 deg at L2 to L5 (CT series, PMID 8087710), part of it in the real deviations.
    Parameter("pedicle_angle_deg", 3.5, 0.6, _pedicle_angle),
    # Span SD 5-8 mm; left-right difference 4 +- 3 mm.
    Parameter("left_transverse_length_mm", 2.6, 0.5, lambda g: _transverse_length(g, +1)),
    Parameter("right_transverse_length_mm", 2.6, 0.5, lambda g: _transverse_length(g, -1)),
    Parameter("left_transverse_elevation_deg", 5.0, 0.4, _transverse_angle(+1, 2)),
    Parameter("right_transverse_elevation_deg", 5.0, 0.4, _transverse_angle(-1, 2)),
    Parameter("left_transverse_sweep_deg", 5.0, 0.4, _transverse_angle(+1, 0)),
    Parameter("right_transverse_sweep_deg", 5.0, 0.4, _transverse_angle(-1, 0)),
    Parameter("left_transverse_height_mm", 0.9, 0.4, _transverse_thickness(+1)),
    Parameter("right_transverse_height_mm", 0.9, 0.4, _transverse_thickness(-1)),
    Parameter("spinous_length_mm", 2.8, 0.5, _spinous_component(0, angular=False)),
    Parameter("spinous_inclination_deg", 4.5, 0.4, _spinous_component(2, angular=True)),
    Parameter("spinous_deviation_deg", 2.5, 0.3, _spinous_component(1, angular=True)),
    Parameter("spinous_width_mm", 1.0, 0.6, _spinous_scale(1)),
    Parameter("spinous_height_mm", 2.0, 0.5, _spinous_scale(2)),
    # Canal depth 2.1 mm, width 3.1 mm SD at L5, size included.
    Parameter("canal_depth_mm", 1.2, 0.7, _arch_shift),
    Parameter("canal_width_mm", 1.6, 0.7, _arch_width),
    Parameter("facet_turn_deg", 6.0, 0.6, _facet_turn),
    Parameter("left_superior_facet_mm", 1.0, 0.4, _facet_length(+1, +1)),
    Parameter("right_superior_facet_mm", 1.0, 0.4, _facet_length(-1, +1)),
    Parameter("left_inferior_facet_mm", 1.3, 0.4, _facet_length(+1, -1)),
    Parameter("right_inferior_facet_mm", 1.3, 0.4, _facet_length(-1, -1)),
)
"""The parameters of the widened population. Left and right are drawn apart; `widening.draw` correlates them."""


def displacement_fields(means_mm: np.ndarray, landmarks_mm: np.ndarray) -> np.ndarray:
    """Fields of one standard deviation of every parameter at every level.

    Args:
        means_mm: [5, V, 3] level means, vertebra frames.
        landmarks_mm: [5, 7, 3] their landmarks.

    Returns:
        [P, 5, V, 3] float32, mm.
    """
    levels = [Geometry(points, landmarks) for points, landmarks in zip(means_mm, landmarks_mm, strict=True)]
    return np.stack([np.stack([p.sd * p.field(level) for level in levels]) for p in PARAMETERS]).astype(np.float32)
