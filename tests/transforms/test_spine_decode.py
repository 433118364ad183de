import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from lumbar_ext.anatomy import SPINE_LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.networks.spine_packing import SPINE_PACK
from lumbar_ext.transforms.canonical import to_network_grid
from lumbar_ext.transforms.single_view import DecodeViewd, displayed_camera
from lumbar_ext.transforms.spine_decode import (
    anchor_view,
    decode_spine,
    doubt_of_spine,
    refined_peak,
    spine_candidates,
    voted,
)
from lumbar_ext.transforms.spine_targets import encode_spine_target
from tests.spine_points import spine_points

EVERYWHERE = torch.ones(384, 256, dtype=torch.bool)


def target(points):
    return encode_spine_target(torch.rand(384, 256, generator=torch.Generator().manual_seed(0)), points, EVERYWHERE)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.31, -0.44), (-0.49, 0.2)])
@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.5])
def test_the_summit_of_a_gaussian_is_found_exactly(shift, sigma):
    rows, columns = np.indices((12, 9))
    peak = np.array([4 + shift[0], 6 + shift[1]])
    heat = 0.7 * np.exp(-((columns - peak[0]) ** 2 + (rows - peak[1]) ** 2) / (2 * sigma**2))
    found, value = refined_peak(heat, 6, 4)
    assert np.allclose(found, peak, atol=1e-6) and value == pytest.approx(0.7)


def test_a_flat_or_border_maximum_stays_where_it_is():
    flat = np.full((5, 5), 0.4)
    assert refined_peak(flat, 2, 2) == (pytest.approx([2, 2]), pytest.approx(0.4))
    assert refined_peak(flat, 0, 3)[0].tolist() == [3, 0]


@pytest.mark.parametrize("levels", ["all", "five"])
def test_decoding_a_target_gives_back_every_position(levels):
    points = spine_points(1, levels)
    seen = decode_spine(target(points))
    assert seen.present.all() and seen.order_consistent
    assert np.abs(seen.centres_px - points.centres_px[1:6]).max() < 0.05
    assert np.abs(seen.landmarks_px - points.landmarks_px[1:6]).max() < 0.05
    assert seen.confidence.min() > 0.99
    assert np.abs(seen.anchors.t12_centre_px - points.centres_px[0]).max() < 0.05
    assert np.abs(seen.anchors.s1_landmarks_px - points.s1_px).max() < 0.05
    assert np.allclose(seen.anchors.l6_landmarks_px, points.landmarks_px[6], atol=0.05, equal_nan=True)
    assert (seen.anchors.confidence["L6"] > 0.9) == (levels == "all")


def test_one_wrong_cell_is_outvoted():
    points = spine_points(2)
    packed = target(points)
    seen = spine_candidates(packed)[3][0]
    packed[SPINE_PACK["landmark_offsets"], seen.cell[0], seen.cell[1]] += 3.0
    spoilt = spine_candidates(packed)[3][0]
    # a single cell of more than fifteen, whose own weight is largest
    assert np.abs(spoilt.landmarks_px - points.landmarks_px[3]).max() < 0.25 * 3 * 8
    packed[SPINE_PACK["landmark_scales"], seen.cell[0], seen.cell[1]] = 2.0
    assert np.abs(spine_candidates(packed)[3][0].landmarks_px - points.landmarks_px[3]).max() < 0.1


def test_votes_for_another_centre_do_not_count():
    offsets, scales = np.zeros((2, 7, 7)), np.zeros((1, 7, 7))
    rows, columns = np.indices((7, 7))
    centre_offset = np.stack([3 - columns, 3 - rows]).astype(float)
    offsets[:] = centre_offset
    # the left half belongs to something else far away
    centre_offset[0, :, :3] -= 8
    offsets[0, :, :3] -= 20
    positions, b = voted(offsets, scales, centre_offset, np.array([3.0, 3.0]))
    assert np.allclose(positions, [[3, 3]], atol=1e-3) and b == pytest.approx([1.0])


def test_confidence_is_the_mass_of_the_predicted_likelihood():
    packed = target(spine_points(3))
    packed[SPINE_PACK["landmark_scales"]] = np.log(0.5)
    candidate = spine_candidates(packed)[2][0]
    rng = np.random.default_rng(0)
    # exp(-e / b) e de is a gamma distribution of shape two
    errors_mm = rng.gamma(2.0, 0.5 * 8 * 0.834, 200_000)
    expected = candidate.probability * (errors_mm < 4.0).mean()
    assert candidate.landmark_confidence() == pytest.approx(np.full(7, expected), abs=5e-3)


def test_a_level_without_a_peak_is_absent():
    packed = target(spine_points())
    packed[SPINE_PACK["heatmap"]][3] *= 0.1
    seen = decode_spine(packed)
    assert seen.present.tolist() == [True, True, False, True, True]
    assert np.isnan(seen.centres_px[2]).all() and seen.landmark_confidence[2].max() == 0
    assert seen.confidence[2] == pytest.approx(0.1, abs=0.01)


def test_candidates_are_sorted_and_named():
    candidates = spine_candidates(torch.rand(SPINE_PACK.channels, 24, 16, generator=torch.Generator().manual_seed(1)))
    assert [level[0].level for level in candidates] == list(SPINE_LEVELS)
    assert all(1 <= len(level) <= 3 for level in candidates)


def test_wrong_shapes_are_refused():
    with pytest.raises(InputError, match="packed"):
        decode_spine(torch.zeros(37, 16, 16))
    with pytest.raises(InputError, match="packed"):
        decode_spine(torch.zeros(2, SPINE_PACK.channels, 16, 16))


def test_points_of_s1_over_a_blank_part_of_the_film_are_not_on_it():
    """Blanked below L5, and burnt out about T12, whatever the network answers."""
    points = spine_points(1, "all")
    anchors = decode_spine(target(points)).anchors
    film = np.random.default_rng(0).normal(100, 1, (384, 256))

    def on_film():
        seen = to_network_grid(film, displayed_camera((256, 384), (0.834, 0.834)), "ap", size_px=(256, 384))
        return anchor_view(anchors, seen).on_film.tolist()

    assert all(on_film())
    film[int(anchors.s1_landmarks_px[:, 1].min()) - 3 :] = 90.0
    assert on_film() == [True] + [False] * 5
    u, v = np.rint(anchors.t12_centre_px).astype(int)
    film[v - 20 : v + 20, u - 20 : u + 20] = 130.0
    assert not any(on_film())


def test_landmarks_as_unsure_as_on_noise_are_no_spine():
    """Whatever the scores of the vertebrae; levels that are not present do not count."""
    seen = decode_spine(target(spine_points(1, "all")))
    sure, noise = np.full((5, 7), 0.29), np.full((5, 7), 0.18)
    assert doubt_of_spine(replace(seen, landmark_confidence=sure)) == ""
    assert "no radiograph of a lumbar spine, or one that the network cannot read: it expects 18% of" in doubt_of_spine(
        replace(seen, landmark_confidence=noise)
    )
    part = np.array([True, True, False, False, False])
    assert doubt_of_spine(replace(seen, landmark_confidence=sure * part[:, None], present=part)) == ""
    assert doubt_of_spine(replace(seen, landmark_confidence=noise, present=~part & part)) == ""
    assert doubt_of_spine(replace(seen, landmark_confidence=noise, anchors=None)) == ""


def test_of_a_picture_that_is_no_spine_nothing_is_written():
    """No landmark, no present vertebra and no score, but a warning that says why."""
    seen = replace(decode_spine(target(spine_points(1, "all"))), landmark_confidence=np.full((5, 7), 0.18))
    given = {"pred": None, "view": "ap", "source": "film.png", "original_from_network": [[1.0, 1.0], [0.0, 0.0]]}
    with pytest.warns(UserWarning, match=r"film\.png: is no radiograph of a lumbar spine"):
        read = DecodeViewd(decode=lambda *_: seen)(given)
    assert not read["present"].any() and np.isnan(read["landmarks_px"]).all() and not read["landmark_confidence"].any()
    assert set(read["level_scores"].values()) == {0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sure = DecodeViewd(decode=lambda *_: replace(seen, landmark_confidence=np.full((5, 7), 0.5)))(given)
    assert sure["present"].all()
