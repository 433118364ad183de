"""What some radiographs show besides the trunk: metal on the skin, arms, breasts, and supports of the person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from scipy.ndimage import gaussian_filter1d

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.surface import Surface, tube
from lumbar_ext.simulation.body.ribs import sweep
from lumbar_ext.simulation.body.trunk_outline import Sections
from lumbar_ext.simulation.imaging.material_paths import Inclusion, ShelledBone
from lumbar_ext.simulation.posture.posed_spine import Posture
from lumbar_ext.simulation.ranges import AppearanceParameters, TrunkParameters

_STEPS = 30  # rings of a swept tube
_ARM_POINTS = 24  # of a ring
_TABLE_HALF_WIDTH_MM = 270.0  # of a bucky table's top, 540 mm wide
_FOAM_MM = 28.0  # between the carbon-fibre sheets of the table's top
# Carbon fibre laminate of 1.6 g/cm3 attenuates like 1.4 times as much soft tissue (carbon is light).
_CARBON_FIBRE = 1.4
_FOAM = 0.06  # density against water
# Thick posts are of light metal or hollow: no more than so much titanium in their middle.
_FRAME_PATH_MM = 1.5
# Depth of breasts against their width, pressed to the chest as in most lumbar exposures, or hanging.
_BREAST_FLATNESS = (0.15, 0.45)
_BALL = trimesh.creation.icosphere(subdivisions=3)


@dataclass(frozen=True)
class Arms:
    """Flesh and bones, world frame; both empty for most people."""

    flesh: tuple[Inclusion, ...] = ()
    bones: tuple[ShelledBone, ...] = ()


def sample_arms(
    rng: np.random.Generator, skin: Sections, world_from_person: RigidTransform, parameters: TrunkParameters
) -> Arms:
    """Arms of some people: forearms in front of the chest, which cross the upper corner of the lateral view, or arms that
    hang beside the trunk, which cross its spine."""
    folded, hanging = rng.random() < parameters.arms_share, rng.random() < parameters.hanging_arms_share
    if folded:
        return _folded_arms(rng, skin, world_from_person)
    return _hanging_arms(rng, skin, world_from_person) if hanging else Arms()


def _folded_arms(rng: np.random.Generator, skin: Sections, world_from_person: RigidTransform) -> Arms:
    """Both forearms in front of the chest."""
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
        bones.extend(_forearm_bones(rng, line, np.array([0.0, 0.0, 9.0])))
    return Arms(tuple(flesh), tuple(bones))


def _forearm_bones(rng: np.random.Generator, line_mm: np.ndarray, across_mm: np.ndarray) -> list[ShelledBone]:
    """Radius and ulna on both sides of a line [N, 3] from the elbow to the hand."""
    along = np.linspace(0, 1, len(line_mm))
    bones = []
    for shift in (across_mm, -across_mm):
        thin = np.interp(along, (0, 0.1, 0.9, 1), (10, 6.5, 6.0, 8.0)) * rng.uniform(0.85, 1.1)
        bone = sweep(line_mm + shift, thin)
        bones.append(ShelledBone(bone, bone.shrunk(rng.uniform(1.5, 2.5))))
    return bones


def _hanging_arms(rng: np.random.Generator, skin: Sections, world_from_person: RigidTransform) -> Arms:
    """One or both arms beside the trunk: the upper arm from the shoulder down, the forearm down or to the front."""
    sides = (1, -1) if rng.random() < 0.6 else (int(rng.choice([1, -1])),)
    forward, raised = rng.uniform(-20, 60), rng.uniform(0.0, 1.2)
    flesh, bones = [], []
    for side in sides:
        centre, room = skin.at(100.0)
        beside = centre[1] + side * (room[1] + rng.uniform(45, 70))
        shoulder = np.array([centre[0] + rng.uniform(-30, 20), beside, 330.0])
        elbow = np.array([centre[0] + forward + rng.uniform(-15, 15), beside + side * 10, rng.uniform(0, 80)])
        down = np.array([np.sin(raised), -0.15 * side, -np.cos(raised)])
        hand = elbow + rng.uniform(210, 260) * down
        along = np.linspace(0, 1, _STEPS)[:, None]
        upper, lower = (world_from_person.apply(a + along * (b - a)) for a, b in ((elbow, shoulder), (elbow, hand)))
        thick = rng.uniform(0.75, 1.15)
        fleshy = ((upper, (0, 0.4, 1), (38, 43, 48)), (lower, (0, 0.25, 0.95, 1), (38, 40, 26, 4)))
        for line, places, radii in fleshy:
            flesh.append(
                Inclusion(sweep(line, np.interp(along[:, 0], places, radii) * thick, points=_ARM_POINTS), "soft")
            )
        humerus = sweep(upper, np.interp(along[:, 0], (0, 0.1, 0.2, 1), (22, 16, 10.5, 11.5)))
        bones.append(ShelledBone(humerus, humerus.shrunk(rng.uniform(2.5, 4.0))))
        bones.extend(_forearm_bones(rng, lower, np.array([9.0, 0.0, 3.0])))
    return Arms(tuple(flesh), tuple(bones))


def sample_breasts(
    rng: np.random.Generator, skin: Sections, world_from_person: RigidTransform, parameters: TrunkParameters
) -> tuple[Inclusion, ...]:
    """Breasts of some people, half of them women: rounded shadows over the upper vertebrae and before the chest."""
    if rng.random() >= 0.5 * parameters.breast_share:
        return ()
    radius, height = rng.uniform(*parameters.breast_mm), rng.uniform(*parameters.breast_height_mm)
    flatness, glandular = rng.uniform(*_BREAST_FLATNESS), rng.uniform(0.0, 0.6)
    centre, room = skin.at(height)
    parts = []
    for side in (1, -1):
        aside, lower = side * rng.uniform(0.4, 0.6) * room[1], rng.normal(0, 6)
        middle = np.array([centre[0] + room[0] * 0.95, centre[1] + aside, height + lower])
        size = radius * np.array([flatness, 0.95, 1.1]) * rng.uniform(0.92, 1.08, 3)
        solid = ball(middle, np.diag(size)).moved(world_from_person)
        parts += [Inclusion(solid, "fat", 1 - glandular), Inclusion(solid, "soft", glandular)]
    return tuple(parts)


def ball(centre_mm: np.ndarray, axes_mm: np.ndarray) -> Surface:
    """An ellipsoid of semi-axes, the rows of [3, 3], around a centre [3]."""
    return Surface(_BALL.vertices @ axes_mm + centre_mm, _BALL.faces)


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


def sample_frame(
    rng: np.random.Generator, skin: Sections, world_from_person: RigidTransform, parameters: TrunkParameters
) -> tuple[Inclusion, ...]:
    """Straight bars of a standing frame, a ruler or the edge of a table, behind or beside some people."""
    if rng.random() >= parameters.frame_share:
        return ()
    bars = []
    for _ in range(rng.integers(*parameters.frame_bars, endpoint=True)):
        upright = rng.random() < 0.7
        beside = rng.uniform(-1.0, 1.0) * _TABLE_HALF_WIDTH_MM
        start = np.array([skin.back_mm.min() - rng.uniform(5, 120), beside, rng.uniform(-250, 250)])
        along = np.array([rng.normal(0, 0.02), 0.0, 1.0]) if upright else np.array([0.0, 1.0, rng.normal(0, 0.02)])
        start = start * ([1, 1, 0] if upright else [1, 0, 1])
        line = start + np.linspace(-330, 330, 8)[:, None] * along
        radius = np.full(len(line), np.exp(rng.uniform(*np.log(parameters.frame_radius_mm))))
        bar = sweep(world_from_person.apply(line), radius, points=8)
        density = np.exp(rng.uniform(*np.log(parameters.frame_density)))
        bars.append(Inclusion(bar, "metal", min(density, _FRAME_PATH_MM / radius[0])))
    return tuple(bars)


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
    """Wires and buttons on the skin of some people."""
    if rng.random() >= parameters.metal_share:
        return ()
    return tuple(Inclusion(solid, "metal") for solid in _wires(rng, skin, posture))


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
