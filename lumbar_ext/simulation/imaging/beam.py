"""X-ray beams: a spectrum in a few energy bins, or one effective energy, and what they let through.

Spectra: bremsstrahlung of Kramers' law, `N(E) ~ (E0 - E) / E` (Kramers 1923), behind aluminium, weighted with the photon
energy as an energy-integrating detector does. Behind 20-30 cm of water its mean energy is that of SpekPy 2 (Poludniowski
2021) within 1.3 keV from 60 to 90 kV.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.simulation.body.materials import ENERGY_RANGE_KEV, MATERIALS, attenuation_per_mm

_STEP_KEV = 0.5  # of the spectrum
_BINNED_BEHIND_MM = 120.0  # of water: bins hold equal shares of what passes a thin trunk
_EXACT_BEHIND_MM = 220.0  # of water, an average trunk: there the binned spectrum's attenuation is exact


@dataclass(frozen=True)
class Beam:
    """A spectrum.

    Args:
        energies_kev: [B].
        weights: [B] shares of the detected signal without a patient; they sum to 1.
    """

    energies_kev: np.ndarray
    weights: np.ndarray

    @property
    def mean_energy_kev(self) -> float:
        """Mean energy of the detected signal without a patient."""
        return float(self.energies_kev @ self.weights)

    @property
    def attenuation_per_mm(self) -> np.ndarray:
        """[B, 4] linear attenuation of `MATERIALS` at the energies."""
        return np.stack([attenuation_per_mm(name, self.energies_kev) for name in MATERIALS], axis=1)


def monochromatic(energy_kev: float) -> Beam:
    """A beam of photons of one energy in keV: the law of attenuation without hardening."""
    return Beam(np.array([float(energy_kev)]), np.ones(1))


def fine_spectrum(tube_kv: float, aluminium_mm: float) -> Beam:
    """The beam of a tungsten tube in steps of 0.5 keV.

    Args:
        tube_kv: tube voltage, kV.
        aluminium_mm: total filtration.
    """
    energy = np.arange(ENERGY_RANGE_KEV[0] + _STEP_KEV / 2, tube_kv, _STEP_KEV)
    photons = (tube_kv - energy) / energy * np.exp(-attenuation_per_mm("aluminium", energy) * aluminium_mm)
    return Beam(energy, photons * energy / (photons * energy).sum())


def tube_beam(tube_kv: float, aluminium_mm: float, bins: int) -> Beam:
    """The beam of a tungsten tube in few bins.

    The bins hold equal shares of what passes 120 mm of water; the energy of a bin is the one that lets through 220 mm
    of water what the bin's part of the spectrum does.

    Args:
        tube_kv: tube voltage, kV.
        aluminium_mm: total filtration.
        bins: number of energies.
    """
    fine = fine_spectrum(tube_kv, aluminium_mm)
    water = attenuation_per_mm("water", fine.energies_kev)
    cumulated = np.cumsum(fine.weights * np.exp(-water * _BINNED_BEHIND_MM))
    index = np.minimum((cumulated / cumulated[-1] * bins * (1 - 1e-9)).astype(int), bins - 1)
    weights = np.bincount(index, fine.weights, minlength=bins)
    passed = np.bincount(index, fine.weights * np.exp(-water * _EXACT_BEHIND_MM), minlength=bins)
    effective = -np.log(passed / weights) / _EXACT_BEHIND_MM
    # Attenuation falls with energy: the table is read backwards.
    return Beam(np.interp(-effective, -water, fine.energies_kev), weights)


def transmission(paths_mm: np.ndarray, beam: Beam) -> np.ndarray:
    """The share of the signal that passes, `sum_b w_b exp(-sum_m mu_m(E_b) t_m)`, float32 [rows, columns].

    Args:
        paths_mm: [4, rows, columns] float32 path lengths in `MATERIALS`.
        beam: the spectrum.
    """
    flat = np.ascontiguousarray(paths_mm, dtype=np.float32).reshape(len(MATERIALS), -1)
    lines = beam.attenuation_per_mm.astype(np.float32) @ flat
    np.exp(np.negative(lines, out=lines), out=lines)
    return (beam.weights.astype(np.float32) @ lines).reshape(paths_mm.shape[1:])
