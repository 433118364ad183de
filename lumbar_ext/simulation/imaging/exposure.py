"""The physics of a radiograph: Beer-Lambert attenuation of a spectrum, focal blur, scatter and quantum noise.

What the beam meets comes from `material_paths` (meshes) or `ct_projection` (a CT volume).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.geometry import Camera
from lumbar_ext.simulation.imaging.beam import Beam, monochromatic, transmission, tube_beam
from lumbar_ext.simulation.imaging.filters import gaussian_blur, smooth
from lumbar_ext.simulation.ranges import BeamParameters

# Rays that less passes through cross the trunk rather than graze its edge.
_BODY_TRANSMISSION = np.exp(-2.0)
_MAX_SCATTER_SOURCE = 2.0  # times the median behind the body: beside it, open beam would scatter without a scatterer
# What `BeamParameters.photons_per_mas` holds for; output grows with the square of the voltage.
_REFERENCE_KV = 78.0
_REFERENCE_DISTANCE_MM = 1200.0  # of source and detector, for which photons a mAs are stated
_REFERENCE_PIXEL_MM = 0.834  # of the paper's images, likewise
# Of tissue at 54 keV (NIST): soft tissue 0.0225, fat 0.0205.
_ATTENUATION_PER_MM = 0.022
_LEAST_THICKNESS_MM = 50.0  # of water that counts as the person
_HEEL_UPRIGHT_SHARE = 0.75  # of pictures with the tube's axis along the spine


@dataclass(frozen=True)
class Exposure:
    """How one view was taken.

    Args:
        beam: the spectrum.
        scatter_ratio: mean scatter over mean primary, of a person of typical thickness.
        scatter_sigma_mm: width of the scatter field on the detector.
        photons_per_mm2: unattenuated quanta detected per square mm of a detector 1200 mm from the source.
        focal_spot_mm: width of the focal spot.
        detector_blur_mm: standard deviation of the detector's spread.
        noise_neighbour: correlation of the noise between neighbours.
        typical_thickness_mm: see `scatter_ratio`.
        scatter_power: of the thickness, that the scatter ratio grows with.
        control: how much of the attenuation beyond that thickness automatic exposure makes up for, 0 to 1.
        control_limit: by which factor at most.
        heel: relative fall of the beam from the first to the last column, and row.
    """

    beam: Beam
    scatter_ratio: float
    scatter_sigma_mm: float
    photons_per_mm2: float
    focal_spot_mm: float
    detector_blur_mm: float
    noise_neighbour: float
    typical_thickness_mm: float = 235.0
    scatter_power: float = 0.0
    control: float = 0.0
    control_limit: float = 1.0
    heel: tuple[float, float] = (0.0, 0.0)

    def scatter_behind(self, thickness_mm: float) -> float:
        """Scatter over primary behind a person of some thickness."""
        return self.scatter_ratio * (thickness_mm / self.typical_thickness_mm) ** self.scatter_power

    def load_behind(self, thickness_mm: float) -> float:
        """The factor by which automatic exposure changes the load."""
        wanted = np.exp(self.control * _ATTENUATION_PER_MM * (thickness_mm - self.typical_thickness_mm))
        return float(np.clip(wanted, 1 / self.control_limit, self.control_limit))

    def blur_sigma_mm(self, magnification: float) -> float:
        """Standard deviation on the detector of the image of a point, for an object at that magnification.

        A uniform focal spot of width w casts a penumbra of width `w (m - 1)`.
        """
        penumbra = self.focal_spot_mm * (magnification - 1) / np.sqrt(12)
        return float(np.hypot(penumbra, self.detector_blur_mm))


def sample_exposures(rng: np.random.Generator, parameters: BeamParameters) -> dict[str, Exposure]:
    """The exposures of both views: one tube and detector, other voltages, loads, scatter and noise."""
    aluminium = rng.uniform(*parameters.aluminium_mm)
    energy = rng.uniform(*parameters.energy_kev)
    efficiency = rng.uniform(*parameters.detective_efficiency)
    focal_spot, detector = rng.uniform(*parameters.focal_spot_mm), rng.uniform(*parameters.detector_blur_mm)
    exposures = {}
    power, control = rng.uniform(*parameters.scatter_power), rng.uniform(*parameters.exposure_control)
    for view in VIEWS:
        tube_kv = rng.uniform(*getattr(parameters, f"tube_kv_{view}"))
        load = np.exp(rng.uniform(*np.log(getattr(parameters, f"mas_{view}")))) * (tube_kv / _REFERENCE_KV) ** 2
        bins = parameters.energy_bins
        exposures[view] = Exposure(
            beam=tube_beam(tube_kv, aluminium, bins) if bins else monochromatic(energy),
            scatter_ratio=rng.uniform(*getattr(parameters, f"scatter_{view}")),
            scatter_sigma_mm=rng.uniform(*parameters.scatter_sigma_mm),
            photons_per_mm2=parameters.photons_per_mas * load * efficiency / _REFERENCE_PIXEL_MM**2,
            focal_spot_mm=focal_spot,
            detector_blur_mm=detector,
            noise_neighbour=rng.uniform(*parameters.noise_neighbour),
            typical_thickness_mm=getattr(parameters, f"typical_thickness_{view}_mm"),
            scatter_power=power,
            control=control,
            control_limit=parameters.exposure_control_limit,
            heel=_sample_heel(rng, parameters),
        )
    return exposures


def _sample_heel(rng: np.random.Generator, parameters: BeamParameters) -> tuple[float, float]:
    """The anode lies along the film's height, mostly, or its width, either way round."""
    fall = rng.uniform(*parameters.heel) * rng.choice([-1.0, 1.0])
    return (0.0, float(fall)) if rng.random() < _HEEL_UPRIGHT_SHARE else (float(fall), 0.0)


def _thickness_mm(paths_mm: np.ndarray) -> float:
    """Of the person in the middle of the picture: the median path of rays that cross it, by [4, rows, columns] paths."""
    rows, columns = paths_mm.shape[1:]
    middle = paths_mm[:3, rows // 4 : rows - rows // 4 : 4, columns // 4 : columns - columns // 4 : 4].sum(axis=0)
    crossing = middle[middle > _LEAST_THICKNESS_MM]
    return float(np.median(crossing)) if crossing.size else _LEAST_THICKNESS_MM


def _heel_field(shape: tuple[int, int], heel: tuple[float, float]) -> np.ndarray:
    """Relative intensity [rows, columns] of the beam, 1 in the middle."""
    rows, columns = (np.linspace(0.5, -0.5, n, dtype=np.float32) for n in shape)
    return 1 + np.float32(heel[1]) * rows[:, None] + np.float32(heel[0]) * columns[None]


def expose(rng: np.random.Generator, paths_mm: np.ndarray, camera: Camera, exposure: Exposure) -> np.ndarray:
    """The detected log signal `-ln(I / I0)`, bone bright, float32 [rows, columns].

    Args:
        rng: draws the noise.
        paths_mm: [4, rows, columns] path lengths in `materials.MATERIALS`.
        camera: the view; the object is taken to be at the world's origin.
        exposure: spectrum, scatter, noise and blur.
    """
    spacing = camera.pixel_spacing_mm
    sharp = transmission(paths_mm, exposure.beam)
    blur = exposure.blur_sigma_mm(float(abs(camera.magnification(np.zeros(3))[0])))
    primary = gaussian_blur(sharp, blur / spacing[0])
    # Scatter arises in the person: the open beam beside the skin is not a source of it.
    behind_body = sharp[::4, ::4][sharp[::4, ::4] < _BODY_TRANSMISSION]
    ceiling = _MAX_SCATTER_SOURCE * np.median(behind_body) if behind_body.size else 1.0
    scatter = smooth(np.minimum(primary, np.float32(ceiling)), exposure.scatter_sigma_mm, spacing[0])
    thickness = _thickness_mm(paths_mm)
    intensity = primary + np.float32(exposure.scatter_behind(thickness)) * scatter
    intensity *= _heel_field(intensity.shape, exposure.heel)
    distance = abs(camera.source_distance_mm) / _REFERENCE_DISTANCE_MM
    load = exposure.load_behind(thickness)
    photons = np.float32(load * exposure.photons_per_mm2 * spacing[0] * spacing[1] / distance**2)
    noise = _correlated(rng.standard_normal(sharp.shape, dtype=np.float32), exposure.noise_neighbour)
    counts = intensity * photons
    counts = counts + np.sqrt(counts) * noise
    # No detector reads below a fraction of a quantum; the logarithm must stay finite.
    return -np.log(np.maximum(counts, np.float32(0.5)) / photons)


def _correlated(noise: np.ndarray, neighbour: float) -> np.ndarray:
    """White noise passed through a 3x3 kernel of unit energy: the light spread of the scintillator."""
    neighbour = np.float32(neighbour)
    spread = np.sqrt(1 - 4 * neighbour**2) * noise
    spread[1:] += neighbour * noise[:-1]
    spread[:-1] += neighbour * noise[1:]
    spread[:, 1:] += neighbour * noise[:, :-1]
    spread[:, :-1] += neighbour * noise[:, 1:]
    return spread
