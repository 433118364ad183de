"""Markers of a phantom give their camera back."""

import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.geometry.camera_fit import fit_cone_beam


@pytest.fixture
def markers_mm():
    return np.random.default_rng(3).uniform(-100, 100, (12, 3))


@pytest.mark.parametrize("change", [lambda c: c, lambda c: c.flipped_u(), lambda c: c.transposed()])
def test_exact_marks_give_the_exact_camera(ap_camera, lat_camera, markers_mm, points_mm, change):
    for camera in (change(ap_camera), change(lat_camera)):
        grid = {"size_px": camera.size_px, "pixel_spacing_mm": camera.pixel_spacing_mm}
        fitted = fit_cone_beam(markers_mm, camera.project(markers_mm), **grid)
        np.testing.assert_allclose(fitted.camera.project(points_mm), camera.project(points_mm), atol=1e-4)
        np.testing.assert_allclose(fitted.camera.source_mm, camera.source_mm, atol=1e-2)
        assert fitted.residual_mm.max() < 1e-5


def test_noise_of_the_marks_is_averaged(ap_camera, points_mm):
    rng = np.random.default_rng(5)
    markers = rng.uniform(-100, 100, (40, 3))
    marked = ap_camera.project(markers) + rng.normal(0, 0.5, (40, 2))
    grid = {"size_px": ap_camera.size_px, "pixel_spacing_mm": ap_camera.pixel_spacing_mm}
    fitted = fit_cone_beam(markers, marked, **grid)
    # 80 numbers for 9: the fit's own error is a third of a mark's.
    error_px = fitted.camera.project(points_mm / 2) - ap_camera.project(points_mm / 2)
    assert np.sqrt(np.square(error_px).mean()) < 0.4
    assert 0.3 < np.sqrt(np.square(fitted.residual_mm).mean()) < 0.9


def test_too_few_or_flat_markers_are_refused(ap_camera, markers_mm):
    grid = {"size_px": ap_camera.size_px, "pixel_spacing_mm": ap_camera.pixel_spacing_mm}
    with pytest.raises(InputError, match="5 points, expected at least 6"):
        fit_cone_beam(markers_mm[:5], ap_camera.project(markers_mm[:5]), **grid)
    flat = markers_mm * [1, 0, 1]
    with pytest.raises(InputError, match="in one plane"):
        fit_cone_beam(flat, ap_camera.project(flat), **grid)
