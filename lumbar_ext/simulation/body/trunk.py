"""Soft tissues inside the trunk: fat, muscles, lungs, gas and calcifications.

Ellipsoids carry a `contrast`: the fraction by which they replace the tissue around them. `soft_tissue` turns them into
path lengths.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from lumbar_ext.geometry import RigidTransform, euler_rotation
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.simulation.body.ellipsoids import Ellipsoids
from lumbar_ext.simulation.body.trunk_outline import Sections
from lumbar_ext.simulation.ranges import TrunkParameters


@dataclass(frozen=True)
class TrunkBuild:
    """What the soft tissues depend on: size of the skeleton against the mean, and ageing from 0 (20 years) to 1 (88)."""

    size_ratio: float
    ageing: float


@dataclass(frozen=True)
class TissueTexture:
    """How irregular the tissues look.

    Args:
        lung_density: of lung against soft tissue.
        lung_markings: relative amplitude of vessels in the lung.
        warp_mm: displacement of organs in the image (standard deviation on the detector).
        warp_wave_mm: its wavelength.
        mottle_mm: fat exchanged at random along 200 mm of viscera (standard deviation).
    """

    lung_density: float = 0.26
    lung_markings: float = 0.0
    warp_mm: float = 0.0
    warp_wave_mm: float = 20.0
    mottle_mm: float = 0.0


@dataclass(frozen=True)
class Trunk:
    """Soft tissues, in the person's frame (origin at L3) or in the world.

    Args:
        skin: outer surface.
        muscle: inside of the subcutaneous fat.
        lungs, diaphragm: lungs in place of soft tissue, each carved by a dome of the diaphragm; equal numbers.
        gas: in place of soft tissue.
        fat: in place of soft tissue.
        muscles: soft tissue in place of fat.
        calcifications: cortical bone in place of soft tissue.
        texture: irregularity of all that.
    """

    skin: Surface
    muscle: Surface
    lungs: Ellipsoids
    diaphragm: Ellipsoids
    gas: Ellipsoids
    fat: Ellipsoids
    muscles: Ellipsoids
    calcifications: Ellipsoids
    texture: TissueTexture = TissueTexture()

    def moved(self, target_from_source: RigidTransform) -> Trunk:
        """The same trunk in another frame; its texture belongs to no frame."""
        parts = {part.name: getattr(self, part.name) for part in fields(self) if part.name != "texture"}
        return replace(self, **{name: part.moved(target_from_source) for name, part in parts.items()})


def sample_trunk(
    rng: np.random.Generator,
    skin: Sections,
    spine_mm: np.ndarray,
    person: TrunkBuild,
    parameters: TrunkParameters,
) -> Trunk:
    """Fills an outline with fat, organs and gas.

    Args:
        rng: the source of randomness.
        skin: the outline, person's frame.
        spine_mm: [N, 3] body centres, person's frame.
        person: size and age.
        parameters: ranges.
    """
    waist = skin.at(0.0)[1]
    fat_mm = rng.uniform(*(parameters.obese_fat_mm if skin.obese else parameters.fat_mm))
    muscle = skin.inset(fat_mm * waist[1] / 170)
    centre, room = muscle.at(0.0)
    lungs, diaphragm = _lungs(rng, muscle, parameters)
    return Trunk(
        skin=skin.surface(),
        muscle=muscle.surface(),
        lungs=lungs,
        diaphragm=diaphragm,
        gas=_gas(rng, room, centre[0], parameters),
        fat=_fat(rng, room, centre[0], parameters),
        muscles=_muscles(rng, room, centre[0], person.size_ratio),
        calcifications=_calcifications(rng, spine_mm, person, parameters),
        texture=_texture(rng, parameters),
    )


def _texture(rng: np.random.Generator, parameters: TrunkParameters) -> TissueTexture:
    names = ("lung_density", "lung_markings", "warp_mm", "warp_wave_mm", "mottle_mm")
    return TissueTexture(**{name: rng.uniform(*getattr(parameters, name)) for name in names})


def _make(centres, radii, rotations=None) -> Ellipsoids:
    """Ellipsoids of unit contrast from centres [N, 3], radii [N, 3] and rotations [N, 3, 3] of their axes."""
    centres, radii = np.reshape(np.asarray(centres, float), (-1, 3)), np.reshape(np.asarray(radii, float), (-1, 3))
    axes = np.eye(3)[None] * radii[:, :, None]
    if rotations is not None:
        axes = axes @ np.swapaxes(np.asarray(rotations), 1, 2)
    return Ellipsoids(centres, axes, np.ones(len(centres)))


def _random_rotations(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.array([euler_rotation(*rng.uniform(-np.pi, np.pi, 3)) for _ in range(count)]).reshape(-1, 3, 3)


def _lungs(rng: np.random.Generator, muscle: Sections, parameters: TrunkParameters) -> tuple[Ellipsoids, Ellipsoids]:
    """Both lungs and the domes of the diaphragm that carve them, leaving the recesses behind and beside the domes."""
    base = rng.uniform(*parameters.lung_base_mm)
    dome = rng.uniform(*parameters.diaphragm_dome_mm)
    centre, room = muscle.at(base + 80)
    lungs, domes, lung_radii, dome_radii = [], [], [], []
    for side in (1, -1):
        # The liver lifts the right dome.
        top = base + dome + (rng.uniform(5, 20) if side < 0 else 0.0)
        lungs.append([centre[0] - 0.05 * room[0], centre[1] + side * 0.49 * room[1], base + 190])
        lung_radii.append([0.88 * room[0], 0.44 * room[1], 190.0])
        # Wide and flat: the dome spans the whole half of the chest, and ends in a sharp angle at the ribs.
        height = rng.uniform(75, 120)
        domes.append([centre[0] + rng.uniform(0.1, 0.28) * room[0], centre[1] + side * 0.5 * room[1], top - height])
        dome_radii.append([rng.uniform(0.85, 1.0) * room[0], rng.uniform(0.52, 0.75) * room[1], height])
    return _make(lungs, lung_radii), _make(domes, dome_radii)


def _gas(rng: np.random.Generator, room: np.ndarray, centre_x: float, parameters: TrunkParameters) -> Ellipsoids:
    """Bowel gas: chains of bubbles, and the speckle of stool."""
    centres, radii = [], []
    for _ in range(rng.integers(*parameters.gas_chains)):
        position = (
            np.array([centre_x, 0, 0])
            + rng.uniform(-1, 1, 3) * [0.5 * room[0], 0.75 * room[1], 150]
            + [0.25 * room[0], 0, -10]
        )
        direction = rng.standard_normal(3) * [0.4, 1.0, 1.0]
        size = rng.uniform(*parameters.gas_radius_mm)
        for _ in range(rng.integers(2, 9)):
            centres.append(position.copy())
            radii.append(size * rng.uniform(0.5, 1.3, 3) * [0.7, 1.0, 1.0])
            direction = direction + 0.6 * rng.standard_normal(3)
            position += direction / np.linalg.norm(direction) * size * rng.uniform(0.7, 1.5)
    for _ in range(rng.integers(*parameters.stool_patches)):
        middle = np.array([centre_x + 0.15 * room[0], 0, -20]) + rng.uniform(-1, 1, 3) * [
            0.4 * room[0],
            0.8 * room[1],
            120,
        ]
        count = rng.integers(30, 110)
        centres.extend(middle + rng.standard_normal((count, 3)) * rng.uniform(9, 20, 3))
        radii.extend(rng.uniform(1.0, 4.0, (count, 3)))
    gas = _make(centres, radii, _random_rotations(rng, len(centres)))
    return Ellipsoids(gas.centres_mm, gas.axes_mm, rng.uniform(*parameters.gas_contrast, len(centres)))


def _fat(rng: np.random.Generator, room: np.ndarray, centre_x: float, parameters: TrunkParameters) -> Ellipsoids:
    """Fat around psoas and kidneys, which makes their edges visible, and lobules that mottle the soft tissue."""
    centres = [[centre_x - 0.35 * room[0], side * 0.42 * room[1], rng.uniform(-30, 20)] for side in (1, -1)]
    radii = [[0.45 * room[0], 0.36 * room[1], rng.uniform(110, 170)] for _ in range(2)]
    count = rng.integers(*parameters.fat_lobules)
    spread = rng.uniform(-1, 1, (count, 3)) * [0.6 * room[0], 0.8 * room[1], 220]
    centres.extend(spread + np.array([centre_x, 0, 0]))
    size = np.exp(rng.uniform(np.log(6), np.log(32), (count, 1)))
    radii.extend(size * rng.uniform(0.5, 1.3, (count, 3)))
    rotations = _random_rotations(rng, len(centres))
    rotations[:2] = np.eye(3)
    fat = _make(centres, radii, rotations)
    contrast = np.concatenate([rng.uniform(0.4, 1.0, 2), rng.uniform(-0.6, 1.0, count)])
    return Ellipsoids(fat.centres_mm, fat.axes_mm, contrast)


def _muscles(rng: np.random.Generator, room: np.ndarray, centre_x: float, size_ratio: float) -> Ellipsoids:
    """Psoas and kidneys on both sides, in the fat behind the bowel."""
    centres, radii, rotations = [], [], []
    for side in (1, -1):
        bulk = size_ratio * rng.uniform(0.75, 1.25)
        centres.append([rng.uniform(-8, 6), side * rng.uniform(42, 50), rng.uniform(-45, -20)])
        radii.append([22 * bulk, 20 * bulk, rng.uniform(110, 135)])
        rotations.append(euler_rotation(side * np.radians(rng.uniform(10, 16)), np.radians(rng.uniform(-12, -2)), 0.0))
        centres.append([-35 + rng.uniform(-8, 8), side * rng.uniform(65, 80), rng.uniform(25, 70)])
        radii.append([26, 28, 55] * rng.uniform(0.85, 1.15, 3))
        rotations.append(euler_rotation(side * np.radians(-12), np.radians(10), 0.0))
    organs = _make(centres, radii, rotations)
    contrast = np.where(np.arange(len(centres)) % 2, rng.uniform(0.1, 0.45), rng.uniform(0.3, 0.9))
    return Ellipsoids(organs.centres_mm, organs.axes_mm, contrast)


def _calcifications(
    rng: np.random.Generator, spine_mm: np.ndarray, person: TrunkBuild, parameters: TrunkParameters
) -> Ellipsoids:
    """Plaques of the aortic wall before and left of the lower vertebrae, in some old people."""
    if rng.random() >= np.interp(person.ageing, (0, 1), parameters.calcification_share):
        return _make([], [])
    count = rng.integers(6, 40)
    z = rng.uniform(-75, 70, count)
    angle = rng.uniform(0, 2 * np.pi, count)
    order = np.argsort(spine_mm[:, 2])
    axis = np.stack([np.interp(z, spine_mm[order, 2], spine_mm[order, i]) for i in range(2)], 1)
    axis += np.array([32, 8])
    wall = axis + rng.uniform(8, 10) * np.stack([np.cos(angle), np.sin(angle)], 1)
    plaques = _make(np.column_stack([wall, z]), rng.uniform(0.6, 2.2, (count, 3)) * [1.0, 1.0, 1.8])
    return Ellipsoids(plaques.centres_mm, plaques.axes_mm, rng.uniform(0.2, 0.9, count))
