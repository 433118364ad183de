import numpy as np
import pytest

from lumbar_ext.anatomy import LANDMARKS, LEVELS, VIEWS
from lumbar_ext.geometry import BiplanarGeometry, ConeBeam, SlotScan
from lumbar_ext.transforms.field_views import (
    FIELD_SIZE_PX,
    FIELD_STRIDE,
    GUIDE_MM,
    GUIDES,
    POSITION_MM,
    FieldViews,
    no_landmarks,
)

SPACING = (0.9, 0.9)
POINTS = np.random.default_rng(0).uniform(-60, 60, (50, 3))


def cone_beams(size_px=(400, 420)):
    half = 0.9 * (np.array(size_px) - 1) / 2
    ap = ConeBeam([1000, 5, 0], [-200, -half[0], half[1]], [0, 1, 0], [0, 0, -1], SPACING, size_px)
    # from the right, its columns run to the front: neither is how the network sees a lateral film
    lat = ConeBeam([0, -900, 0], [-half[0], 250, half[1]], [1, 0, 0], [0, 0, -1], SPACING, size_px)
    return BiplanarGeometry(ap, lat)


def slot_scans():
    size = (400, 900)
    half = 0.9 * (np.array(size) - 1) / 2
    ap = SlotScan([1000, 0, half[1]], [-200, -half[0], half[1]], [0, 1, 0], [0, 0, -1], SPACING, size)
    lat = SlotScan([0, 900, half[1]], [half[0], -250, half[1]], [-1, 0, 0], [0, 0, -1], SPACING, size)
    return BiplanarGeometry(ap, lat)


def views_of(geometry, size_px=None):
    """Pictures whose pixels are their own columns, so that a place in one can be read off."""
    pixels = {
        view: np.tile(np.arange(float(geometry[view].size_px[0])), (geometry[view].size_px[1], 1)) for view in VIEWS
    }
    return FieldViews.of(pixels, geometry, size_px=size_px)


@pytest.mark.parametrize("geometry", [cone_beams(), slot_scans()], ids=["cone", "slot"])
def test_a_place_in_the_network_s_picture_is_the_point_s_pixel_of_the_film(geometry):
    views = views_of(geometry)
    places = views.places(POINTS)
    for index, view in enumerate(VIEWS):
        seen = views.seen[view]
        pixel = ((places[:, index] + 1) * np.array(seen.pixels.shape[::-1]) - 1) / 2
        np.testing.assert_allclose(seen.to_original_px(pixel), geometry[view].project(POINTS), atol=1e-3)


@pytest.mark.parametrize("geometry", [cone_beams(), slot_scans()], ids=["cone", "slot"])
def test_pictures_hold_the_whole_film_in_sizes_that_the_network_takes(geometry):
    views = views_of(geometry)
    for view in VIEWS:
        rows, columns = views.images[view].shape
        assert rows % FIELD_STRIDE == columns % FIELD_STRIDE == 0 and min(rows, columns) >= FIELD_SIZE_PX
        camera = views.seen[view].camera
        corners = np.array([[0, 0], np.array(geometry[view].size_px) - 1.0])
        laid = views.seen[view].to_canonical_px(corners)
        assert (laid > -0.6).all() and (laid < np.array(camera.size_px) - 0.4).all()


def test_shown_is_what_both_films_show():
    geometry = cone_beams((200, 420))
    views = views_of(geometry)
    points = np.random.default_rng(1).uniform(-150, 150, (4000, 3))
    expected = np.ones(len(points), bool)
    for view in VIEWS:
        uv = geometry[view].project(points)
        expected &= ((uv > -0.5) & (uv < np.array(geometry[view].size_px) - 0.5)).all(1)
        # what lies within a pixel of the film's edge may fall on either side
        edge = (np.abs(uv + 0.5) < 2).any(1) | (np.abs(uv - np.array(geometry[view].size_px) + 0.5) < 2).any(1)
        expected, points = expected[~edge], points[~edge]
    found = views.shown(views.places(points))
    assert 0.05 < expected.mean() < 0.95
    np.testing.assert_array_equal(found, expected)


def test_positions_are_told_from_where_the_middle_rays_meet():
    geometry = cone_beams()
    views = views_of(geometry)
    for view in VIEWS:
        miss = geometry[view].project(views.middle_mm) - geometry[view].centre_px
        assert np.abs(miss).max() < 5  # the rays pass 5 mm from each other
    ahead = views.middle_mm + np.array([POSITION_MM, 0, 0])
    np.testing.assert_allclose(views.positions(ahead), [1, 0, 0], atol=1e-6)


def five_vertebrae(seed=0):
    """Landmarks [5, 7, 3] in heaps 40 mm apart."""
    heights = 80.0 - 40 * np.arange(len(LEVELS))
    rng = np.random.default_rng(seed)
    return rng.uniform(-12, 12, (len(LEVELS), len(LANDMARKS), 3)) + heights[:, None, None] * [0, 0, 1]


def guided(landmarks_mm):
    pixels = {view: np.zeros(cone_beams()[view].size_px[::-1]) for view in VIEWS}
    return FieldViews.of(pixels, cone_beams(), landmarks_mm=landmarks_mm)


def test_guides_lead_to_the_centres_and_to_the_landmarks_of_the_nearest_vertebra():
    landmarks = five_vertebrae()
    guides = guided(landmarks).guides(POINTS)
    assert guides.shape == (len(POINTS), GUIDES) and guides.dtype == np.float32
    centres = POINTS[:, None] + GUIDE_MM * guides[:, :15].reshape(-1, 5, 3)
    np.testing.assert_allclose(centres, np.broadcast_to(landmarks[:, :2].mean(1), centres.shape), atol=1e-3)
    assert (guides[:, 15:20] == 1).all()
    distance = np.linalg.norm(POINTS[:, None, None] - landmarks, axis=-1).min(axis=2)
    found = POINTS[:, None] + GUIDE_MM * guides[:, 20:].reshape(-1, 7, 3)
    np.testing.assert_allclose(found, landmarks[distance.argmin(axis=1)], atol=1e-3)


def test_guides_do_not_know_where_the_person_stands():
    shift = np.array([5.0, -8.0, 11.0])
    here, there = guided(five_vertebrae()), guided(five_vertebrae() + shift)
    np.testing.assert_allclose(here.guides(POINTS), there.guides(POINTS + shift), atol=1e-5)


def test_of_a_vertebra_that_is_not_known_the_guides_say_nothing():
    landmarks = five_vertebrae()
    landmarks[2] = np.nan
    guides = guided(landmarks).guides(POINTS)
    assert np.isfinite(guides).all() and (guides[:, 6:9] == 0).all() and (guides[:, 17] == 0).all()
    assert not np.abs(guides[:, 20:]).sum(axis=1).min() == 0  # another vertebra is then the nearest
    assert (guided(no_landmarks()).guides(POINTS) == 0).all()
