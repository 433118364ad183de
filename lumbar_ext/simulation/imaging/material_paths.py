"""From a scene to the path length of every ray in each material.

A bone, an organ or gas replaces the soft tissue it lies in. Bones are shells of dense bone with pores over cores of
trabecular bone: marrow with a share of dense bone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.drr import MeshProjector
from lumbar_ext.drr.projector import add_path_length
from lumbar_ext.geometry import Camera
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.simulation.body.composition import Composition
from lumbar_ext.simulation.body.materials import MATERIALS
from lumbar_ext.simulation.body.noise import smooth_noise
from lumbar_ext.simulation.body.trunk import Trunk
from lumbar_ext.simulation.imaging.filters import gaussian_blur
from lumbar_ext.simulation.imaging.soft_tissue import soft_tissue_paths

_PATCH_MM = (3.0, 8.0)  # of dense and porous bone, on the detector


@dataclass(frozen=True)
class ShelledBone:
    """A bone and the surface of its marrow space, in the world frame.

    Args:
        outer: surface of the bone.
        core: surface of its marrow space.
        level: of `Composition.trabecular_hu`.
        name: a lumbar level, "sacrum", or "" for any other bone.
    """

    outer: Surface
    core: Surface
    level: int = 0
    name: str = ""


@dataclass(frozen=True)
class Inclusion:
    """Something besides trunk and bones: metal, arms, a table, what fills a disc.

    Args:
        solid: its surface, world frame.
        material: one of `MATERIALS`.
        density: against the material's own; 0 is gas.
        replaces: whether it takes the place of soft tissue rather than adding to what is there.
    """

    solid: Surface
    material: str
    density: float = 1.0
    replaces: bool = False


@dataclass(frozen=True)
class BodyScene:
    """Everything in the beam, world frame.

    Args:
        bones: vertebrae, ribs, pelvis, and bones of the arms.
        composition: what they are made of.
        trunk: soft tissues.
        inclusions: metal, arms, table, what fills discs; empty for most people.
    """

    bones: tuple[ShelledBone, ...]
    composition: Composition
    trunk: Trunk
    inclusions: tuple[Inclusion, ...] = ()


def material_paths(rng: np.random.Generator, scene: BodyScene, camera: Camera, *, oversampling: int = 2) -> np.ndarray:
    """Path lengths in `MATERIALS`, float32 [4, rows, columns] mm.

    One material that takes the place of another counts less of it, so a value may be negative where a scene puts more in
    place of fat than there is of it.

    Args:
        rng: draws the trabecular pattern, and the texture of soft tissue.
        scene: what is in the beam.
        camera: the view.
        oversampling: bones are rendered on a grid this much finer and averaged.
    """
    soft, fat, bone, _ = range(len(MATERIALS))
    paths = soft_tissue_paths(rng, scene.trunk, camera)
    shell, core, core_bone = _bone_paths(scene, camera, oversampling)
    composition = scene.composition
    marrow = core - core_bone
    dense = composition.shell_density * shell + core_bone
    paths[soft] += (1 - composition.marrow_fat) * marrow - core - composition.shell_density * shell
    paths[fat] += composition.marrow_fat * marrow
    paths[bone] += dense + _trabecular_pattern(rng, core, core_bone, composition, camera.pixel_spacing_mm[0])
    for inclusion in scene.inclusions:
        path = np.zeros_like(shell)
        add_path_length(path, MeshProjector(camera), inclusion.solid)
        paths[MATERIALS.index(inclusion.material)] += np.float32(inclusion.density) * path
        if inclusion.replaces:
            paths[soft] -= path
    return paths


def _bone_paths(scene: BodyScene, camera: Camera, oversampling: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Path lengths [rows, columns] in shells, in cores, and in the dense bone of the cores."""
    columns, rows = camera.size_px
    spacing = camera.pixel_spacing_mm
    fine = camera.resampled(
        size_px=(columns * oversampling, rows * oversampling),
        pixel_spacing_mm=(spacing[0] / oversampling, spacing[1] / oversampling),
    )
    projector = MeshProjector(fine)
    shell, core, core_bone = (np.zeros((rows * oversampling, columns * oversampling), np.float32) for _ in range(3))
    for part in scene.bones:
        density = scene.composition.core_density(part.level)
        add_path_length(shell, projector, part.outer)
        add_path_length(core, projector, part.core, also_to=core_bone, weight=density)
    shell, core, core_bone = (averaged(path, oversampling) for path in (shell, core, core_bone))
    return shell - core, core, core_bone


def averaged(image: np.ndarray, factor: int) -> np.ndarray:
    """Means of blocks of `factor` x `factor` pixels, float32."""
    if factor == 1:
        return image
    rows, columns = image.shape[0] // factor, image.shape[1] // factor
    total = np.zeros((rows, columns), dtype=np.float32)
    for i in range(factor):
        for j in range(factor):
            total += image[i::factor, j::factor]
    return total / factor**2


def _trabecular_pattern(
    rng: np.random.Generator, core: np.ndarray, core_bone: np.ndarray, composition: Composition, spacing_mm: float
) -> np.ndarray:
    """Dense bone, mm, by which trabecular bone deviates from its mean.

    Trabeculae that are independent along a ray add up as the root of their number, and weigh as much as the bone there is:
    full weight where dense bone fills a sixth.
    """
    fine = _trabeculae(rng, core.shape, spacing_mm)
    patches = smooth_noise(rng, core.shape, rng.uniform(*_PATCH_MM) / spacing_mm)
    root = np.sqrt(np.maximum(core, 0.0))
    density = np.minimum(6 * core_bone / np.maximum(core, 1.0), 1.0)
    return density * root * (composition.texture * fine + composition.patches * patches)


def _trabeculae(rng: np.random.Generator, shape: tuple[int, int], spacing_mm: float) -> np.ndarray:
    """Zero-mean, unit-variance noise, a little longer along the columns as the load-bearing trabeculae are."""
    sigma = (rng.uniform(0.7, 1.4) / spacing_mm, rng.uniform(0.5, 0.9) / spacing_mm)
    pattern = gaussian_blur(rng.standard_normal(shape, dtype=np.float32), sigma)
    return pattern / pattern.std()
