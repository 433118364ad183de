"""What lies in vertebrae and discs of some people: screws, rods, cages, cement, gas and calcium."""

from __future__ import annotations

import numpy as np

from lumbar_ext.anatomy import LANDMARKS
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.surface import Surface, tube
from lumbar_ext.simulation.body.inclusions import ball
from lumbar_ext.simulation.body.ribs import sweep
from lumbar_ext.simulation.imaging.material_paths import Inclusion
from lumbar_ext.simulation.posture.posed_spine import Posture
from lumbar_ext.simulation.ranges import AppearanceParameters

_PEDICLES = (LANDMARKS.index("left_pedicle"), LANDMARKS.index("right_pedicle"))
_ENDPLATES = [LANDMARKS.index("superior_endplate"), LANDMARKS.index("inferior_endplate")]
_STEPS = 30  # rings of a swept tube
# Bone cement holds 10-30 % of barium sulphate or zirconia: it attenuates like one to two times as much dense bone.
_CEMENT_DENSITY = (0.9, 2.0)
_CEMENT_BLOBS = (2, 7)  # fewest, and one more than most, of one augmented body
# Cages of polyetheretherketone show their titanium markers only; titanium ones are hollow.
_TITANIUM_CAGE_SHARE, _TITANIUM_CAGE_DENSITY = 0.5, (0.15, 0.5)
_MARKER_RADIUS_MM = 0.5  # of the metal pins that mark a cage


def disc_contents(rng: np.random.Generator, posture: Posture) -> tuple[Inclusion, ...]:
    """Gas and calcium in the discs that are worn so, world frame."""
    parts = []
    for worn in posture.skeleton.wear:
        disc = _disc(posture, worn.joint)
        if worn.gas:
            size = np.array([rng.uniform(6, 14), rng.uniform(8, 18), rng.uniform(0.5, 1.3)])
            parts.append(Inclusion(_in_disc(rng, disc, size), "soft", 0.0, replaces=True))
        if worn.calcium > 0:
            size = np.array([rng.uniform(4, 13), rng.uniform(5, 16), rng.uniform(0.8, 2.0)])
            parts.append(Inclusion(_in_disc(rng, disc, size), "bone", worn.calcium, replaces=True))
    return tuple(parts)


def sample_implants(
    rng: np.random.Generator, posture: Posture, parameters: AppearanceParameters
) -> tuple[Inclusion, ...]:
    """Screws with rods and cages, cages alone, and cement, in few people, world frame."""
    parts: list[Inclusion] = []
    present = len(posture.skeleton.lumbar)
    if rng.random() < parameters.screw_share:
        first = int(rng.integers(0, present - 1))
        levels = range(first, min(first + int(rng.integers(2, 5)), present))
        parts += [Inclusion(solid, "metal") for solid in _screws(rng, posture, levels)]
        if rng.random() < parameters.cage_beside_screws_share:
            for joint in levels[:-1]:
                parts += _cage(rng, posture, joint)
    elif rng.random() < parameters.cage_share:
        parts += _cage(rng, posture, int(rng.integers(1, present)))
    if rng.random() < parameters.cement_share:
        for level in set(rng.integers(0, present, rng.integers(1, 3)).tolist()):
            parts += _cement(rng, posture, level)
    return tuple(parts)


def _disc(posture: Posture, joint: int) -> RigidTransform:
    """Frame of the disc below a lumbar vertebra: origin in its middle, Z up, X to the front."""
    upper = posture.world_from_vertebra[joint]
    ceiling = upper.apply(posture.skeleton.lumbar[joint].landmarks_mm[_ENDPLATES[1]])
    if joint + 1 < len(posture.world_from_vertebra):
        lower = posture.world_from_vertebra[joint + 1]
        floor = lower.apply(posture.skeleton.lumbar[joint + 1].landmarks_mm[_ENDPLATES[0]])
    else:
        lower, floor = posture.world_from_sacrum, posture.world_from_sacrum.translation_mm
    up = upper.rotation[:, 2] + lower.rotation[:, 2]
    up /= np.linalg.norm(up)
    leftward = np.cross(up, upper.rotation[:, 0])
    leftward /= np.linalg.norm(leftward)
    return RigidTransform(np.stack([np.cross(leftward, up), leftward, up], axis=1), (ceiling + floor) / 2)


def _in_disc(rng: np.random.Generator, world_from_disc: RigidTransform, size_mm: np.ndarray) -> Surface:
    """A flat ellipsoid of semi-axes [3] somewhere in a disc."""
    place = rng.normal(0, 1, 3) * [4.0, 4.0, 0.3]
    return ball(place, np.diag(size_mm)).moved(world_from_disc)


def _screws(rng: np.random.Generator, posture: Posture, levels: range) -> list[Surface]:
    """Pedicle screws of 5.5-7.5 mm by 40-50 mm in neighbours, joined by rods of 5.5 mm."""
    solids = []
    for side in _PEDICLES:
        heads = []
        for level in levels:
            pedicle = posture.skeleton.lumbar[level].landmarks_mm[side]
            forward = np.array([1.0, -0.25 * np.sign(pedicle[1]), rng.normal(0, 0.04)])
            along = np.linspace(-25.0, rng.uniform(16, 26), _STEPS)
            line = pedicle + along[:, None] * forward / np.linalg.norm(forward)
            radius = np.where(along < -18, 5.5, rng.uniform(2.7, 3.4)) * np.where(np.arange(_STEPS) % 2, 1.0, 0.88)
            line = posture.world_from_vertebra[level].apply(line)
            solids.append(sweep(line, radius, points=12))
            heads.append(line[0])
        solids.append(_rod(np.array(heads)))
    return solids


def _rod(heads_mm: np.ndarray) -> Surface:
    """A rod through the heads of screws [N, 3], standing out 8 mm at both ends."""
    ends = heads_mm[[0, -1]] + 8.0 * np.array([[1], [-1]]) * _direction(heads_mm[0] - heads_mm[-1])
    points = np.concatenate([ends[:1], heads_mm, ends[1:]])
    travelled = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    # From the lowest up, as `sweep` expects of lines along Z: the rings need a direction across them.
    steps = np.linspace(0, travelled[-1], _STEPS)
    line = np.stack([np.interp(steps, travelled, points[:, axis]) for axis in range(3)], axis=1)
    return sweep(line, np.full(_STEPS, 2.75), points=12)


def _direction(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _cage(rng: np.random.Generator, posture: Posture, joint: int) -> list[Inclusion]:
    """An interbody cage of 22-32 by 9-22 by 7-12 mm: a hollow titanium block, or the markers of one of plastic."""
    world_from_disc = _disc(posture, joint)
    depth, width, height = rng.uniform(11, 16), rng.uniform(4.5, 11), rng.uniform(3.5, 6)
    aside = rng.normal(0, 4, 3) * [0.5, 1.0, 0.1]
    if rng.random() < _TITANIUM_CAGE_SHARE:
        corners = np.array([[depth, width], [-depth, width], [-depth, -width], [depth, -width]])
        rings = np.zeros((2, 4, 3))
        rings[..., :2] = corners
        rings[..., 2] = np.array([[-height], [height]])
        solid = tube(rings + aside).moved(world_from_disc)
        return [Inclusion(solid, "metal", rng.uniform(*_TITANIUM_CAGE_DENSITY))]
    places = [(depth, 0.0), (-depth, width * 0.8), (-depth, -width * 0.8)]
    upright = np.linspace(-height * 0.8, height * 0.8, 4)[:, None] * [0.0, 0.0, 1.0]
    lines = [world_from_disc.apply(upright + aside + [x, y, 0.0]) for x, y in places]
    return [Inclusion(sweep(line, np.full(len(line), _MARKER_RADIUS_MM), points=8), "metal") for line in lines]


def _cement(rng: np.random.Generator, posture: Posture, level: int) -> list[Inclusion]:
    """Clouds of bone cement in a vertebral body."""
    vertebra, pose = posture.skeleton.lumbar[level], posture.world_from_vertebra[level]
    half_height = np.ptp(vertebra.landmarks_mm[_ENDPLATES, 2]) / 2
    density = rng.uniform(*_CEMENT_DENSITY)
    clouds = []
    for _ in range(rng.integers(*_CEMENT_BLOBS)):
        place = rng.uniform(-1, 1, 3) * [9.0, 13.0, 0.4 * half_height]
        size = rng.uniform([3, 3, 2.5], [8, 8, 0.55 * half_height])
        clouds.append(Inclusion(ball(place, np.diag(size)).moved(pose), "bone", density, replaces=True))
    return clouds
