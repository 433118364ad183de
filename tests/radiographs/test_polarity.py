"""Polarity told from simple phantoms in both polarities, with and without collimator blades."""

import numpy as np
import pytest

from lumbar_ext.radiographs.polarity import detect_inverted

ROWS, COLUMNS = 400, 300


def ap_trunk(rng, half_width=0.8):
    """Attenuation of an elliptic trunk with a spine and bowel gas, in arbitrary units."""
    u, v = np.linspace(-1, 1, COLUMNS), np.arange(ROWS)[:, None]
    trunk = np.sqrt(np.clip(1 - (u / half_width) ** 2, 0, None))
    spine = 0.35 * (np.abs(u) < 0.13) * (1 + 0.3 * np.sign(np.sin(v / 12)))
    gas = -0.4 * np.exp(-(((u - 0.4) / 0.15) ** 2) - ((v - 150) / 40) ** 2)
    return (trunk + spine + gas) * (1 + 0.1 * v / ROWS) + rng.normal(0, 0.02, (ROWS, COLUMNS))


def lateral_trunk(rng):
    """A trunk that fills the image in front, with the spine and air behind."""
    u, v = np.linspace(-1, 1, COLUMNS), np.arange(ROWS)[:, None]
    trunk = np.sqrt(np.clip(1 - ((u + 0.4) / 1.1) ** 2, 0, None))
    spine = 0.5 * (np.abs(u - 0.1 - 0.05 * np.sin(v / 90)) < 0.15)
    return (trunk + spine) * (1 - 0.1 * v / ROWS) + rng.normal(0, 0.02, (ROWS, COLUMNS))


PHANTOMS = {
    "ap": ap_trunk,
    "ap without air": lambda rng: ap_trunk(rng, half_width=1.3),
    "lateral": lateral_trunk,
}
BLADES_PX = {"none": (0, 0, 0, 0), "sides": (0, 0, 45, 60), "all round": (40, 30, 50, 35), "one side": (0, 0, 70, 0)}


def with_blades(image, blades, shade, rng):
    top, bottom, left, right = blades
    covered = np.ones_like(image, dtype=bool)
    covered[top : ROWS - bottom, left : COLUMNS - right] = False
    return np.where(covered, shade + rng.normal(0, 0.005, image.shape), image)


@pytest.mark.parametrize("phantom", PHANTOMS)
@pytest.mark.parametrize("blades", BLADES_PX)
@pytest.mark.parametrize("shade", [-0.2, 2.0])
def test_both_polarities_are_told_whatever_the_blades(phantom, blades, shade):
    rng = np.random.default_rng(0)
    image = with_blades(PHANTOMS[phantom](rng), BLADES_PX[blades], shade, rng)
    bright, dark = detect_inverted(image), detect_inverted(-image)
    assert not bright.inverted and bright.clear
    assert dark.inverted and dark.clear
    assert bright.margin == pytest.approx(-dark.margin)


@pytest.mark.parametrize("gain, offset", [(1000.0, 5.0), (0.01, -3.0)])
def test_the_decision_does_not_depend_on_units(gain, offset):
    image = ap_trunk(np.random.default_rng(0))
    assert detect_inverted(gain * image + offset).margin == pytest.approx(detect_inverted(image).margin)


def test_saturated_air_does_not_mislead():
    image = np.clip(ap_trunk(np.random.default_rng(0), half_width=0.6), 0.3, 1.2)
    assert detect_inverted(image).margin > 0.3


def test_noise_and_flat_images_are_unclear():
    assert not detect_inverted(np.random.default_rng(0).normal(size=(300, 200))).clear
    assert detect_inverted(np.ones((50, 50))).margin == 0


@pytest.mark.parametrize("shape", [(2, 2), (5, 97), (97, 5)])
def test_small_images_are_accepted(shape):
    assert np.isfinite(detect_inverted(np.random.default_rng(0).normal(size=shape)).margin)
