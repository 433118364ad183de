import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lumbar_ext.errors import InputError
from lumbar_ext.networks.spine_packing import SPINE_PACK
from lumbar_ext.transforms.spine_targets import HEATMAP_SIGMA_CELLS, SpinePoints, encode_spine_target
from tests.spine_points import spine_points

EVERYWHERE = torch.ones(384, 256, dtype=torch.bool)
NOTHING = torch.zeros(384, 256)


def test_cells_and_pixels_are_inverse():
    px = np.array([0.0, 3.5, 100.2])
    assert (
        np.allclose(SPINE_PACK.px_from_cells(SPINE_PACK.cells_from_px(px)), px) and SPINE_PACK.cells_from_px(3.5) == 0
    )


def test_a_heatmap_is_a_gaussian_about_the_exact_centre():
    points = spine_points()
    heat = encode_spine_target(NOTHING, points, EVERYWHERE)[SPINE_PACK["heatmap"]].double().numpy()
    rows, columns = np.indices(heat.shape[1:])
    for level in range(8):
        weight = heat[level] / heat[level].sum()
        mean = np.array([(columns * weight).sum(), (rows * weight).sum()])
        assert np.allclose(mean, SPINE_PACK.cells_from_px(points.centres_px[level]), atol=0.05)
        assert (weight * (columns - mean[0]) ** 2).sum() == pytest.approx(HEATMAP_SIGMA_CELLS**2, rel=0.05)


def test_every_cell_on_a_body_points_at_its_centre():
    points = spine_points()
    target = encode_spine_target(NOTHING, points, EVERYWHERE).numpy()
    rows, columns = np.nonzero(target[SPINE_PACK["centre_weight"]][0])
    pointed = SPINE_PACK.px_from_cells(
        np.stack([columns, rows]) + target[SPINE_PACK["centre_offset"]][:, rows, columns]
    ).T
    nearest = np.linalg.norm(pointed[:, None] - points.centres_px[None], axis=-1)
    assert nearest.min(axis=1).max() < 1e-3
    # seven bodies of 4 cells in height and 6 in width
    assert len(rows) > 7 * 15 and set(nearest.argmin(axis=1)) == set(range(7))


def test_what_the_film_does_not_show_is_no_target():
    visible = EVERYWHERE.clone()
    visible[:100] = False
    decomposition = torch.rand(384, 256)
    target = encode_spine_target(decomposition, spine_points(), visible)
    # the centres of T12 and L1 lie above the film's end
    assert (target[SPINE_PACK["heatmap"]].amax((1, 2)) > 0.5).tolist() == [False, False] + 6 * [True]
    shown = F.pixel_shuffle(target[None, SPINE_PACK["decomposition"]], 8)[0, 0]
    assert shown[:100].abs().max() == 0 and torch.equal(shown[100:], decomposition[100:])
    assert F.pixel_shuffle(target[None, SPINE_PACK["pixel_weight"]], 8).sum() == visible.sum()


def test_landmarks_beyond_the_film_have_no_weight():
    points = spine_points()
    points.landmarks_px[3, 2] = [-5, 100]
    points.landmarks_px[3, 6] = np.nan
    only = SpinePoints(points.landmarks_px, np.where(np.arange(8)[:, None] == 3, points.centres_px, np.nan), points.s1_px,
                       points.known)  # fmt: skip
    target = encode_spine_target(NOTHING, only, EVERYWHERE)
    assert target[SPINE_PACK["landmark_weight"]].amax((1, 2)).tolist() == [1, 1, 0, 1, 1, 1, 0]
    assert torch.isfinite(target).all() and target[SPINE_PACK["s1_weight"]].sum() == 0


def test_unknown_is_not_absent():
    lumbar = SpinePoints.of_lumbar(spine_points().landmarks_px[1:6])
    weights = encode_spine_target(NOTHING, lumbar, EVERYWHERE)[SPINE_PACK["heatmap_weight"]].amax((1, 2))
    assert weights.tolist() == [0, 1, 1, 1, 1, 1, 0, 0]
    five = encode_spine_target(NOTHING, spine_points(levels="five"), EVERYWHERE)
    assert (
        five[SPINE_PACK["heatmap_weight"]].min() == 1
        and five[SPINE_PACK["heatmap"]][6].max() == 0
        and five[SPINE_PACK["heatmap"]][7].max() > 0.5
    )


def test_exchanging_sides_twice_changes_nothing():
    points = spine_points()
    once = points.with_sides_exchanged()
    assert np.array_equal(once.landmarks_px[:, 2], points.landmarks_px[:, 3])
    assert np.array_equal(once.s1_px[3], points.s1_px[4])
    assert np.array_equal(once.with_sides_exchanged().landmarks_px, points.landmarks_px)


def test_wrong_shapes_are_refused():
    points = spine_points()
    with pytest.raises(InputError, match="s1_px"):
        SpinePoints(points.landmarks_px, points.centres_px, points.s1_px[:4], points.known)
    with pytest.raises(InputError, match="multiples of 8"):
        encode_spine_target(torch.zeros(380, 256), points, torch.ones(380, 256, dtype=torch.bool))
