"""The trunk around the spine: skin, fat, muscle, lungs, organs and gas, in the person's frame.

Ellipsoids carry a `contrast` in units of tissue differences, resolved by `radiograph`: see `TissueContrast`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.geometry import RigidTransform, euler_rotation
from lumbar_ext.simulation.ellipsoids import Ellipsoids
from lumbar_ext.simulation.parameters import TrunkParameters
from lumbar_ext.simulation.solid import Solid

_SECTIONS = 36
_POINTS = 72
_HALF_LENGTH_MM = 340.0


@dataclass(frozen=True)
class Trunk:
    """Soft tissues in the person's frame (origin at L3).

    Args:
        skin: outer surface.
        muscle: inside of the subcutaneous fat.
        half_depth_mm, half_width_mm: of the muscle surface at the waist.
        centre_x_mm: how far the trunk's middle lies before L3.
        lungs: in place of soft tissue.
        gas: in place of soft tissue.
        fat: in place of soft tissue.
        muscles: soft tissue in place of fat.
        calcifications: cortical bone in place of soft tissue.
    """

    skin: Solid
    muscle: Solid
    half_depth_mm: float
    half_width_mm: float
    centre_x_mm: float
    lungs: Ellipsoids
    gas: Ellipsoids
    fat: Ellipsoids
    muscles: Ellipsoids
    calcifications: Ellipsoids


def sample_trunk(
    rng: np.random.Generator, spine_mm: np.ndarray, size_ratio: float, parameters: TrunkParameters | None = None
) -> Trunk:
    """Draws a trunk around a spine.

    Args:
        rng: the source of randomness.
        spine_mm: [N, 3] body centres from the top to the sacrum, person's frame, L3 near the origin.
        size_ratio: of the person's skeleton against the mean.
        parameters: ranges, the defaults if omitted.
    """
    parameters = parameters or TrunkParameters()
    half_width = rng.uniform(*parameters.width_mm) / 2 * size_ratio
    half_depth = np.clip(half_width * rng.uniform(*parameters.depth_ratio), *(np.array(parameters.depth_mm) / 2))
    fat = rng.uniform(*parameters.fat_mm) * (half_width / 170)
    # The back is nearest to the spine: skin behind the spinous processes, some 70 mm behind the body centres.
    back = rng.uniform(*parameters.back_mm) + 0.5 * fat
    centre_x = half_depth - back
    profile = _Profile.sample(rng, parameters)
    skin = _outline(spine_mm, profile, half_depth, half_width, centre_x)
    muscle = _outline(spine_mm, profile, half_depth - fat, half_width - 1.2 * fat, centre_x)
    inner_depth, inner_width = half_depth - fat, half_width - 1.2 * fat
    room = np.array([inner_depth, inner_width])
    return Trunk(
        skin=skin,
        muscle=muscle,
        half_depth_mm=float(inner_depth),
        half_width_mm=float(inner_width),
        centre_x_mm=float(centre_x),
        lungs=_lungs(rng, room, centre_x, parameters),
        gas=_gas(rng, room, centre_x, parameters),
        fat=_fat(rng, room, centre_x, parameters),
        muscles=_muscles(rng, spine_mm, room, centre_x, size_ratio),
        calcifications=_calcifications(rng, spine_mm, parameters),
    )


@dataclass(frozen=True)
class _Profile:
    """How the outline changes along z: relative widths at hips and chest, and the shape of a section."""

    hip_width: float
    chest_width: float
    belly_depth: float
    chest_depth: float
    exponent: float
    back_flatness: float

    @classmethod
    def sample(cls, rng: np.random.Generator, parameters: TrunkParameters) -> _Profile:
        return cls(
            hip_width=rng.uniform(*parameters.hip_ratio),
            chest_width=rng.uniform(*parameters.chest_ratio),
            belly_depth=rng.uniform(0.92, 1.12),
            chest_depth=rng.uniform(0.95, 1.15),
            exponent=rng.uniform(2.3, 3.1),
            back_flatness=rng.uniform(0.15, 0.4),
        )

    def width(self, z_mm: np.ndarray) -> np.ndarray:
        """Relative half width at heights z."""
        return np.interp(z_mm, (-340, -150, 10, 160, 340), (self.hip_width, self.hip_width, 1.0, self.chest_width, self.chest_width))

    def depth(self, z_mm: np.ndarray) -> np.ndarray:
        """Relative half depth at heights z."""
        return np.interp(z_mm, (-340, -140, -30, 60, 180, 340), (1.05, 1.05, self.belly_depth, 1.0, self.chest_depth, 1.1))


def _outline(spine_mm: np.ndarray, profile: _Profile, half_depth: float, half_width: float, centre_x: float) -> Solid:
    """A closed stack of superelliptic sections that follows the spine."""
    z = np.linspace(-_HALF_LENGTH_MM, _HALF_LENGTH_MM, _SECTIONS)
    order = np.argsort(spine_mm[:, 2])
    # The skin follows the lean of the trunk, and a part of the lordosis.
    slope = np.polyfit(spine_mm[:, 2], spine_mm[:, :2], 1)[0]
    along = np.stack([np.interp(z, spine_mm[order, 2], spine_mm[order, axis]) for axis in range(2)], axis=1)
    beyond = (z - np.clip(z, spine_mm[:, 2].min(), spine_mm[:, 2].max()))[:, None] * slope
    middle = 0.4 * (along + beyond) + 0.6 * (z[:, None] * slope)
    angle = np.linspace(0, 2 * np.pi, _POINTS, endpoint=False)
    cosine, sine = np.cos(angle), np.sin(angle)
    power = 2 / profile.exponent
    x = np.sign(cosine) * np.abs(cosine) ** power
    # The hollow of the back along the spine.
    x = x + profile.back_flatness * 0.35 * np.exp(-((sine / 0.22) ** 2)) * (cosine < 0)
    y = np.sign(sine) * np.abs(sine) ** power
    depth, width = half_depth * profile.depth(z), half_width * profile.width(z)
    # The back keeps its distance to the spine; the belly takes the change of depth.
    centre = centre_x + (depth - half_depth)
    rings = np.stack(
        [
            middle[:, :1] + centre[:, None] + depth[:, None] * x,
            middle[:, 1:] + width[:, None] * y,
            np.broadcast_to(z[:, None], (_SECTIONS, _POINTS)),
        ],
        axis=-1,
    )
    return tube(rings)


def tube(rings_mm: np.ndarray) -> Solid:
    """The closed surface through rings [R, P, 3], counter-clockwise seen against their succession, with fans as caps."""
    n_rings, n_points = rings_mm.shape[:2]
    index = np.arange(n_rings * n_points).reshape(n_rings, n_points)
    following = np.roll(index, -1, axis=1)
    a, b, c, d = index[:-1], following[:-1], following[1:], index[1:]
    sides = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    first, last = n_rings * n_points, n_rings * n_points + 1
    bottom = np.stack([following[0], index[0], np.full(n_points, first)], -1)
    top = np.stack([index[-1], following[-1], np.full(n_points, last)], -1)
    vertices = np.concatenate([rings_mm.reshape(-1, 3), rings_mm[:1].mean(1), rings_mm[-1:].mean(1)])
    return Solid(vertices, np.concatenate([sides, bottom, top]))


def _make(centres, radii, rotations=None) -> Ellipsoids:
    """Ellipsoids of unit contrast from centres [N, 3], radii [N, 3] and rotations [N, 3, 3] of their axes."""
    centres, radii = np.reshape(np.asarray(centres, float), (-1, 3)), np.reshape(np.asarray(radii, float), (-1, 3))
    axes = np.eye(3)[None] * radii[:, :, None]
    if rotations is not None:
        axes = axes @ np.swapaxes(np.asarray(rotations), 1, 2)
    return Ellipsoids(centres, axes, np.ones(len(centres)))


def _random_rotations(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.array([euler_rotation(*rng.uniform(-np.pi, np.pi, 3)) for _ in range(count)]).reshape(-1, 3, 3)


def _lungs(rng: np.random.Generator, room: np.ndarray, centre_x: float, parameters: TrunkParameters) -> Ellipsoids:
    """Both lung bases: domes whose lowest point is the costophrenic recess behind the diaphragm."""
    base = rng.uniform(*parameters.lung_base_mm)
    centres, radii = [], []
    for side in (1, -1):
        height = rng.uniform(110, 150)
        centres.append([centre_x - rng.uniform(0.1, 0.35) * room[0], side * 0.52 * room[1], base + height + rng.uniform(-10, 10)])
        radii.append([rng.uniform(0.6, 0.75) * room[0], rng.uniform(0.36, 0.42) * room[1], height])
    return _make(centres, radii)


def _gas(rng: np.random.Generator, room: np.ndarray, centre_x: float, parameters: TrunkParameters) -> Ellipsoids:
    """Bowel gas: chains of bubbles, and the speckle of stool."""
    centres, radii = [], []
    for _ in range(rng.integers(*parameters.gas_chains)):
        position = np.array([centre_x, 0, 0]) + rng.uniform(-1, 1, 3) * [0.5 * room[0], 0.75 * room[1], 150] + [0.25 * room[0], 0, -10]
        direction = rng.standard_normal(3) * [0.4, 1.0, 1.0]
        size = rng.uniform(*parameters.gas_radius_mm)
        for _ in range(rng.integers(1, 6)):
            centres.append(position.copy())
            radii.append(size * rng.uniform(0.5, 1.3, 3) * [0.7, 1.0, 1.0])
            direction = direction + 0.6 * rng.standard_normal(3)
            position += direction / np.linalg.norm(direction) * size * rng.uniform(1.2, 2.0)
    for _ in range(rng.integers(*parameters.stool_patches)):
        middle = np.array([centre_x + 0.15 * room[0], 0, -20]) + rng.uniform(-1, 1, 3) * [0.4 * room[0], 0.8 * room[1], 120]
        count = rng.integers(15, 60)
        centres.extend(middle + rng.standard_normal((count, 3)) * rng.uniform(10, 22, 3))
        radii.extend(rng.uniform(1.5, 4.5, (count, 3)))
    gas = _make(centres, radii, _random_rotations(rng, len(centres)))
    return Ellipsoids(gas.centres_mm, gas.axes_mm, rng.uniform(*parameters.gas_contrast, len(centres)))


def _fat(rng: np.random.Generator, room: np.ndarray, centre_x: float, parameters: TrunkParameters) -> Ellipsoids:
    """Fat around psoas and kidneys, which makes their edges visible, and lobules that mottle the soft tissue."""
    centres = [[centre_x - 0.35 * room[0], side * 0.42 * room[1], rng.uniform(-30, 20)] for side in (1, -1)]
    radii = [[0.45 * room[0], 0.36 * room[1], rng.uniform(110, 170)] for _ in range(2)]
    count = rng.integers(*parameters.fat_lobules)
    spread = rng.uniform(-1, 1, (count, 3)) * [0.6 * room[0], 0.8 * room[1], 220]
    centres.extend(spread + [centre_x, 0, 0])
    size = np.exp(rng.uniform(np.log(6), np.log(32), (count, 1)))
    radii.extend(size * rng.uniform(0.5, 1.3, (count, 3)))
    rotations = _random_rotations(rng, len(centres))
    rotations[:2] = np.eye(3)
    fat = _make(centres, radii, rotations)
    contrast = np.concatenate([rng.uniform(0.4, 1.0, 2), rng.uniform(-0.6, 1.0, count)])
    return Ellipsoids(fat.centres_mm, fat.axes_mm, contrast)


def _muscles(
    rng: np.random.Generator, spine_mm: np.ndarray, room: np.ndarray, centre_x: float, size_ratio: float
) -> Ellipsoids:
    """Psoas and kidneys on both sides, liver on the right, in the fat behind the bowel."""
    centres, radii, rotations = [], [], []
    for side in (1, -1):
        bulk = size_ratio * rng.uniform(0.75, 1.25)
        centres.append([rng.uniform(-8, 6), side * rng.uniform(42, 50), rng.uniform(-45, -20)])
        radii.append([22 * bulk, 20 * bulk, rng.uniform(110, 135)])
        rotations.append(euler_rotation(side * np.radians(rng.uniform(10, 16)), np.radians(rng.uniform(-12, -2)), 0.0))
        centres.append([-35 + rng.uniform(-8, 8), side * rng.uniform(65, 80), rng.uniform(25, 70)])
        radii.append([26, 28, 55] * rng.uniform(0.85, 1.15, 3))
        rotations.append(euler_rotation(side * np.radians(-12), np.radians(10), 0.0))
    centres.append([centre_x + 0.15 * room[0], -0.45 * room[1], rng.uniform(95, 140)])
    radii.append([0.65 * room[0], 0.5 * room[1], rng.uniform(70, 100)])
    rotations.append(np.eye(3))
    organs = _make(centres, radii, rotations)
    contrast = np.append(rng.uniform(0.4, 1.0, len(centres) - 1), 0.25)
    return Ellipsoids(organs.centres_mm, organs.axes_mm, contrast)


def _calcifications(rng: np.random.Generator, spine_mm: np.ndarray, parameters: TrunkParameters) -> Ellipsoids:
    """Plaques of the aortic wall before and left of the lower vertebrae, in some people."""
    if rng.random() >= parameters.calcification_share:
        return _make([], [])
    count = rng.integers(6, 40)
    z = rng.uniform(-75, 70, count)
    angle = rng.uniform(0, 2 * np.pi, count)
    order = np.argsort(spine_mm[:, 2])
    axis = np.stack([np.interp(z, spine_mm[order, 2], spine_mm[order, i]) for i in range(2)], 1) + [32, 8]
    wall = axis + rng.uniform(8, 10) * np.stack([np.cos(angle), np.sin(angle)], 1)
    plaques = _make(np.column_stack([wall, z]), rng.uniform(0.6, 2.2, (count, 3)) * [1.0, 1.0, 1.8])
    return Ellipsoids(plaques.centres_mm, plaques.axes_mm, rng.uniform(0.2, 0.9, count))


def moved(trunk: Trunk, world_from_person: RigidTransform) -> Trunk:
    """The trunk in the world frame."""
    parts = {name: getattr(trunk, name).moved(world_from_person) for name in _MOVABLE}
    return Trunk(
        **parts, half_depth_mm=trunk.half_depth_mm, half_width_mm=trunk.half_width_mm, centre_x_mm=trunk.centre_x_mm
    )


_MOVABLE = ("skin", "muscle", "lungs", "gas", "fat", "muscles", "calcifications")
