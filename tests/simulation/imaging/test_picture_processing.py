"""Pictures: range, polarity, and shutters that spare the spine."""

from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.geometry import Camera
from lumbar_ext.simulation.imaging.picture_processing import finish
from lumbar_ext.simulation.ranges import AppearanceParameters

CAMERA = Camera([900.0, 0, 0], [-300.0, -105.8, 105.8], [0, 1, 0], [0, 0, -1], (1.667, 1.667), (128, 128))
SPINE = np.stack([np.zeros(5), np.zeros(5), np.linspace(-50, 50, 5)], axis=1)


@pytest.fixture
def signal():
    v, u = np.mgrid[:128, :128]
    return (3 + 2 * np.exp(-(((u - 64) / 20.0) ** 2)) + 0.002 * v).astype(np.float32)


def picture(signal, seed=0, **changes):
    parameters = replace(AppearanceParameters(), **{"marker_share": 0.0, "collimation_share": 0.0, **changes})
    return finish(np.random.default_rng(seed), signal, CAMERA, SPINE, parameters)


def test_pictures_are_16_bit_with_bright_bone(signal):
    for seed in range(5):
        result = picture(signal, seed)
        assert result.pixels.dtype == np.uint16
        assert not result.inverted
        assert result.pixels[64, 64] > result.pixels[64, 4]


def test_inversion_is_the_complement_and_is_reported(signal):
    plain, inverted = picture(signal), picture(signal, inverted_share=1.0)
    assert inverted.inverted
    assert np.array_equal(inverted.pixels, 65535 - plain.pixels)


def test_shutters_spare_the_landmarks(signal):
    for seed in range(10):
        result = picture(signal, seed, collimation_share=1.0, collimation_u=(0.1, 0.2), collimation_v=(0.1, 0.2))
        assert result.collimated
        values = [result.pixels[round(v), round(u)] for u, v in CAMERA.project(SPINE)]
        assert 0 < min(values)
        assert result.pixels[64, 2] in (0, 65535)


def test_markers_change_only_the_margins(signal):
    plain, marked = picture(signal), picture(signal, marker_share=1.0)
    changed = np.argwhere(plain.pixels != marked.pixels)
    assert len(changed) > 0
    assert np.ptp(changed[:, 0]) < 40
