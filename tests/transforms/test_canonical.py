"""The network grid: exact camera bookkeeping, canonical directions, and the left-right rule."""

from itertools import product

import numpy as np
import pytest

from lumbar_ext.anatomy import LEFT_RIGHT_SWAP
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import ConeBeam
from lumbar_ext.transforms.canonical import Orientation, size_on_grid, to_network_grid

ORIENTATIONS = [Orientation(*flags) for flags in product((False, True), repeat=3)]
GRID = {"size_px": 96, "spacing_mm": 4.4}


def upright_camera(view, spacing_mm=(1.3, 0.9), size_px=(310, 430), side=1):
    """A canonical camera with a slight roll; `side` -1 puts the source behind, or on the person's right."""
    roll = np.radians(4)
    u_axis = np.array([0, np.cos(roll), np.sin(roll)]) if view == "ap" else np.array([-np.cos(roll), 0, np.sin(roll)])
    v_axis = np.array([0, np.sin(roll), -np.cos(roll)]) if view == "ap" else np.array([-np.sin(roll), 0, -np.cos(roll)])
    beam = np.array([-side, 0.0, 0.0]) if view == "ap" else np.array([0.0, -side, 0.0])
    half = (np.array(size_px) - 1) / 2 * spacing_mm
    origin = 300 * beam + 15 * u_axis - half[0] * u_axis - half[1] * v_axis
    return ConeBeam(-1000 * beam + [3, 5, 20], origin, u_axis, v_axis, spacing_mm, size_px)


def detector_wave(camera):
    """An image that is a known function of the place on the detector, and that function."""
    centre = camera.detector_point(camera.centre_px)

    def wave(points_mm):
        x, y, z = np.moveaxis(points_mm - centre, -1, 0)
        return 2 + np.sin((x + y) / 40 + 0.4) * np.cos(z / 55) + 0.002 * z

    columns, rows = camera.size_px
    uv = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)
    return wave(camera.detector_point(uv)).astype(np.float32), wave


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("view", ["ap", "lat"])
def test_pixel_mapping_equals_projection_by_both_cameras(view, orientation):
    camera = orientation.apply_camera(upright_camera(view))
    canonical = to_network_grid(np.eye(*camera.size_px[::-1], dtype=np.float32), camera, view, **GRID)
    points = np.random.default_rng(0).uniform(-150, 150, (50, 3))
    original_px, canonical_px = camera.project(points), canonical.camera.project(points)
    assert np.abs(canonical.to_canonical_px(original_px) - canonical_px).max() < 1e-6
    assert np.abs(canonical.to_original_px(canonical_px) - original_px).max() < 1e-6


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("view", ["ap", "lat"])
def test_every_orientation_gives_the_same_canonical_image(view, orientation):
    upright = upright_camera(view)
    image, _ = detector_wave(upright)
    expected = to_network_grid(image, upright, view, **GRID)
    found = to_network_grid(orientation.apply_image(image), orientation.apply_camera(upright), view, **GRID)
    np.testing.assert_allclose(found.pixels, expected.pixels, atol=1e-5)
    np.testing.assert_array_equal(found.inside, expected.inside)
    np.testing.assert_allclose(found.camera.detector_origin_mm, expected.camera.detector_origin_mm, atol=1e-9)
    down, across = {"ap": [0, 1, 0], "lat": [-1, 0, 0]}[view], [0, 0, -1]
    assert found.camera.u_axis @ down > 0.99 and found.camera.v_axis @ across > 0.99


@pytest.mark.parametrize(
    "spacing_mm, size_px", [((1.3, 0.9), (310, 430)), ((4.4, 4.4), (95, 96)), ((7.0, 6.0), (70, 64))]
)
def test_resampled_values_are_the_function_at_the_new_pixel_centres(spacing_mm, size_px):
    camera = upright_camera("ap", spacing_mm, size_px).flipped_u()
    image, wave = detector_wave(camera)
    canonical = to_network_grid(image, camera, "ap", **GRID)
    uv = np.stack(np.meshgrid(np.arange(96), np.arange(96)), axis=-1)
    error = np.abs(canonical.pixels - wave(canonical.camera.detector_point(uv)))
    original_px = canonical.to_original_px(uv)
    well_inside = ((original_px > 8) & (original_px < np.array(size_px) - 9)).all(axis=-1)
    assert well_inside.sum() > 1000
    assert error[well_inside].max() < 0.02


def test_the_grid_is_centred_on_the_detector():
    camera = upright_camera("lat")
    canonical = to_network_grid(np.eye(430, 310, dtype=np.float32), camera, "lat")
    assert canonical.pixels.shape == (512, 512) and canonical.pixels.dtype == np.float32
    np.testing.assert_allclose(canonical.camera.pixel_spacing_mm, (0.834, 0.834))
    centre = canonical.camera.detector_point([255.5, 255.5])
    np.testing.assert_allclose(centre, camera.detector_point(camera.centre_px), atol=1e-9)


def test_uncovered_pixels_get_the_low_border_value():
    camera = upright_camera("ap", (1.0, 1.0), (100, 200))
    image = np.full((200, 100), 5.0, np.float32)
    image[50:150, 20:80] = 50.0
    canonical = to_network_grid(image, camera, "ap", **GRID)
    assert (canonical.pixels[~canonical.inside] == 5.0).all()
    assert 0 < canonical.inside.sum() < 96 * 96


def test_an_image_on_the_grid_passes_unchanged():
    camera = upright_camera("ap", (4.4, 4.4), (96, 96))
    image = np.random.default_rng(0).random((96, 96)).astype(np.float32)
    canonical = to_network_grid(image, camera, "ap", **GRID)
    np.testing.assert_array_equal(canonical.pixels, image)
    assert canonical.inside.all()
    np.testing.assert_array_equal(canonical.to_original_image(canonical.pixels), image)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_an_image_on_the_grid_comes_back_to_the_original(orientation):
    camera = orientation.apply_camera(upright_camera("ap", (2.0, 2.2), (250, 170)))
    image, _ = detector_wave(camera)
    canonical = to_network_grid(image, camera, "ap", **GRID)
    back = canonical.to_original_image(canonical.pixels, outside=np.nan)
    assert back.shape == image.shape
    shown = np.isfinite(back)
    border = 8
    shown[:border], shown[-border:], shown[:, :border], shown[:, -border:] = (False,) * 4
    edge_px = canonical.to_canonical_px(np.stack(np.meshgrid(*map(np.arange, camera.size_px)), axis=-1))
    shown &= ((edge_px > 3) & (edge_px < 92)).all(axis=-1)
    assert shown.sum() > 5000
    assert np.abs(back - image)[shown].max() < 0.02


def asymmetric_vertebra():
    """The seven landmarks of a vertebra that is not its own mirror image, world mm."""
    return np.array(
        [[2, 3, 14], [1, -2, -13], [-30, 44, 3], [-28, -38, -2], [-20, 16, 5], [-19, -12, 4], [-55, 6, -8]], float
    )


def test_a_source_on_the_right_gives_the_image_of_the_mirrored_person():
    """Mirror argument: the network, which knows sources on the left, names the mirrored person's sides."""
    left = upright_camera("lat", side=1).replace(source_mm=[0, 1000, 20])
    right = upright_camera("lat", side=-1).replace(source_mm=[0, -1000, 20])
    body = asymmetric_vertebra()
    mirrored = (body * [1, -1, 1])[list(LEFT_RIGHT_SWAP)]
    blank = np.eye(430, 310, dtype=np.float32)
    seen_left, seen_right = (to_network_grid(blank, camera, "lat") for camera in (left, right))
    assert (seen_left.swap_left_right, seen_right.swap_left_right) == (False, True)
    named_by_network = seen_left.camera.project(mirrored)
    truth = seen_right.camera.project(body)
    np.testing.assert_allclose(named_by_network[list(LEFT_RIGHT_SWAP)], truth, atol=1e-9)
    assert np.abs(named_by_network - truth).max() > 1.0


@pytest.mark.parametrize("side", [1, -1])
def test_ap_views_never_swap_and_show_the_left_on_the_right(side):
    camera = upright_camera("ap", side=side)
    canonical = to_network_grid(np.eye(430, 310, dtype=np.float32), camera, "ap")
    uv = canonical.camera.project(asymmetric_vertebra())
    assert not canonical.swap_left_right
    assert uv[2, 0] > uv[3, 0] and uv[0, 1] < uv[1, 1]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_swap_does_not_depend_on_how_the_image_lies(orientation):
    for side in (1, -1):
        camera = orientation.apply_camera(upright_camera("lat", side=side))
        canonical = to_network_grid(np.eye(*camera.size_px[::-1], dtype=np.float32), camera, "lat", **GRID)
        assert canonical.swap_left_right == (side == -1)


def test_wrong_arguments_are_named():
    camera = upright_camera("ap")
    with pytest.raises(InputError, match="view must be one of"):
        to_network_grid(np.zeros((430, 310)), camera, "oblique")
    with pytest.raises(InputError, match=r"pixels have the shape \(310, 430\), expected \(430, 310\)"):
        to_network_grid(np.zeros((310, 430)), camera, "ap")


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("view", ["ap", "lat"])
def test_a_grid_of_any_size_lies_about_any_point(view, orientation):
    camera = orientation.apply_camera(upright_camera(view))
    image = np.random.default_rng(0).uniform(size=camera.size_px[::-1]).astype(np.float32)
    centre = np.array([40.0, 75.0])
    canonical = to_network_grid(image, camera, view, size_px=(33, 65), spacing_mm=2.0, centre_px=centre)
    assert canonical.pixels.shape == canonical.inside.shape == (65, 33)
    assert np.allclose(canonical.to_canonical_px(centre), [16, 32])
    points = np.random.default_rng(1).uniform(-150, 150, (20, 3))
    assert np.allclose(canonical.to_canonical_px(camera.project(points)), canonical.camera.project(points), atol=1e-6)
    assert canonical.camera.size_px == (33, 65)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_grid_of_a_whole_film_covers_it_and_hardly_more(orientation):
    camera = orientation.apply_camera(upright_camera("ap"))
    size = size_on_grid(camera, "ap", 0.834)
    # 310 px of 1.3 mm wide, 430 px of 0.9 mm high
    assert size == (int(np.ceil(310 * 1.3 / 0.834)), int(np.ceil(430 * 0.9 / 0.834)))
    canonical = to_network_grid(np.ones(camera.size_px[::-1], np.float32), camera, "ap", size_px=size)
    assert canonical.inside[1:-1, 1:-1].all()
    corners = np.array([[0, 0], np.array(camera.size_px) - 1])
    seen = canonical.to_canonical_px(corners)
    assert seen.min() >= -0.5 and (seen <= np.array(size) - 0.5).all()
