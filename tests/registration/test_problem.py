import numpy as np
import pytest

from lumbar_ext.drr import drr_from_path_length, path_length_from_drr
from lumbar_ext.registration.parameters import Bounds
from lumbar_ext.registration.problem import RegistrationProblem
from lumbar_ext.registration.targets import ViewTarget
from lumbar_ext.registration.terms.landmark_term import LandmarkTerm


def test_coarse_pixels_are_block_means_seen_from_their_centre(geometry):
    image = np.random.default_rng(0).random((512, 512), dtype=np.float32)
    coarse = ViewTarget(geometry.ap, image, np.ones_like(image)).coarsened(4)
    assert coarse.image[3, 5] == pytest.approx(image[12:16, 20:24].mean())
    np.testing.assert_allclose(coarse.camera.detector_point([5, 3]), geometry.ap.detector_point([21.5, 13.5]))


def test_averaged_pixels_hold_mean_path_lengths(geometry):
    """Lengths add up over an area, attenuations do not."""
    lengths = np.random.default_rng(0).uniform(0, 60, (512, 512))
    coarse = ViewTarget(geometry.ap, drr_from_path_length(lengths), np.ones((512, 512))).averaged(4)
    expected = lengths[12:16, 20:24].mean()
    assert path_length_from_drr(coarse.image[3, 5].astype(float)) == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(coarse.camera.detector_point([5, 3]), geometry.ap.detector_point([21.5, 13.5]))


def test_sizes_that_do_not_divide_are_filled_with_zeros(geometry):
    camera = geometry.lat.replace(size_px=(10, 7))
    coarse = ViewTarget(camera, np.ones((7, 10)), np.ones((7, 10))).coarsened(4)
    np.testing.assert_allclose(coarse.image, [[1, 1, 0.5], [0.75, 0.75, 0.375]])
    np.testing.assert_allclose(coarse.camera.detector_point([0, 0]), camera.detector_point([1.5, 1.5]))


def test_bounds_are_those_of_the_paper():
    limits = Bounds().limits(2)
    np.testing.assert_allclose(limits, [10, 10, 10, np.radians(15), np.radians(15), np.radians(30), 3, 3])
    with pytest.raises(ValueError, match="bounds must be positive"):
        Bounds(tilt_deg=0)


def test_landmark_term_by_hand():
    term = LandmarkTerm(weight=1.0, sigma_mm={"ap": (2.0,) * 7}, threshold=1.5)
    offset = np.zeros((7, 2))
    offset[0], offset[1], offset[2] = (0, 2), (8, 0), np.nan
    confidence = np.full(7, 0.5)
    assert term.penalty("ap", offset, confidence) == pytest.approx(0.5 * (0.5 + 1.5 * (4 - 0.75)) / 7)


def test_landmark_reweighting_is_the_slope_of_the_penalty():
    term, offset = LandmarkTerm(weight=1.0), np.random.default_rng(0).normal(0, 6, (7, 2))
    slope = np.zeros((7, 2))
    for i, j in np.ndindex(7, 2):
        step = np.zeros((7, 2))
        step[i, j] = 1e-5
        sides = [term.penalty("lat", offset + sign * step, np.ones(7)) for sign in (1, -1)]
        slope[i, j] = (sides[0] - sides[1]) / 2e-5
    np.testing.assert_allclose(term.reweighting("lat", offset, np.ones(7))[:, None] * offset, slope, atol=1e-8)


def test_images_must_fit_their_camera(geometry):
    with pytest.raises(ValueError, match=r"image must be \(512, 512\)"):
        ViewTarget(geometry.ap, np.zeros((100, 100)), np.ones((512, 512)))
    with pytest.raises(ValueError, match="not finite"):
        ViewTarget(geometry.ap, np.full((512, 512), np.nan), np.ones((512, 512)))
    with pytest.raises(ValueError, match="at least one view and one vertebra"):
        RegistrationProblem({}, ())
