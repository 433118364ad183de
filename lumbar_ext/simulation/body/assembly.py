"""Puts a posed skeleton, a trunk around it and sometimes metal, arms or a table into the beam."""

from __future__ import annotations

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.simulation.body.composition import ageing, sample_composition
from lumbar_ext.simulation.body.implants import disc_contents, sample_implants
from lumbar_ext.simulation.body.inclusions import sample_arms, sample_breasts, sample_frame, sample_metal, sample_table
from lumbar_ext.simulation.body.noise import waves
from lumbar_ext.simulation.body.ribs import sample_ribs
from lumbar_ext.simulation.body.trunk import TrunkBuild, sample_trunk
from lumbar_ext.simulation.body.trunk_outline import sample_sections
from lumbar_ext.simulation.bones.skeleton import Skeleton
from lumbar_ext.simulation.imaging.material_paths import BodyScene, ShelledBone
from lumbar_ext.simulation.posture.posed_spine import Posture
from lumbar_ext.simulation.ranges import BoneParameters, SimulationParameters

# Where the body of a vertebra ends and its arch begins, vertebra frame; the transition takes some mm.
_ARCH_X_MM = -18.0
_TRANSITION_MM = 4.0  # over which a vertebra's shell changes from that of the body to that of the arch
_SACRUM = len(LEVELS) + 1  # index of the bone, after L1 .. L5 and L6


def assemble_scene(rng: np.random.Generator, posture: Posture, parameters: SimulationParameters) -> BodyScene:
    """Everything in the beam, world frame."""
    skeleton = posture.skeleton
    person_from_world = posture.world_from_person.inverse()
    poses = [*reversed(posture.world_from_thoracic), *posture.world_from_vertebra, posture.world_from_sacrum]
    spine = np.array([person_from_world.apply(pose.translation_mm) for pose in poses])
    skin = sample_sections(
        rng, _sparse_points(skeleton, posture, person_from_world), spine, skeleton.size_ratio, parameters.trunk
    )
    composition = sample_composition(rng, parameters.bone)
    build = TrunkBuild(skeleton.size_ratio, ageing(composition.age_years))
    trunk = sample_trunk(rng, skin, spine, build, parameters.trunk)
    thoracic = tuple(person_from_world @ pose for pose in posture.world_from_thoracic)
    bones = [*_vertebrae(rng, skeleton, posture, parameters.bone), *_pelvic(rng, skeleton, posture, parameters.bone)]
    ribs = Surface.merged(sample_ribs(rng, thoracic, skin, parameters.trunk)).moved(posture.world_from_person)
    bones.append(
        ShelledBone(ribs, ribs.shrunk(rng.uniform(0.5, 1.1) * _uneven(rng, ribs.vertices_mm, parameters.bone)))
    )
    arms = sample_arms(rng, skin, posture.world_from_person, parameters.trunk)
    inclusions = (
        *disc_contents(rng, posture),
        *sample_metal(rng, posture, skin, parameters.appearance),
        *sample_implants(rng, posture, parameters.appearance),
        *arms.flesh,
        *sample_breasts(rng, skin, posture.world_from_person, parameters.trunk),
        *sample_table(rng, skin, posture.world_from_person, parameters.trunk),
        *sample_frame(rng, skin, posture.world_from_person, parameters.trunk),
    )
    return BodyScene((*bones, *arms.bones), composition, trunk.moved(posture.world_from_person), inclusions)


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
    rng: np.random.Generator, skeleton: Skeleton, posture: Posture, parameters: BoneParameters
) -> list[ShelledBone]:
    """Shells thin at the walls of the body, thicker at its endplates and thickest at the arch; uneven everywhere."""
    wall, endplate, arch = (
        rng.uniform(*values) for values in (parameters.wall_mm, parameters.endplate_mm, parameters.posterior_shell_mm)
    )
    vertebrae = [*skeleton.lumbar, *skeleton.thoracic]
    poses = [*posture.world_from_vertebra, *posture.world_from_thoracic]
    shelled = []
    for index, (vertebra, pose) in enumerate(zip(vertebrae, poses, strict=True)):
        solid = vertebra.solid
        behind = 1 / (1 + np.exp((solid.vertices_mm[:, 0] - _ARCH_X_MM) / _TRANSITION_MM))
        body = wall + (_sclerosis(skeleton, index, solid) * endplate - wall) * solid.normals[:, 2] ** 4
        thickness = (body + (arch - body) * behind) * _uneven(rng, solid.vertices_mm, parameters)
        is_lumbar = index < len(skeleton.lumbar)
        # A sixth lumbar vertebra is like the fifth.
        level = min(index + 1, len(LEVELS)) if is_lumbar else 0
        name = skeleton.levels[index] if is_lumbar else ""
        shelled.append(ShelledBone(solid.moved(pose), solid.shrunk(thickness).moved(pose), level, name))
    return shelled


def _sclerosis(skeleton: Skeleton, index: int, solid: Surface) -> np.ndarray | float:
    """Thickness [V] of the endplates of a lumbar vertebra against unworn ones: its own below, its upper neighbour's above."""
    joints = {worn.joint: worn.sclerosis for worn in skeleton.wear} if index < len(skeleton.lumbar) else {}
    return np.where(solid.normals[:, 2] > 0, joints.get(index - 1, 1.0), joints.get(index, 1.0))


def _uneven(rng: np.random.Generator, points_mm: np.ndarray, parameters: BoneParameters) -> np.ndarray:
    """Factors [V] of a shell's thickness, log-normal."""
    amplitude = np.float32(rng.uniform(*parameters.shell_variation))
    return np.exp(amplitude * waves(rng, points_mm, parameters.shell_wave_mm))


def _pelvic(
    rng: np.random.Generator, skeleton: Skeleton, posture: Posture, parameters: BoneParameters
) -> list[ShelledBone]:
    shelled = []
    for name, solid in (("sacrum", skeleton.sacrum), ("", skeleton.pelvis)):
        thickness = rng.uniform(*parameters.pelvic_shell_mm) * _uneven(rng, solid.vertices_mm, parameters)
        core = solid.shrunk(thickness).moved(posture.world_from_sacrum)
        shelled.append(ShelledBone(solid.moved(posture.world_from_sacrum), core, _SACRUM, name))
    return shelled
