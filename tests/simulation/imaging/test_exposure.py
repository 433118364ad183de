"""X-ray physics: blur, scatter and quantum noise against their formulas."""

import numpy as np

from lumbar_ext.geometry import ConeBeam
from lumbar_ext.simulation.body.materials import attenuation_per_mm
from lumbar_ext.simulation.imaging.beam import monochromatic
from lumbar_ext.simulation.imaging.exposure import Exposure, expose, sample_exposures
from lumbar_ext.simulation.ranges import BeamParameters

ENERGY_KEV = 55.0
# The camera's detector is as far from the source as the photon numbers are stated for.
CAMERA = ConeBeam([900.0, 0, 0], [-300.0, -63, 63], [0, 1, 0], [0, 0, -1], (2.0, 2.0), (64, 64))


def exposure(**changes):
    values = {
        "beam": monochromatic(ENERGY_KEV),
        "scatter_ratio": 0.0,
        "scatter_sigma_mm": 40.0,
        "photons_per_mm2": 1e6,
        "focal_spot_mm": 0.6,
        "detector_blur_mm": 0.2,
        "noise_neighbour": 0.05,
    }
    return Exposure(**{**values, **changes})


def paths_of(line):
    """Soft tissue that gives a line integral at one energy."""
    paths = np.zeros((4, *line.shape), np.float32)
    paths[0] = line / attenuation_per_mm("soft", ENERGY_KEV)
    return paths


def signal_of(line, seed=0, **changes):
    return expose(np.random.default_rng(seed), paths_of(np.asarray(line, np.float32)), CAMERA, exposure(**changes))


def test_quantum_noise_has_the_poisson_deviation():
    signal = signal_of(np.full((64, 64), 5.0), noise_neighbour=0.0)
    assert np.isclose(signal.std(), 1 / np.sqrt(1e6 * 4 * np.exp(-5.0)), rtol=0.05)
    assert np.isclose(signal.mean(), 5.0, atol=0.01)


def test_noise_variance_is_inverse_to_the_photons():
    line = np.full((64, 64), 4.0)
    variances = [signal_of(line, photons_per_mm2=photons).var() for photons in (1e5, 4e5, 1.6e6)]
    assert np.allclose(np.array(variances) * [1, 4, 16], variances[0], rtol=0.05)


def test_neighbours_share_noise_without_changing_its_energy():
    line = np.full((64, 64), 4.0)
    alone, shared = (signal_of(line, noise_neighbour=value) for value in (0.0, 0.11))
    assert np.isclose(shared.std(), alone.std(), rtol=0.03)

    def correlation(image):
        return np.corrcoef(image[:, 1:].ravel(), image[:, :-1].ravel())[0, 1]

    assert abs(correlation(alone)) < 0.04
    assert np.isclose(correlation(shared), 2 * 0.11 * np.sqrt(1 - 4 * 0.11**2), atol=0.04)


def test_scatter_lowers_contrast_by_its_share():
    line = np.full((64, 64), 4.0)
    line[28:36, 28:36] += 0.1
    clean, foggy = (signal_of(line, scatter_ratio=ratio, photons_per_mm2=1e9) for ratio in (0.0, 1.0))
    contrast = [image[30:34, 30:34].mean() - image[:8].mean() for image in (clean, foggy)]
    assert np.isclose(contrast[1] / contrast[0], 0.5, atol=0.03)


def test_blur_is_penumbra_and_detector_together():
    sharp = exposure(focal_spot_mm=1.2, detector_blur_mm=0.0)
    assert sharp.blur_sigma_mm(1.0) == 0
    assert np.isclose(sharp.blur_sigma_mm(1.5), 1.2 * 0.5 / np.sqrt(12))
    assert np.isclose(exposure(focal_spot_mm=0.0, detector_blur_mm=0.3).blur_sigma_mm(1.3), 0.3)


def test_an_edge_is_spread_by_the_focal_spot():
    line = np.full((64, 64), 3.0)
    line[:, 32:] += 0.05
    signal = signal_of(line, photons_per_mm2=1e12, focal_spot_mm=30.0, detector_blur_mm=0.0).mean(0) - 3.0
    spread = np.sqrt((np.diff(signal) * (np.arange(63) - 31) ** 2).sum() / np.diff(signal).sum()) * 2.0
    assert np.isclose(spread, 30 / np.sqrt(12) * (1200 / 900 - 1), rtol=0.1)


def test_a_lateral_view_gets_about_a_tenth_of_the_photons_at_equal_load():
    line = {"ap": 0.241 * 22, "lat": 0.238 * 32}
    counts = {view: 1 / signal_of(np.full((64, 64), value)).var() for view, value in line.items()}
    assert 7 < counts["ap"] / counts["lat"] < 15


def test_a_lateral_view_is_noisier_than_an_anteroposterior_one():
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(20):
        # Without the heel, whose slope would count as noise.
        exposures = sample_exposures(rng, BeamParameters(heel=(0.0, 0.0)))
        noise = {}
        for view, thickness in (("ap", 210), ("lat", 320)):
            paths = np.zeros((4, 64, 64), np.float32)
            paths[0] = thickness
            noise[view] = expose(rng, paths, CAMERA, exposures[view]).std()
        ratios.append(noise["lat"] / noise["ap"])
    assert np.median(ratios) > 1.5


def test_one_effective_energy_is_an_option():
    exposures = sample_exposures(np.random.default_rng(0), BeamParameters(energy_bins=0))
    assert len(exposures["ap"].beam.weights) == len(exposures["lat"].beam.weights) == 1
    assert len(sample_exposures(np.random.default_rng(0), BeamParameters())["ap"].beam.weights) == 6


def test_scatter_follows_the_thickness():
    """At twice the typical thickness and a power of 1.5, 2.8 times the ratio: contrast falls to 1 / (1 + 2.8 r)."""
    assert np.isclose(exposure(scatter_ratio=0.5, scatter_power=1.5).scatter_behind(470.0), 0.5 * 2**1.5)
    contrasts = []
    for thickness in (235.0, 470.0):
        line = np.full((64, 64), attenuation_per_mm("soft", ENERGY_KEV) * thickness)
        line[28:36, 28:36] += 0.1
        signal = signal_of(line, scatter_ratio=0.5, scatter_power=1.5, photons_per_mm2=1e12)
        contrasts.append(signal[30:34, 30:34].mean() - signal[:8].mean())
    assert np.isclose(contrasts[1] / contrasts[0], 1.5 / (1 + 0.5 * 2**1.5), rtol=0.1)


def test_automatic_exposure_makes_up_for_thickness_up_to_its_limit():
    control = exposure(control=1.0, control_limit=10.0)
    assert np.isclose(control.load_behind(235.0), 1.0)
    assert np.isclose(control.load_behind(285.0), np.exp(0.022 * 50))
    assert control.load_behind(600.0) == 10.0
    assert exposure(control=0.0).load_behind(600.0) == 1.0


def test_obese_views_stay_noisier_under_automatic_exposure():
    noise = []
    for thickness in (235.0, 400.0):
        paths = np.zeros((4, 64, 64), np.float32)
        paths[0] = thickness
        own = exposure(control=0.8, control_limit=12.0)
        noise.append(expose(np.random.default_rng(0), paths, CAMERA, own).std())
    assert 1.1 < noise[1] / noise[0] < 10


def test_the_heel_is_a_fall_of_the_beam_along_the_film():
    signal = signal_of(np.full((64, 64), 2.0), photons_per_mm2=1e12, heel=(0.0, 0.3))
    assert np.allclose(signal[:, 10], signal[:, 50], atol=1e-3)
    assert np.isclose(signal[-1].mean() - signal[0].mean(), np.log(1.15 / 0.85), atol=0.01)
