from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.landmarks.triangulated import ViewLandmarks, triangulate_landmarks


def test_projected_points_come_back_without_a_gap(geometry, truth):
    landmarks = triangulate_landmarks(geometry, truth.landmarks)
    np.testing.assert_allclose(landmarks.positions_mm, truth.points, atol=1e-8)
    assert landmarks.gap_mm.max() < 1e-8
    assert landmarks.present.all() and landmarks.missing_levels == ()


def test_rows_that_disagree_show_as_a_gap(geometry, truth):
    shifted = truth.landmarks["lat"].positions_px + np.array([0, 5])
    views = truth.landmarks | {"lat": ViewLandmarks(shifted, np.ones((5, 7)))}
    gap = triangulate_landmarks(geometry, views).gap_mm
    magnification = 1150 / 900
    np.testing.assert_allclose(gap, 5 * 0.834 / magnification, rtol=0.15)


def test_a_level_seen_in_one_view_only_is_missing(geometry, truth):
    confidence = np.ones((5, 7))
    confidence[3] = 0
    views = truth.landmarks | {"ap": replace(truth.landmarks["ap"], confidence=confidence)}
    landmarks = triangulate_landmarks(geometry, views)
    assert landmarks.missing_levels == ("L4",)
    assert np.isnan(landmarks.positions_mm[3]).all() and (landmarks.confidence[3] == 0).all()


def test_confidence_is_the_product_of_the_views(geometry, truth):
    views = {
        name: replace(view, confidence=np.full((5, 7), c))
        for (name, view), c in zip(truth.landmarks.items(), (0.5, 0.8), strict=True)
    }
    np.testing.assert_allclose(triangulate_landmarks(geometry, views).confidence, 0.4)


def test_nan_positions_have_no_confidence():
    positions = np.zeros((5, 7, 2))
    positions[1, 2, 0] = np.nan
    landmarks = ViewLandmarks(positions, np.ones((5, 7)))
    assert landmarks.confidence[1, 2] == 0 and landmarks.found.sum() == 34


def test_wrong_shapes_and_missing_views_are_named(geometry, truth):
    with pytest.raises(ValueError, match=r"positions_px must be \(5, 7, 2\)"):
        ViewLandmarks(np.zeros((4, 7, 2)), np.ones((4, 7)))
    with pytest.raises(ValueError, match="must hold the views"):
        triangulate_landmarks(geometry, {"ap": truth.landmarks["ap"]})
