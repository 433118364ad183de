"""The overlay picture: outlines lie where the camera sees the meshes."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from lumbar_ext.geometry import ConeBeam
from lumbar_ext.report.overlay import LEVEL_COLOURS, draw_overlay

RADIUS_MM = 20.0
HEIGHTS_MM = {"L1": 70.0, "L3": 0.0, "L5": -70.0}


@pytest.fixture
def camera():
    """An AP view of 400 x 600 px at 0.5 mm, its centre on the origin."""
    return ConeBeam([1000, 0, 0], [-200, -99.75, 149.75], [0, 1, 0], [0, 0, -1], (0.5, 0.5), (400, 600))


@pytest.fixture(scope="module")
def sphere():
    return trimesh.creation.icosphere(subdivisions=4, radius=RADIUS_MM)


def drawn(camera, sphere, dtype=np.uint16):
    rows, columns = camera.size_px[::-1]
    radiograph = np.add.outer(np.arange(rows), np.arange(columns)).astype(dtype)
    meshes = {level: sphere.vertices + np.array([0, 10, height]) for level, height in HEIGHTS_MM.items()}
    return np.asarray(draw_overlay(radiograph, camera, meshes, np.asarray(sphere.faces))).astype(float)


def coloured(picture, level):
    """(u, v) [N, 2] of pixels of a level's colour, its name at the margin left out."""
    near = np.abs(picture - LEVEL_COLOURS[level]).max(-1) < 25
    near[:, -60:] = False
    near[-60:] = False
    return np.argwhere(near)[:, ::-1]


def expected_centre_and_radius(camera, level):
    """Of the sphere's silhouette, in pixels of the overlay; a cone of rays touches it."""
    scale = 1024 / max(camera.size_px)
    centre = camera.project(np.array([0, 10, HEIGHTS_MM[level]]))
    radius_mm = 1200 * RADIUS_MM / np.sqrt(1000**2 - RADIUS_MM**2)
    return (centre + 0.5) * scale - 0.5, radius_mm / 0.5 * scale


def test_a_scale_tells_how_long_50_mm_are_at_the_spine(camera, sphere):
    """The white bar's length: the spheres stand 200 mm before the detector, 1000 mm from the source."""
    picture = drawn(camera, sphere)
    # The film beside the bar is dark up to its middle.
    columns = np.flatnonzero((picture[-14, :400] > 250).all(-1))
    expected = 50 / 0.5 * 1200 / 1000 * 1024 / 600
    assert np.array_equal(columns, np.arange(columns[0], columns[-1] + 1))
    assert np.ptp(columns) + 1 == pytest.approx(expected, abs=4)


@pytest.mark.parametrize("turn", [lambda c: c, ConeBeam.flipped_u, ConeBeam.flipped_v, ConeBeam.transposed])
def test_outlines_surround_the_projected_meshes_in_the_images_own_orientation(camera, sphere, turn):
    turned = turn(camera)
    picture = drawn(turned, sphere)
    assert picture.shape == ((683, 1024, 3) if turned.size_px[0] == 600 else (1024, 683, 3))
    for level in HEIGHTS_MM:
        centre, radius = expected_centre_and_radius(turned, level)
        distances = np.linalg.norm(coloured(picture, level) - centre, axis=-1)
        assert len(distances) > 200 and np.abs(distances - radius).max() < 3


def test_the_radiograph_shows_through_with_its_contrast_stretched(camera, sphere):
    picture = drawn(camera, sphere, np.float32)
    assert (picture[0, 0] == 0).all() and (picture[-1, 0] < picture[-1, 500]).all()
    assert np.ptp(picture[:, :100], axis=-1).max() == 0


def test_large_images_are_averaged_down(camera, sphere):
    large = replace(camera, pixel_spacing_mm=(0.1, 0.1), size_px=(2000, 3000))
    small, reduced = drawn(camera, sphere), drawn(large, sphere, np.uint16)
    assert np.abs(small - reduced).mean() < 3


def test_a_vertebra_outside_the_image_is_left_out(camera, sphere):
    meshes = {"L1": sphere.vertices + np.array([0, 0, 900])}
    radiograph = np.add.outer(np.arange(600), np.arange(400))
    picture = np.asarray(draw_overlay(radiograph, camera, meshes, np.asarray(sphere.faces)))
    assert np.ptp(picture, axis=-1).max() == 0
