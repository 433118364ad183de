"""X-ray physics: line integrals, quantum noise and scatter against their formulas."""

import numpy as np
import pytest
import trimesh

from lumbar_ext.geometry import Camera
from lumbar_ext.simulation.ellipsoids import Ellipsoids
from lumbar_ext.simulation.parameters import BeamParameters
from lumbar_ext.simulation.radiograph import (
    Exposure,
    Scene,
    ShelledBone,
    expose,
    line_integral,
    sample_exposures,
    smooth,
)
from lumbar_ext.simulation.solid import Solid
from lumbar_ext.simulation.tissue import attenuation_at
from lumbar_ext.simulation.trunk import Trunk

NOTHING = Ellipsoids(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros(0))


@pytest.fixture
def camera():
    return Camera([900.0, 0, 0], [-300.0, -63, 63], [0, 1, 0], [0, 0, -1], (2.0, 2.0), (64, 64))


def box(*size):
    mesh = trimesh.creation.box(size)
    return Solid(mesh.vertices, mesh.faces)


def scene(bones=()):
    layers = dict.fromkeys(("lungs", "diaphragm", "gas", "fat", "muscles", "calcifications"), NOTHING)
    return Scene(tuple(bones), Trunk(skin=box(200, 400, 400), muscle=box(160, 400, 400), **layers))


def exposure(**changes):
    values = {
        "attenuation": attenuation_at(55.0, trabecular_hu=150.0),
        "texture": 0.0,
        "scatter_ratio": 0.0,
        "scatter_sigma_mm": 40.0,
        "photons_per_mm2": 1e6,
        "blur_sigma_mm": 0.2,
        "noise_neighbour": 0.05,
    }
    return Exposure(**{**values, **changes})


def test_soft_tissue_adds_up_by_layer(camera):
    mu = exposure().attenuation
    line = line_integral(np.random.default_rng(0), scene(), camera, exposure())
    assert np.isclose(line[32, 32], 160 * mu.soft + 40 * mu.fat, rtol=1e-3)


def test_bone_replaces_soft_tissue_with_shell_and_core(camera):
    mu, outer = exposure().attenuation, box(30, 30, 30)
    bone = ShelledBone(outer, box(26, 26, 26))
    with_bone, without = (line_integral(np.random.default_rng(0), scene(b), camera, exposure()) for b in ((bone,), ()))
    expected = 4 * (mu.cortical - mu.soft) + 26 * (mu.trabecular - mu.soft)
    assert np.isclose((with_bone - without)[32, 32], expected, rtol=1e-2)
    assert (with_bone == without)[:, 0].all()


def test_quantum_noise_has_the_poisson_deviation(camera):
    line = np.full((64, 64), 5.0, np.float32)
    signal = expose(np.random.default_rng(0), line, camera, exposure(noise_neighbour=0.0))
    expected = 1 / np.sqrt(1e6 * 4 * np.exp(-5.0))
    assert np.isclose(signal.std(), expected, rtol=0.05)
    assert np.isclose(signal.mean(), 5.0, atol=0.01)


def test_scatter_lowers_contrast_by_its_share(camera):
    line = np.full((64, 64), 4.0, np.float32)
    line[28:36, 28:36] += 0.1
    clean, foggy = (
        expose(np.random.default_rng(0), line, camera, exposure(scatter_ratio=ratio, photons_per_mm2=1e9))
        for ratio in (0.0, 1.0)
    )
    contrast = [image[30:34, 30:34].mean() - image[:8].mean() for image in (clean, foggy)]
    assert np.isclose(contrast[1] / contrast[0], 0.5, atol=0.03)


def test_a_lateral_view_is_noisier_than_an_anteroposterior_one(camera):
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(20):
        exposures = sample_exposures(rng, BeamParameters())
        mu = exposures["ap"].attenuation.soft
        noise = {}
        for view, thickness in (("ap", 210), ("lat", 320)):
            line = np.full((64, 64), mu * thickness, np.float32)
            noise[view] = expose(rng, line, camera, exposures[view]).std()
        ratios.append(noise["lat"] / noise["ap"])
    assert np.median(ratios) > 1.5


def test_smooth_keeps_constants_and_spreads_a_step():
    assert np.allclose(smooth(np.full((90, 90), 3.0), 30.0, 0.834), 3.0, atol=1e-5)
    step = np.zeros((120, 120), np.float32)
    step[:, 60:] = 1
    blurred = smooth(step, 20.0, 1.0)
    assert blurred.shape == step.shape
    assert np.isclose(blurred[60, 60], 0.5, atol=0.05)
    assert blurred[60, 40] == pytest.approx(0.16, abs=0.04)
