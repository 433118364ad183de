"""Puts a posed skeleton, a trunk around it and sometimes metal into the beam."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.simulation.outline import Sections, sample_sections
from lumbar_ext.simulation.parameters import BeamParameters, SimulationParameters
from lumbar_ext.simulation.posture import Posture
from lumbar_ext.simulation.radiograph import Scene, ShelledBone
from lumbar_ext.simulation.ribs import sample_ribs, sweep
from lumbar_ext.simulation.solid import Solid
from lumbar_ext.simulation.subject import Skeleton
from lumbar_ext.simulation.trunk import sample_trunk

# Where the body of a vertebra ends and its arch begins, vertebra frame; the transition takes some mm.
_ARCH_X_MM = -18.0
_TRANSITION_MM = 4.0


def assemble_scene(rng: np.random.Generator, posture: Posture, parameters: SimulationParameters) -> Scene:
    """Everything in the beam, world frame."""
    skeleton = posture.skeleton
    person_from_world = posture.world_from_person.inverse()
    poses = [*reversed(posture.world_from_thoracic), *posture.world_from_vertebra, posture.world_from_sacrum]
    spine = np.array([person_from_world.apply(pose.translation_mm) for pose in poses])
    skin = sample_sections(
        rng, _sparse_points(skeleton, posture, person_from_world), spine, skeleton.size_ratio, parameters.trunk
    )
    trunk = sample_trunk(rng, skin, spine, skeleton.size_ratio, parameters.trunk)
    thoracic = tuple(person_from_world @ pose for pose in posture.world_from_thoracic)
    ribs = sample_ribs(rng, thoracic, skin, parameters.trunk)
    bones = [*_vertebrae(rng, skeleton, posture, parameters.beam), *_pelvic(rng, skeleton, posture)]
    outer = Solid.merged(ribs).moved(posture.world_from_person)
    bones.append(ShelledBone(outer, outer.shrunk(rng.uniform(0.7, 1.2))))
    metal = _metal(rng, skeleton, posture, skin, parameters)
    return Scene(tuple(bones), trunk.moved(posture.world_from_person), metal)


def _sparse_points(skeleton: Skeleton, posture: Posture, person_from_world: RigidTransform) -> np.ndarray:
    """Points [M, 3] on the bones that the skin must cover, person's frame."""
    posed = [*zip(skeleton.lumbar, posture.world_from_vertebra, strict=True)]
    posed += [*zip(skeleton.thoracic, posture.world_from_thoracic, strict=True)]
    points = [(person_from_world @ pose).apply(vertebra.solid.vertices_mm[::40]) for vertebra, pose in posed]
    pelvic = [person_from_world @ posture.world_from_sacrum] * 2
    points += [
        pose.apply(solid.vertices_mm[::10])
        for pose, solid in zip(pelvic, (skeleton.sacrum, skeleton.pelvis), strict=True)
    ]
    return np.concatenate(points)


def _vertebrae(
    rng: np.random.Generator, skeleton: Skeleton, posture: Posture, parameters: BeamParameters
) -> list[ShelledBone]:
    """Shells thin around the body and thick around the arch."""
    body, arch = rng.uniform(*parameters.shell_mm), rng.uniform(*parameters.posterior_shell_mm)
    vertebrae = [*skeleton.lumbar, *skeleton.thoracic]
    poses = [*posture.world_from_vertebra, *posture.world_from_thoracic]
    shelled = []
    for vertebra, pose in zip(vertebrae, poses, strict=True):
        behind = 1 / (1 + np.exp((vertebra.solid.vertices_mm[:, 0] - _ARCH_X_MM) / _TRANSITION_MM))
        core = vertebra.solid.shrunk(body + (arch - body) * behind)
        shelled.append(ShelledBone(vertebra.solid.moved(pose), core.moved(pose)))
    return shelled


def _pelvic(rng: np.random.Generator, skeleton: Skeleton, posture: Posture) -> list[ShelledBone]:
    shell = rng.uniform(0.8, 1.6)
    shelled = []
    for solid in (skeleton.sacrum, skeleton.pelvis):
        outer = solid.moved(posture.world_from_sacrum)
        shelled.append(ShelledBone(outer, outer.shrunk(shell)))
    return shelled


def _metal(
    rng: np.random.Generator, skeleton: Skeleton, posture: Posture, skin: Sections, parameters: SimulationParameters
) -> tuple[Solid, ...]:
    """Wires and buttons on the skin of some people, pedicle screws in few."""
    solids: list[Solid] = []
    if rng.random() < parameters.appearance.metal_share:
        solids.extend(_wires(rng, skin, posture))
    if rng.random() < parameters.appearance.screw_share:
        solids.extend(_screws(rng, skeleton, posture))
    return tuple(solids)


def _wires(rng: np.random.Generator, skin: Sections, posture: Posture) -> list[Solid]:
    """Leads and clips lying on the skin."""
    wires = []
    for _ in range(rng.integers(1, 4)):
        steps = gaussian_filter1d(rng.normal(0, 1, (60, 3)).cumsum(0), 4, axis=0) * 6 + np.linspace(0, 1, 60)[
            :, None
        ] * rng.normal(0, 80, 3)
        z = rng.uniform(-120, 120)
        centre, room = skin.at(z)
        start = np.array([centre[0] + room[0] + 3, centre[1] + rng.uniform(-80, 80), z])
        line = posture.world_from_person.apply(start + steps * [0.1, 1.0, 1.0])
        wires.append(sweep(line, np.full(60, rng.uniform(0.3, 0.9))))
    return wires


def _screws(rng: np.random.Generator, skeleton: Skeleton, posture: Posture) -> list[Solid]:
    """Pedicle screws of 5.5-7.5 mm by 40-50 mm in two or three neighbours."""
    first, count = rng.integers(1, 4), rng.integers(2, 4)
    screws = []
    for level in range(first, min(first + count, 5)):
        for side in (4, 5):
            pedicle = skeleton.lumbar[level].landmarks_mm[side]
            forward = np.array([1.0, -0.25 * np.sign(pedicle[1]), rng.normal(0, 0.04)])
            along = np.linspace(-25.0, rng.uniform(16, 26), 30)
            line = pedicle + along[:, None] * forward / np.linalg.norm(forward)
            radius = np.where(along < -18, 5.5, rng.uniform(2.7, 3.4)) * np.where(np.arange(30) % 2, 1.0, 0.88)
            screws.append(sweep(posture.world_from_vertebra[level].apply(line), radius, points=12))
    return screws
