"""The physics of a radiograph: attenuation of everything in the beam, scatter, noise, and blur.

Bones are cortical shells over trabecular cores; a bone, an organ or gas replaces the soft tissue it lies in, so it
contributes the difference of attenuations. The line integral `sum mu_i t_i` is taken at one effective energy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from lumbar_ext.drr import MeshProjector
from lumbar_ext.geometry import Camera
from lumbar_ext.simulation.ellipsoids import Ellipsoids, carved_path_length, weighted_path_length
from lumbar_ext.simulation.parameters import BeamParameters
from lumbar_ext.simulation.solid import Solid
from lumbar_ext.simulation.tissue import Attenuation, attenuation_at
from lumbar_ext.simulation.trunk import Trunk

_COARSE_MM = 6.0
# Rays with a greater line integral pass through the trunk rather than along its edge.
_BODY_LINE = 2.0
_MAX_SCATTER_SOURCE = 2.0


@dataclass(frozen=True)
class ShelledBone:
    """A bone and the surface of its marrow space, in the world frame."""

    outer: Solid
    core: Solid


@dataclass(frozen=True)
class Scene:
    """Everything in the beam, world frame.

    Args:
        bones: vertebrae, ribs and pelvis.
        trunk: soft tissues.
        metal: wires and screws; empty for most people.
    """

    bones: tuple[ShelledBone, ...]
    trunk: Trunk
    metal: tuple[Solid, ...] = ()


@dataclass(frozen=True)
class Exposure:
    """One draw of the beam, shared by both views where it belongs to the person.

    Args:
        attenuation: coefficients per mm.
        texture: relative amplitude of the trabecular pattern.
        scatter_ratio: mean scatter over mean primary.
        scatter_sigma_mm: width of the scatter field on the detector.
        photons: unattenuated quanta detected per square mm of detector.
        blur_sigma_mm: focal spot and detector together.
        noise_neighbour: correlation of the noise between neighbours.
    """

    attenuation: Attenuation
    texture: float
    scatter_ratio: float
    scatter_sigma_mm: float
    photons_per_mm2: float
    blur_sigma_mm: float
    noise_neighbour: float


def sample_exposures(rng: np.random.Generator, parameters: BeamParameters) -> dict[str, Exposure]:
    """The exposures of both views: one person and one tube, other loads, scatter and noise."""
    attenuation = attenuation_at(
        rng.uniform(*parameters.energy_kev), trabecular_hu=rng.uniform(*parameters.trabecular_hu)
    )
    scale = rng.uniform(*parameters.cortical_scale)
    attenuation = Attenuation(
        attenuation.soft, attenuation.fat, attenuation.lung, attenuation.cortical * scale, attenuation.trabecular
    )
    texture = rng.uniform(*parameters.trabecular_texture)
    efficiency = rng.uniform(*parameters.detective_efficiency)
    exposures = {}
    for view, scatter, mas in (
        ("ap", parameters.scatter_ap, parameters.mas_ap),
        ("lat", parameters.scatter_lat, parameters.mas_lat),
    ):
        load = np.exp(rng.uniform(*np.log(mas)))
        exposures[view] = Exposure(
            attenuation=attenuation,
            texture=texture,
            scatter_ratio=rng.uniform(*scatter),
            scatter_sigma_mm=rng.uniform(*parameters.scatter_sigma_mm),
            photons_per_mm2=parameters.photons_per_mas * load * efficiency / 0.834**2,
            blur_sigma_mm=rng.uniform(*parameters.blur_sigma_mm),
            noise_neighbour=rng.uniform(*parameters.noise_neighbour),
        )
    return exposures


def line_integral(
    rng: np.random.Generator, scene: Scene, camera: Camera, exposure: Exposure, *, oversampling: int = 2
) -> np.ndarray:
    """`sum mu_i t_i` of the scene, float32 [rows, columns].

    Args:
        rng: draws the trabecular pattern.
        scene: what is in the beam.
        camera: the view.
        exposure: attenuation coefficients.
        oversampling: bones are rendered on a grid this much finer and averaged.
    """
    mu = exposure.attenuation
    total = _soft_tissue(scene.trunk, camera, mu)
    columns, rows = camera.size_px
    spacing = camera.pixel_spacing_mm
    fine = camera.resampled(
        size_px=(columns * oversampling, rows * oversampling),
        pixel_spacing_mm=(spacing[0] / oversampling, spacing[1] / oversampling),
    )
    projector = MeshProjector(fine)
    shell, core = (np.zeros((rows * oversampling, columns * oversampling), np.float32) for _ in range(2))
    for bone in scene.bones:
        add_path_length(shell, projector, bone.outer)
        add_path_length(core, projector, bone.core)
    shell, core = (_averaged(path, oversampling) for path in (shell, core))
    total += (mu.cortical - mu.soft) * (shell - core) + (mu.trabecular - mu.soft) * core
    # Trabeculae that are independent along the ray add up as the root of their number.
    pattern = _trabecular_pattern(rng, core.shape, spacing[0])
    total += mu.trabecular * exposure.texture * np.sqrt(np.maximum(core, 0.0)) * pattern
    for solid in scene.metal:
        metal = np.zeros_like(shell)
        add_path_length(metal, MeshProjector(camera), solid)
        # Titanium: 4.5 g/cm3, about 3.5 per cm at 55 keV.
        total += np.float32(0.35) * metal
    return np.maximum(total, 0.0)


def add_path_length(total: np.ndarray, projector: MeshProjector, solid: Solid) -> None:
    """Adds a mesh's path length to an image, rendering only the window it covers."""
    # What holds the images of the bounding box's corners holds the mesh's.
    window = projector.window_around(projector.project_with_inverse_depth(solid.box_corners_mm)[:, :2], 1.0)
    if window.columns > 0 and window.rows > 0:
        total[window.slices] += projector.path_length(solid.vertices_mm, solid.triangles, window)


def expose(rng: np.random.Generator, line: np.ndarray, camera: Camera, exposure: Exposure) -> np.ndarray:
    """The detected log signal `-ln(I / I0)`, bone bright: primary, scatter, quantum noise and blur.

    Args:
        rng: draws the noise.
        line: `line_integral` of the scene.
        camera: the view.
        exposure: scatter, noise and blur.
    """
    spacing = camera.pixel_spacing_mm[0]
    primary = gaussian_filter(np.exp(-line), exposure.blur_sigma_mm / spacing)
    # Scatter arises in the person: the open beam beside the skin is not a source of it.
    behind_body = primary[line > _BODY_LINE]
    ceiling = _MAX_SCATTER_SOURCE * np.median(behind_body) if behind_body.size else 1.0
    source = np.minimum(primary, ceiling)
    intensity = primary + exposure.scatter_ratio * smooth(source, exposure.scatter_sigma_mm, spacing)
    photons = exposure.photons_per_mm2 * spacing * camera.pixel_spacing_mm[1]
    noise = rng.standard_normal(line.shape, dtype=np.float32)
    noise = _correlated(noise, exposure.noise_neighbour)
    counts = intensity * photons
    counts = counts + np.sqrt(counts) * noise
    # No detector reads below a fraction of a quantum; the logarithm must stay finite.
    return -np.log(np.maximum(counts, 0.5) / photons).astype(np.float32)


def smooth(image: np.ndarray, sigma_mm: float, spacing_mm: float) -> np.ndarray:
    """A wide gaussian blur, computed on a coarse grid."""
    factor = max(1, min(int(min(_COARSE_MM, sigma_mm / 3) / spacing_mm), min(image.shape) // 8))
    rows, columns = (n // factor * factor for n in image.shape)
    coarse = image[:rows, :columns].reshape(rows // factor, factor, columns // factor, factor).mean((1, 3))
    coarse = gaussian_filter(coarse, sigma_mm / (spacing_mm * factor), mode="nearest", truncate=3.0)
    scale = (image.shape[0] / coarse.shape[0], image.shape[1] / coarse.shape[1])
    return zoom(coarse, scale, order=1, grid_mode=True, mode="nearest").astype(np.float32)


def _soft_tissue(trunk: Trunk, camera: Camera, mu: Attenuation) -> np.ndarray:
    """`sum mu_i t_i` of everything but bone and metal."""
    columns, rows = camera.size_px
    total = np.zeros((rows, columns), dtype=np.float32)
    projector = MeshProjector(camera)
    for solid, difference in ((trunk.skin, mu.fat), (trunk.muscle, mu.soft - mu.fat)):
        path = np.zeros_like(total)
        add_path_length(path, projector, solid)
        total += np.float32(difference) * path
    contents = (
        (trunk.gas, -mu.soft),
        (trunk.fat, mu.fat - mu.soft),
        (trunk.muscles, mu.soft - mu.fat),
        (trunk.calcifications, mu.cortical - mu.soft),
    )
    weighted = [Ellipsoids(part.centres_mm, part.axes_mm, part.contrast * difference) for part, difference in contents]
    total += weighted_path_length(Ellipsoids.concatenated(weighted), camera)
    total += np.float32(mu.lung - mu.soft) * carved_path_length(trunk.lungs, trunk.diaphragm, camera)
    return total


def _averaged(image: np.ndarray, factor: int) -> np.ndarray:
    if factor == 1:
        return image
    rows, columns = image.shape[0] // factor, image.shape[1] // factor
    total = np.zeros((rows, columns), dtype=np.float32)
    for i in range(factor):
        for j in range(factor):
            total += image[i::factor, j::factor]
    return total / factor**2


def _trabecular_pattern(rng: np.random.Generator, shape: tuple[int, int], spacing_mm: float) -> np.ndarray:
    """Zero-mean, unit-variance noise, longer along the columns as the load-bearing trabeculae are."""
    sigma = np.array([rng.uniform(1.0, 2.5), rng.uniform(0.5, 1.0)]) / spacing_mm
    pattern = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma, truncate=2.5)
    return pattern / pattern.std()


def _correlated(noise: np.ndarray, neighbour: float) -> np.ndarray:
    """White noise passed through a 3x3 kernel of unit energy: the light spread of the scintillator."""
    centre = np.sqrt(1 - 4 * neighbour**2)
    spread = centre * noise
    spread[1:] += neighbour * noise[:-1]
    spread[:-1] += neighbour * noise[1:]
    spread[:, 1:] += neighbour * noise[:, :-1]
    spread[:, :-1] += neighbour * noise[:, 1:]
    return spread
