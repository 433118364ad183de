"""Pictures: range, polarity, and shutters that spare the spine."""

from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.geometry import ConeBeam
from lumbar_ext.simulation.imaging.picture_processing import _multiscale, _stitched, _with_grid, finish
from lumbar_ext.simulation.ranges import AppearanceParameters

CAMERA = ConeBeam([900.0, 0, 0], [-300.0, -105.8, 105.8], [0, 1, 0], [0, 0, -1], (1.667, 1.667), (128, 128))
SPINE = np.stack([np.zeros(5), np.zeros(5), np.linspace(-50, 50, 5)], axis=1)


@pytest.fixture
def signal():
    v, u = np.mgrid[:128, :128]
    return (3 + 2 * np.exp(-(((u - 64) / 20.0) ** 2)) + 0.002 * v).astype(np.float32)


def picture(signal, seed=0, **changes):
    parameters = replace(
        AppearanceParameters(), **{"marker_share": 0.0, "collimation_share": 0.0, "grid_share": 0.0, **changes}
    )
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


@pytest.mark.parametrize("multiscale_share", [0.0, 1.0])
def test_either_processing_keeps_bone_bright(signal, multiscale_share):
    for seed in range(5):
        result = picture(signal, seed, multiscale_share=multiscale_share)
        assert result.pixels[64, 64] > result.pixels[64, 4]


def test_multiscale_processing_with_unit_gains_changes_nothing(signal):
    same = replace(
        AppearanceParameters(),
        multiscale_exponent=(1.0, 1.0),
        multiscale_fine=(1.0, 1.0),
        multiscale_coarse=(1.0, 1.0),
    )
    exposed = np.zeros(signal.shape, bool)
    result = _multiscale(np.random.default_rng(0), signal, exposed, 1.667, same)
    np.testing.assert_allclose(result, signal, atol=1e-4)


def test_multiscale_processing_raises_weak_contrasts_above_strong_ones():
    """Two discs of the same size: the weak one gains more."""
    v, u = np.mgrid[:128, :128]
    image = np.zeros((128, 128), np.float32)
    for centre, contrast in ((32, 0.02), (96, 1.0)):
        image += np.float32(contrast) * (np.hypot(u - centre, v - 64) < 6)
    strong = replace(
        AppearanceParameters(),
        multiscale_exponent=(0.6, 0.6),
        multiscale_fine=(1.0, 1.0),
        multiscale_coarse=(1.0, 1.0),
    )
    exposed = np.zeros(image.shape, bool)
    result = _multiscale(np.random.default_rng(0), image, exposed, 1.0, strong)
    gains = [(result[64, c] - result[64, c + 14]) / (image[64, c] - image[64, c + 14]) for c in (32, 96)]
    assert gains[0] > 1.3 * gains[1]


def test_a_grid_leaves_lines_of_its_period(signal):
    parameters = replace(AppearanceParameters(), grid_share=1.0, grid_amplitude=(0.02, 0.02), grid_period_mm=(8.0, 8.0))
    lines = _with_grid(np.random.default_rng(0), signal, 1.0, parameters) - signal
    assert np.abs(lines).max() == pytest.approx(0.02, rel=0.05)
    spectrum = np.abs(np.fft.fft2(lines))
    peak = np.array(np.unravel_index(spectrum[:64, :64].argmax(), (64, 64)))
    assert np.linalg.norm(peak) == pytest.approx(128 / 8, abs=1.0)


def test_only_films_higher_than_a_panel_are_stitched():
    parameters = replace(AppearanceParameters(), stitch_step=(0.1, 0.1), stitch_overlap_mm=(0.0, 0.0))
    flat = np.zeros((500, 40), np.float32)
    long, short = (_stitched(np.random.default_rng(0), flat[:rows], 1.0, (0, 0), parameters) for rows in (500, 400))
    assert not short.any()
    steps = np.diff(long[:, 0])
    assert np.abs(long).max() == pytest.approx(0.1) and np.count_nonzero(steps) <= 2
    assert 150 <= np.flatnonzero(steps)[0] <= 350


def test_the_lower_part_of_a_stitched_film_is_laid_off_the_upper_one():
    """A line across the seam jumps by the offset along it, a ramp down the film by that across it."""
    parameters = replace(AppearanceParameters(), stitch_step=(0.0, 0.0), stitch_overlap_mm=(0.0, 0.0))
    v, u = np.mgrid[:500, :40].astype(np.float32)
    line = _stitched(np.random.default_rng(0), u, 0.5, (1.0, 0.0), replace(parameters, stitched_from_mm=200.0))
    ramp = _stitched(np.random.default_rng(0), v, 0.5, (0.0, -1.0), replace(parameters, stitched_from_mm=200.0))
    assert line[10, 20] == 20 and line[490, 20] == pytest.approx(18.0)
    assert ramp[10, 20] == 10 and ramp[480, 20] == pytest.approx(482.0)


def test_pictures_say_how_their_parts_lie_and_older_seeds_keep_theirs(signal):
    camera = CAMERA.replace(pixel_spacing_mm=(4.0, 4.0))
    laid = dict.fromkeys(((0.0, 0.0), (0.5, 1.0)))
    for offset, height in ((offset, height) for offset in laid for height in (430.0, 1e6)):
        parameters = replace(AppearanceParameters(), stitch_offset_mm=offset, stitched_from_mm=height)
        rng = np.random.default_rng(3)
        result = finish(rng, signal, camera, SPINE, parameters)
        assert all(offset[0] <= abs(mm) <= offset[1] for mm in result.lower_part_mm) or height == 1e6
        laid[offset] = (rng.random(), result.lower_part_mm if height == 430.0 else (), result.pixels)
    # On a film of one exposure neither the picture nor what the stream gives next depends on the range.
    (after, _, pixels), (after_too, _, pixels_too) = laid.values()
    assert after == after_too and np.array_equal(pixels, pixels_too)


def test_an_open_field_that_fills_half_of_the_film_does_not_wash_out_the_person():
    """The window was chosen with the air in it when the median of the film was air."""
    v, u = np.mgrid[:128, :128]
    half = np.where(u < 50, 5 + np.sin(u / 3.0) * np.cos(v / 5.0), 0.0).astype(np.float32)
    parameters = replace(AppearanceParameters(), collimation_share=0.0, marker_share=0.0, grid_share=0.0)
    for seed in range(6):
        pixels = finish(np.random.default_rng(seed), half, CAMERA, SPINE, parameters).pixels[:, 5:45]
        assert np.percentile(pixels, 95) - np.percentile(pixels, 5) > 0.2 * 65535
