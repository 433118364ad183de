"""Cameras of two films that nobody calibrated, and what is refused."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import BiplanarGeometry, ConeBeam, RigidTransform, fit_rigid
from lumbar_ext.landmarks.triangulated import ViewLandmarks, triangulate_landmarks
from lumbar_ext.registration.self_calibration import FilmPrior, Marker, SpinePrior, geometry_angle_deg, self_calibrate

VERTEBRA_MM = np.array(
    [[0, 0, 13], [0, 0, -13], [-30, 42, 3], [-30, -42, 3], [-22, 15, 5], [-22, -15, 5], [-62, 0, -8]], dtype=float
)
MEANS = [VERTEBRA_MM * (0.96 + 0.02 * i) for i in range(5)]


def spine(seed, bend_deg=0.0):
    """[5, 7, 3] landmarks of a person; `bend_deg` more lordosis."""
    rng = np.random.default_rng(seed)
    points = []
    for i, mean in enumerate(MEANS):
        flexion = np.radians((14 + bend_deg) * (i - 2))
        height = np.array([8 - 2 * (i - 2) ** 2, 0, 72 - 36 * i])
        pose = RigidTransform.from_euler(
            *(rng.normal(0, 0.03, 3) + np.array([0, flexion, 0])), height + rng.normal(0, 1, 3)
        )
        points.append(pose.apply(1.03 * mean + rng.normal(0, 1, (7, 3))))
    return np.stack(points)


def room(angle_deg=90.0):
    """An AP and a lateral camera that stand other than is expected of them."""
    return BiplanarGeometry(**cameras(angle_deg))


def cameras(angle_deg):
    """The same, which need not be a usable pair."""
    a = np.radians(angle_deg)
    to_lat, u_lat, down = np.array([np.cos(a), np.sin(a), 0]), np.array([-np.sin(a), np.cos(a), 0]), [0, 0, -1.0]
    ap = ConeBeam([915, 0, 0], [-265, -220, 190], [0, 1, 0], down, (0.834, 0.834), (512, 512))
    lat = ConeBeam(
        880 * to_lat + [0, 0, 40], -270 * to_lat - 205 * u_lat + [0, 0, 250], u_lat, down, (0.834, 0.834), (512, 512)
    )
    return {"ap": ap, "lat": lat}


def films(sure=True):
    """What is known: distances to 20 mm, or nothing but what is usual."""
    known = {"ap": (1180.0, 915.0), "lat": (1150.0, 880.0)}
    if not sure:
        return {view: FilmPrior((512, 512), (0.834, 0.834)) for view in VIEWS}
    wrong = {"ap": (15, -12), "lat": (-10, 18)}
    return {
        view: FilmPrior(
            (512, 512), (0.834, 0.834), (known[view][0] + wrong[view][0], 20), (known[view][1] + wrong[view][1], 20)
        )
        for view in VIEWS
    }


def mirrored(landmarks):
    """What a film of 512 columns shows that lies the other way round."""
    return ViewLandmarks(landmarks.positions_px * [-1, 1] + [511, 0], landmarks.confidence)


def seen(geometry, ap_mm, lat_mm=None, noise_px=0.8, seed=0):
    rng, places = np.random.default_rng(seed), {"ap": ap_mm, "lat": ap_mm if lat_mm is None else lat_mm}
    return {
        view: ViewLandmarks(geometry[view].project(places[view]) + rng.normal(0, noise_px, (5, 7, 2)), np.ones((5, 7)))
        for view in VIEWS
    }


def angles_deg(points):
    """[4, 3] turns of each vertebra against the next."""
    poses = [fit_rigid(mean, own) for mean, own in zip(MEANS, points, strict=True)]
    return np.degrees([(a.inverse() @ b).euler_rad() for a, b in pairwise(poses)])


@pytest.mark.parametrize("angle_deg", [84.0, 90.0, 97.0])
def test_known_distances_give_angles_and_sizes_back(angle_deg):
    geometry, points = room(angle_deg), spine(1)
    found = self_calibrate(seen(geometry, points), MEANS, films())
    assert found.angle_deg[0] == pytest.approx(angle_deg, abs=2.5 * found.angle_deg[1])
    assert geometry_angle_deg(geometry) == pytest.approx(angle_deg)
    exact = seen(geometry, points, noise_px=0)
    again = triangulate_landmarks(found.geometry, exact).positions_mm
    laid = fit_rigid(again.reshape(-1, 3), points.reshape(-1, 3))
    length = np.linalg.norm(points[0, :2].mean(0) - points[4, :2].mean(0))
    scale = np.linalg.norm(again[0, :2].mean(0) - again[4, :2].mean(0)) / length
    assert abs(scale - 1) < 2.5 * found.size_sd < 0.08
    assert np.linalg.norm(laid.apply(again) - points, axis=-1).mean() < 2.5
    assert np.abs(angles_deg(again) - angles_deg(points)).max() < 1.0
    assert "distances of the sources" in found.scale_from and found.misfit < 1.2


def test_without_distances_the_scale_is_that_of_people_and_less_sure():
    landmarks = seen(room(), spine(1))
    sure, unsure = self_calibrate(landmarks, MEANS, films()), self_calibrate(landmarks, MEANS, films(sure=False))
    assert unsure.size_sd > 1.3 * sure.size_sd
    people = self_calibrate(landmarks, MEANS, films(sure=False), SpinePrior(size=0.03))
    assert "the size of people" in people.scale_from


def length_error(found, geometry, points):
    """Relative error of the length from L1 to L5, as the found cameras see the true pixels."""
    again = triangulate_landmarks(found.geometry, seen(geometry, points, noise_px=0)).positions_mm
    lengths = [np.linalg.norm(own[0, :2].mean(0) - own[4, :2].mean(0)) for own in (again, points)]
    return lengths[0] / lengths[1] - 1


def test_a_marker_of_known_length_sets_the_scale():
    """A ruler of 150 mm beside the spine of a person who is larger than expected, in a room of which nothing is known."""
    geometry, points = room(), 1.05 * spine(1)
    ends, rng = np.array([[30.0, 60.0, 70.0], [25.0, 55.0, -79.9]]), np.random.default_rng(3)
    ends[1] = ends[0] + 150 * (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    marked = {view: geometry[view].project(ends) + rng.normal(0, 0.4, (2, 2)) for view in VIEWS}
    landmarks = seen(geometry, points)
    without = self_calibrate(landmarks, MEANS, films(sure=False))
    found = self_calibrate(landmarks, MEANS, films(sure=False), marker=Marker(150.0, marked))
    assert abs(length_error(found, geometry, points)) < min(0.012, abs(length_error(without, geometry, points)) / 2)
    assert abs(length_error(found, geometry, points)) < 3 * found.size_sd < without.size_sd
    assert found.scale_from.startswith("the marker of 150 mm")


def test_a_film_that_is_known_to_lie_mirrored_shows_the_same_person():
    geometry, points = room(), spine(1)
    landmarks, usual = seen(geometry, points), films()
    turned = {view: mirrored(own) for view, own in landmarks.items()}
    found = triangulate_landmarks(self_calibrate(landmarks, MEANS, usual).geometry, landmarks).positions_mm
    again = self_calibrate(turned, MEANS, {view: replace(film, mirrored=True) for view, film in usual.items()})
    np.testing.assert_allclose(triangulate_landmarks(again.geometry, turned).positions_mm, found, atol=0.05)
    assert again.geometry.ap.u_axis[1] < 0 < again.geometry.lat.u_axis[0]


def anchors_px(geometry, points):
    """T12 above L1, S1 below L5, as both films see them; of S1's edges nothing."""
    t12 = points[0, :2].mean(0) + np.array([0, 0, 34.0])
    s1 = points[4, 1] + np.array([-4.0, 0, -9.0])
    return {view: geometry[view].project(np.vstack([t12, s1, np.full((4, 3), np.nan)])) for view in VIEWS}


def test_films_that_name_the_vertebrae_a_level_apart_are_told_by_their_ends():
    geometry, points = room(), spine(1)
    landmarks, ends = seen(geometry, points), anchors_px(room(), points)
    assert not self_calibrate(landmarks, MEANS, films(), anchors_px=ends).doubts
    lateral = np.roll(landmarks["lat"].positions_px, -1, axis=0)
    lateral[4] = np.nan
    apart = {**landmarks, "lat": ViewLandmarks(lateral, np.ones((5, 7)))}
    doubt = self_calibrate(apart, MEANS, films(), anchors_px=ends).doubts[-1]
    assert "a level apart" in doubt and "S1" in doubt and "T12" in doubt
    unseen = {view: np.full((6, 2), np.nan) for view in VIEWS}
    assert not any("a level apart" in text for text in self_calibrate(apart, MEANS, films(), anchors_px=unseen).doubts)


def test_films_that_fit_each_other_badly_are_told():
    """Another posture on the lateral film, not so far from the first that it would be refused."""
    geometry, points = room(), spine(1)
    bent = self_calibrate(seen(geometry, points, spine(1, bend_deg=6.0)), MEANS, films())
    assert bent.misfit > 0.4 and "fit each other worse than usual" in bent.doubts[0]
    assert not self_calibrate(seen(geometry, points), MEANS, films()).doubts


@pytest.mark.parametrize(
    "landmarks, message",
    [
        (lambda: seen(room(), spine(1), spine(2, bend_deg=9.0) * [1.0, 1.0, 1.25]), "do not show one spine|far from"),
        (
            lambda: seen(room(), spine(1), spine(1)[:, :, [1, 0, 2]] * [1, -1, 1]),
            "does not look like one",
        ),
        (lambda: seen(room(35.0), spine(1)), "does not look like one"),
        (lambda: seen(cameras(20.0), spine(1)), "does not look like one"),
        (lambda: seen(cameras(0.0), spine(1)), "does not look like one"),
        (lambda: (own := seen(room(), spine(1))) | {"lat": mirrored(own["lat"])}, "does not look like one"),
    ],
    ids=[
        "another person",
        "lateral from the front",
        "35 deg apart",
        "20 deg apart",
        "AP film twice",
        "mirrored lateral",
    ],
)
def test_what_is_no_pair_of_one_spine_is_refused(landmarks, message):
    with pytest.raises(InputError, match=message):
        self_calibrate(landmarks(), MEANS, films())


def test_too_few_vertebrae_are_refused():
    landmarks = seen(room(), spine(1))
    few = landmarks["lat"].positions_px.copy()
    few[1:4] = np.nan
    with pytest.raises(InputError, match="at least three"):
        self_calibrate({**landmarks, "lat": ViewLandmarks(few, np.ones((5, 7)))}, MEANS, films())


def far_lateral():
    """The lateral film in a room in which it magnifies as few do: 1500 mm to the detector, 850 to the person."""
    lat = ConeBeam([0, 850, 0], [213, -650, 213], [-1, 0, 0], [0, 0, -1.0], (0.834, 0.834), (512, 512))
    return BiplanarGeometry(room().ap, lat)


def test_a_film_of_unusual_magnification_is_told_and_lengths_are_less_sure():
    points = spine(1)
    found = self_calibrate(seen(far_lateral(), points), MEANS, films(sure=False))
    assert any("the lat film seems to magnify" in text for text in found.doubts)
    assert abs(length_error(found, far_lateral(), points)) < 2 * found.size_sd
    usual = self_calibrate(seen(room(), points), MEANS, films(sure=False))
    assert usual.size_sd < found.size_sd and not any("magnify" in text for text in usual.doubts)


def test_a_spine_that_bends_the_other_way_is_told():
    stooped = self_calibrate(seen(room(), spine(1, bend_deg=-20.0)), MEANS, films()).doubts
    assert any("bends forwards by 2" in text and "mirrored" in text for text in stooped)
    assert not any("bends forwards" in text for text in self_calibrate(seen(room(), spine(1)), MEANS, films()).doubts)
