"""Beer-Lambert for spectra: one bin is one energy, filtering hardens, few bins do what many do."""

import numpy as np
import pytest

from lumbar_ext.simulation.body.materials import MATERIALS, attenuation_per_mm
from lumbar_ext.simulation.imaging.beam import fine_spectrum, monochromatic, transmission, tube_beam


def paths(**lengths_mm):
    """[4, 1, N] path lengths of materials given by name."""
    count = max(np.size(value) for value in lengths_mm.values())
    result = np.zeros((len(MATERIALS), 1, count), np.float32)
    for name, value in lengths_mm.items():
        result[MATERIALS.index(name), 0] = value
    return result


def test_one_energy_is_the_exponential_of_the_line_integral():
    line = 180 * attenuation_per_mm("soft", 55.0) + 30 * attenuation_per_mm("fat", 55.0)
    line += 12 * attenuation_per_mm("bone", 55.0) + 2 * attenuation_per_mm("metal", 55.0)
    passed = transmission(paths(soft=180, fat=30, bone=12, metal=2), monochromatic(55.0))
    assert np.isclose(passed[0, 0], np.exp(-line), rtol=1e-4)


def test_a_spectrum_of_equal_energies_is_one_energy():
    beam = monochromatic(60.0)
    spread = type(beam)(np.full(3, 60.0), np.array([0.2, 0.5, 0.3]))
    assert np.allclose(
        transmission(paths(soft=[50, 200]), spread), transmission(paths(soft=[50, 200]), beam), rtol=1e-5
    )


def test_the_beam_hardens_with_depth():
    depth = np.arange(0, 350, 25.0)
    line = -np.log(transmission(paths(soft=depth), tube_beam(78.0, 3.0, 8))[0])
    effective = np.diff(line) / np.diff(depth)
    assert (np.diff(effective) < 0).all()
    assert attenuation_per_mm("soft", 78.0) < effective[-1] < effective[0] < attenuation_per_mm("soft", 25.0)


@pytest.mark.parametrize("tube_kv", [68.0, 78.0, 98.0])
def test_six_bins_do_what_the_spectrum_does_behind_a_person(tube_kv):
    lengths = paths(soft=[150, 200, 300, 200, 300], bone=[0, 10, 10, 40, 40])
    exact = -np.log(transmission(lengths, fine_spectrum(tube_kv, 3.0)))
    few = -np.log(transmission(lengths, tube_beam(tube_kv, 3.0, 6)))
    assert np.abs(few - exact).max() < 0.03
    assert np.isclose(tube_beam(tube_kv, 3.0, 6).weights.sum(), 1.0)


@pytest.mark.parametrize(("tube_kv", "aluminium_mm", "spekpy_kev"), [(60, 3.5, 46.9), (78, 3.5, 56.2), (90, 4.0, 61.6)])
def test_mean_energies_behind_25_cm_of_water_are_those_of_spekpy(tube_kv, aluminium_mm, spekpy_kev):
    beam = fine_spectrum(tube_kv, aluminium_mm)
    photons = beam.weights / beam.energies_kev * np.exp(-attenuation_per_mm("water", beam.energies_kev) * 250)
    assert np.isclose(photons @ beam.energies_kev / photons.sum(), spekpy_kev, atol=1.3)


def test_more_aluminium_and_more_voltage_harden_the_beam():
    assert tube_beam(78, 4.5, 6).mean_energy_kev > tube_beam(78, 2.5, 6).mean_energy_kev
    assert tube_beam(95, 3.0, 6).mean_energy_kev > tube_beam(70, 3.0, 6).mean_energy_kev
