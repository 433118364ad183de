import numpy as np
import pytest
import torch

from lumbar_ext.transforms.augmentation.warp import planar_warp
from lumbar_ext.transforms.intensity import normalise_intensity
from lumbar_ext.transforms.spine_crop import NormaliseCropd, RandSpineCropd, SpineCropd, covered, lumbar_centre_px
from lumbar_ext.transforms.spine_targets import SpinePoints
from tests.spine_points import spine_points


def film(view="ap", size_px=(500, 420)):
    """A film with a bright dot at each known centre: the picture and the points say the same."""
    points = spine_points().moved(lambda uv: uv + np.array([80.0, 60.0]))
    rows, columns = np.indices(size_px)
    dots = sum(np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / 18) for u, v in points.centres_px)
    image = torch.from_numpy((0.3 + dots).astype(np.float32))[None]
    return {"image": image, "decomposition": image / 2, "points": points, "view": view}


def dot_near(image, uv):
    """Centre of mass of what is bright within 8 px of a position."""
    rows, columns = np.indices(image.shape)
    weight = np.where(np.hypot(columns - uv[0], rows - uv[1]) < 8, image - image.min(), 0.0)
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("view", ["ap", "lat"])
@pytest.mark.parametrize("seed", range(4))
def test_points_move_with_the_picture(view, seed):
    crop = RandSpineCropd(end_probability=0.0)
    crop.set_random_state(seed)
    data = crop(film(view))
    decomposition = data["decomposition"][0].numpy()
    checked = 0
    for u, v in data["points"].centres_px:
        if 12 < u < 244 and 12 < v < 372 and data["visible"][int(v), int(u)]:
            assert np.allclose(dot_near(decomposition - 0.15, (u, v)), (u, v), atol=0.25)
            checked += 1
    assert checked >= 4 and data["image"].shape == (1, 384, 256)


def test_a_mirrored_ap_exchanges_sides_and_a_lateral_never_does():
    sides = []
    for view in ("ap", "lat"):
        crop = RandSpineCropd(rotation_deg=0, shift_px=(0, 0), scale=(1, 1), mirror_probability=1.0)
        crop.set_random_state(0)
        points = crop(film(view))["points"]
        sides.append(np.sign(points.s1_px[3, 0] - points.s1_px[4, 0]))
    own = spine_points().s1_px
    # left and right of S1 are exchanged by name and mirrored in place: left stays where left was
    assert sides == [np.sign(own[3, 0] - own[4, 0])] * 2


def test_the_film_ends_within_some_crops():
    crop = RandSpineCropd(rotation_deg=0, shift_px=(0, 0), scale=(1, 1), end_probability=1.0)
    crop.set_random_state(1)
    data = [crop(film()) for _ in range(20)]
    hidden = [1 - d["visible"].float().mean().item() for d in data]
    assert min(hidden) > 0 and max(hidden) < 0.5
    assert all(d["image"][0][~d["visible"]].abs().max() == 0 for d in data)


def test_what_lies_beyond_the_source_is_not_covered():
    warp = planar_warp(np.array([10.3, 250.2]), (384, 256))
    visible = covered(warp, (500, 420))
    # the crop's centre, between columns 127 and 128, is source column 10.3: 117 columns lie to the left of the source
    assert visible[:, :117].sum() == 0 and visible[:, 118:].all()
    assert np.array_equal(visible, warp.apply_to_images(torch.ones(1, 500, 420))[0].numpy() > 0.5)


def test_the_centred_crop_resamples_nothing():
    data = film()
    cut = SpineCropd()(data)
    u, v = np.rint(lumbar_centre_px(data["points"], np.zeros(2))).astype(int) - [127, 191]
    assert torch.allclose(cut["decomposition"][0], data["decomposition"][0, v : v + 384, u : u + 256], atol=1e-6)


def test_training_and_inference_normalise_alike():
    """The percentiles are those of the visible pixels of the crop, whatever lies around them or was done to them before."""
    rng = np.random.default_rng(0)
    image = rng.gamma(2.0, 3.0, (64, 96)).astype(np.float32)
    inside = np.ones((64, 96), bool)
    inside[:20] = False
    expected = np.zeros((64, 96), np.float32)
    expected[20:] = normalise_intensity(image[20:])
    spoilt = np.where(inside, 5 * image - 7, 1e6).astype(np.float32)
    trained = NormaliseCropd()({"image": torch.from_numpy(spoilt)[None], "visible": torch.from_numpy(inside)})["image"]
    assert np.allclose(trained[0].numpy(), expected, atol=1e-4)
    assert np.allclose(normalise_intensity(spoilt, inside), expected, atol=1e-4)


def test_without_any_level_the_fallback_is_the_centre():
    nothing = SpinePoints.of_lumbar(np.full((5, 7, 2), np.nan))
    assert lumbar_centre_px(nothing, np.array([3.0, 4.0])).tolist() == [3, 4]
