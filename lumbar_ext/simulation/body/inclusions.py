"""What some radiographs show besides the trunk: metal, arms, and the support behind the person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from lumbar_ext.anatomy import LANDMARKS
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.solid import Surface, tube
from lumbar_ext.simulation.body.ribs import sweep
from lumbar_ext.simulation.body.trunk_outline import Sections
from lumbar_ext.simulation.imaging.material_paths import Inclusion, ShelledBone
from lumbar_ext.simulation.posture.posed_spine import Posture
from lumbar_ext.simulation.ranges import AppearanceParameters, TrunkParameters

_PEDICLES = (LANDMARKS.index("left_pedicle"), LANDMARKS.index("right_pedicle"))
_STEPS = 30
_ARM_POINTS = 24
_TABLE_HALF_WIDTH_MM = 270.0
_FOAM_MM = 28.0
# Carbon fibre laminate of 1.6 g/cm3 attenuates like 1.4 times as much soft tissue (carbon is light).
_CARBON_FIBRE = 1.4
_FOAM = 0.06


@dataclass(frozen=True)
class Arms:
    """Flesh and bones, world frame; both empty for most people."""

    flesh: tuple[Inclusion, ...] = ()
    bones: tuple[ShelledBone, ...] = ()


def sample_arms(
    rng: np.random.Generator, skin: Sections, world_from_person: RigidTransform, parameters: TrunkParameters
) -> Arms:
    """Forearms held in front of the chest, in some people; they cross the upper corner of the lateral view."""
    if rng.random() >= parameters.arms_share:
        return Arms()
    height = rng.uniform(170, 235)
    centre, room = skin.at(height)
    flesh, bones = [], []
    for side in (1, -1):
        elbow = np.array([centre[0] + room[0] * rng.uniform(0.9, 1.3), side * rng.uniform(0.7, 1.0) * room[1], height])
        hand = np.array(
            [centre[0] + room[0] + rng.uniform(20, 70), -side * rng.uniform(0, 60), height + rng.uniform(0, 90)]
        )
        along = np.linspace(0, 1, _STEPS)[:, None]
        line = world_from_person.apply(elbow + along * (hand - elbow))
        girth = np.interp(along[:, 0], (0, 0.03, 0.3, 0.95, 1), (4, 34, 38, 25, 4)) * rng.uniform(0.8, 1.1)
        flesh.append(Inclusion(sweep(line, girth, points=_ARM_POINTS), "soft"))
        across = np.array([0.0, 0.0, 9.0])
        for shift in (across, -across):
            thin = np.interp(along[:, 0], (0, 0.1, 0.9, 1), (10, 6.5, 6.0, 8.0)) * rng.uniform(0.85, 1.1)
            bone = sweep(line + shift, thin)
            bones.append(ShelledBone(bone, bone.shrunk(rng.uniform(1.5, 2.5))))
    return Arms(tuple(flesh), tuple(bones))


def sample_table(
    rng: np.random.Generator, skin: Sections, world_from_person: RigidTransform, parameters: TrunkParameters
) -> tuple[Inclusion, ...]:
    """A slab behind the person, for some: two skins of carbon fibre over foam."""
    if rng.random() >= parameters.table_share:
        return ()
    thickness = rng.uniform(*parameters.table_skin_mm)
    start = float(skin.back_mm.min()) - rng.uniform(0, 15)
    depths = ((start, thickness, _CARBON_FIBRE), (start - thickness, _FOAM_MM, _FOAM))
    depths += ((start - thickness - _FOAM_MM, thickness, _CARBON_FIBRE),)
    return tuple(
        Inclusion(_slab(front, depth, skin).moved(world_from_person), "soft", density)
        for front, depth, density in depths
    )


def _slab(front_mm: float, depth_mm: float, skin: Sections) -> Surface:
    """A plate of the length of the trunk, its front at x = `front_mm`."""
    corners = np.array([[0, 1], [-depth_mm, 1], [-depth_mm, -1], [0, -1]]) * [1, _TABLE_HALF_WIDTH_MM]
    rings = np.zeros((2, 4, 3))
    rings[..., :2] = corners + np.array([front_mm, 0.0])
    rings[..., 2] = skin.z_mm[[0, -1], None]
    return tube(rings)


def sample_metal(
    rng: np.random.Generator, posture: Posture, skin: Sections, parameters: AppearanceParameters
) -> tuple[Inclusion, ...]:
    """Wires and buttons on the skin of some people; pedicle screws with their rods in few."""
    solids: list[Surface] = []
    if rng.random() < parameters.metal_share:
        solids.extend(_wires(rng, skin, posture))
    if rng.random() < parameters.screw_share:
        solids.extend(_screws(rng, posture))
    return tuple(Inclusion(solid, "metal") for solid in solids)


def _wires(rng: np.random.Generator, skin: Sections, posture: Posture) -> list[Surface]:
    """Leads and clips lying on the skin."""
    wires = []
    for _ in range(rng.integers(1, 4)):
        steps = gaussian_filter1d(rng.normal(0, 1, (60, 3)).cumsum(0), 4, axis=0) * 6
        steps += np.linspace(0, 1, 60)[:, None] * rng.normal(0, 80, 3)
        z = rng.uniform(-120, 120)
        centre, room = skin.at(z)
        start = np.array([centre[0] + room[0] + 3, centre[1] + rng.uniform(-80, 80), z])
        line = posture.world_from_person.apply(start + steps * [0.1, 1.0, 1.0])
        wires.append(sweep(line, np.full(60, rng.uniform(0.3, 0.9))))
    return wires


def _screws(rng: np.random.Generator, posture: Posture) -> list[Surface]:
    """Pedicle screws of 5.5-7.5 mm by 40-50 mm in two or three neighbours, joined by rods of 5.5 mm."""
    first, count = rng.integers(1, 4), rng.integers(2, 4)
    present = len(posture.skeleton.lumbar)  # four in some people
    first = min(first, present - 2)
    levels = range(first, min(first + count, present))
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
