"""T12 and S1 from two views: exact ones come back, and what the views do not agree on is left out with the reason."""

import numpy as np
import pytest

from lumbar_ext.geometry import BiplanarGeometry, ConeBeam
from lumbar_ext.landmarks.located_anchors import AnchorView, LocatedAnchors, locate_anchors
from lumbar_ext.landmarks.sacral_endplate import TEMPLATE_MM, endplate_frame

SIZE_PX = 900
POINTS_MM = np.vstack([[5.0, -3.0, 160.0], TEMPLATE_MM + np.array([0.0, 4.0, -40.0])])
"""T12's centre and S1 as it usually is, not tilted."""


def camera(view):
    towards = {"ap": np.array([1.0, 0, 0]), "lat": np.array([0, 1.0, 0])}[view]
    across = {"ap": np.array([0, 1.0, 0]), "lat": np.array([-1.0, 0, 0])}[view]
    spacing = 0.5
    corner = -300 * towards - (SIZE_PX - 1) / 2 * spacing * (across - np.array([0, 0, 1.0])) + [0, 0, 50.0]
    return ConeBeam(
        source_mm=900 * towards + [0, 0, 50.0],
        detector_origin_mm=corner,
        u_axis=across,
        v_axis=np.array([0, 0, -1.0]),
        pixel_spacing_mm=(spacing, spacing),
        size_px=(SIZE_PX, SIZE_PX),
    )


GEOMETRY = BiplanarGeometry(camera("ap"), camera("lat"))


def seen(points_mm=POINTS_MM, noise_px=0.0, scale_px=2.0, seed=0):
    rng = np.random.default_rng(seed)
    n = len(points_mm)
    return {
        view: AnchorView(
            GEOMETRY[view].project(points_mm) + noise_px * rng.standard_normal((n, 2)),
            np.full(n, scale_px),
            np.ones(n),
            np.ones(n, dtype=bool),
        )
        for view in ("ap", "lat")
    }


def test_what_both_views_see_exactly_comes_back():
    found = locate_anchors(GEOMETRY, seen(), {})
    assert not found.missing
    assert found.positions_mm == pytest.approx(POINTS_MM, abs=1e-4)
    assert found.gap_mm == pytest.approx(np.zeros(6), abs=1e-6)
    assert found.sacrum.residual < 1e-4
    assert found.sacrum.depth_mm == pytest.approx(29, abs=1e-3)


def test_the_covariance_is_that_of_the_errors_it_speaks_of():
    # The axis error of a position of scale b is sqrt(3) b.
    found = [locate_anchors(GEOMETRY, seen(noise_px=2 * np.sqrt(3.0), seed=seed), {}) for seed in range(120)]
    errors = np.array([own.positions_mm - POINTS_MM for own in found])
    expected = np.sqrt(np.diag(found[0].t12_covariance_mm2))
    assert errors[:, 0].std(0) == pytest.approx(expected, rel=0.3)
    # What is known of the endplate's shape, which is true here, holds S1 nearer to the truth than its covariance promises.
    spread = np.sqrt(np.diag(found[0].sacrum.covariance_mm2)).reshape(5, 3)
    assert (errors[:, 1:].std(0) < 1.2 * spread).all()
    drawn, plates = found[0].samples(4000)
    assert drawn.std(0) == pytest.approx(expected, rel=0.1)
    assert plates.std(0) == pytest.approx(spread, rel=0.1)


def test_the_shape_is_held_where_the_views_are_unsure():
    views = seen(noise_px=6.0, scale_px=4.0, seed=3)
    fitted = locate_anchors(GEOMETRY, views, {}).sacrum
    assert fitted.width_mm == pytest.approx(50, abs=8)


@pytest.mark.parametrize("angles", [(0.1, 0.6, -0.2), (-0.3, 0.9, 0.4)])
def test_the_frame_turns_with_the_endplate(angles):
    from lumbar_ext.geometry import RigidTransform

    pose = RigidTransform.from_euler(*angles, np.array([3.0, 4.0, 5.0]))
    origin, rotation = endplate_frame(pose.apply(TEMPLATE_MM))
    assert rotation == pytest.approx(pose.rotation, abs=1e-9)
    assert origin == pytest.approx(pose.translation_mm, abs=1e-9)


def without(view, place):
    views = seen()
    views[view].positions_px[place] = np.nan
    return views


def moved(view, offset_px):
    views = seen()
    views[view].positions_px[1:] += offset_px
    return views


def cut(view, places):
    views = seen()
    views[view].on_film[list(places)] = False
    return views


def stretched(factor):
    points = POINTS_MM.copy()
    points[1:] = points[1:].mean(0) + factor * (points[1:] - points[1:].mean(0))
    return seen(points, scale_px=0.5)


@pytest.mark.parametrize(
    ("views", "level", "reason"),
    [
        (without("ap", slice(1, None)), "S1", "only the lateral view shows it"),
        (without("lat", 0), "T12", "only the AP view shows it"),
        (moved("lat", [0, 60.0]), "S1", "mm apart"),
        (cut("lat", range(1, 6)), "S1", "the lateral film cuts it off"),
        (cut("ap", (2, 3)), "S1", "the AP film cuts it off"),
        (stretched(2.0), "S1", "expected"),
    ],
)
def test_what_cannot_be_located_says_why(views, level, reason):
    found = locate_anchors(GEOMETRY, views, {})
    assert reason in found.missing[level]
    assert (found.sacrum if level == "S1" else found.t12_mm) is None
    assert (found.t12_mm if level == "S1" else found.sacrum) is not None


def test_a_landmark_beyond_the_film_does_not_count():
    views = cut("lat", (4,))
    views["lat"].positions_px[4] += 8.0
    found = locate_anchors(GEOMETRY, views, {})
    assert found.positions_mm[[1, 2, 3, 5]] == pytest.approx(POINTS_MM[[1, 2, 3, 5]], abs=0.2)


def test_what_the_network_said_is_the_reason():
    found = locate_anchors(GEOMETRY, without("ap", slice(None)), {"S1": "neither view shows it surely"})
    assert found.missing == {"S1": "neither view shows it surely", "T12": "only the lateral view shows it"}
    assert LocatedAnchors.unknown().missing["S1"] == "the network of this run does not see S1"
