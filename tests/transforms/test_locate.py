"""Films composed so that the spine lies anywhere, read with an oracle in the place of the trained locator."""

import numpy as np
import pytest
import torch
from torch import nn

from lumbar_ext.geometry import ConeBeam
from lumbar_ext.losses.locator_loss import LocatorLoss
from lumbar_ext.networks.locator import (
    LOCATOR_CHANNELS,
    LOCATOR_HEATMAP,
    LOCATOR_OFFSET,
    LOCATOR_SPACING_MM,
    LOCATOR_TARGET_CHANNELS,
    SpineLocator,
)
from lumbar_ext.transforms.canonical import Orientation
from lumbar_ext.transforms.locate import (
    RandCoarseFilmd,
    coarse_film,
    coarsened_view,
    encode_place,
    locate_spine,
    read_places,
    to_and_fro,
)
from lumbar_ext.transforms.spine_crop import lumbar_centre_px
from lumbar_ext.transforms.spine_targets import SpinePoints
from tests.spine_points import spine_points


class BrightestSpot(nn.Module):
    """An oracle: answers with the target of a spine whose middle is the brightest place of the film."""

    def __init__(self):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))

    def forward(self, film):
        weight = (film[0, 0] - 0.8).clamp(min=0).double()
        rows, columns = torch.meshgrid(*(torch.arange(n) for n in weight.shape), indexing="ij")
        middle = [((axis * weight).sum() / weight.sum()).item() for axis in (columns, rows)]
        levels = np.array(middle) + np.arange(-2, 3)[:, None] * [0, 11]
        points = SpinePoints.of_lumbar(np.repeat(levels[:, None], 7, axis=1))
        return encode_place(points, torch.ones(weight.shape, dtype=torch.bool))[None, :LOCATOR_CHANNELS]


def sample(view="ap"):
    points = spine_points().moved(lambda uv: uv + np.array([100.0, 50.0]))
    rows, columns = np.indices((512, 450))
    image = np.random.default_rng(0).uniform(0.2, 0.4, (512, 450))
    u, v = lumbar_centre_px(points, np.zeros(2))
    image += 3 * np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / 400)
    return {"image": torch.from_numpy(image.astype(np.float32))[None], "points": points, "view": view}


@pytest.mark.parametrize("seed", range(30))
def test_the_middle_is_read_back_wherever_it_is_on_a_composed_film(seed):
    compose = RandCoarseFilmd(stretch_probability=0.7, cut_probability=0.7, empty_probability=0.0)
    compose.set_random_state(seed)
    film = compose(sample())
    middle = lumbar_centre_px(film["points"], np.zeros(2))
    target = encode_place(film["points"], film["visible"])
    ((found, probability),) = read_places(target)
    assert film["image"].shape == (1, 256, 128) and probability > 0.95
    assert np.allclose(found, middle, atol=0.1)
    # the bright spot went with it
    rows, columns = np.indices(film["image"][0].shape)
    image = np.where(np.hypot(columns - middle[0], rows - middle[1]) < 8, film["image"][0].numpy() - 0.8, 0).clip(0)
    spot = np.array([(columns * image).sum(), (rows * image).sum()]) / image.sum()
    assert np.allclose(spot, middle, atol=0.6)


def test_other_places_follow_the_likeliest_one():
    """A neck that is taken for the lumbar spine hides it no longer; what is near a place, or nothing, is none of its own."""
    points = [
        SpinePoints.of_lumbar(np.full((5, 7, 2), middle)) for middle in ([60.0, 30.0], [70.0, 200.0], [64.0, 60.0])
    ]
    likely, less, near = (encode_place(own, torch.ones(256, 128, dtype=torch.bool)) for own in points)
    for other, share in ((less, 0.4), (near, 0.5), (less, 0.005)):
        both = likely.clone()
        both[LOCATOR_HEATMAP] = torch.maximum(both[LOCATOR_HEATMAP], share * other[LOCATOR_HEATMAP])
        farther = share * other[LOCATOR_HEATMAP] > likely[LOCATOR_HEATMAP]
        both[LOCATOR_OFFSET] = torch.where(farther, other[LOCATOR_OFFSET], likely[LOCATOR_OFFSET])
        places = read_places(both)
        assert np.allclose(places[0][0], [60, 30], atol=0.1)
        assert len(places) == (2 if other is less and share > 0.01 else 1)
        if len(places) == 2:
            assert np.allclose(places[1][0], [70, 200], atol=0.1) and places[1][1] == pytest.approx(0.4, abs=0.02)


def test_a_film_beside_the_spine_has_no_place():
    compose = RandCoarseFilmd(empty_probability=1.0)
    for seed in range(10):
        compose.set_random_state(seed)
        film = compose(sample())
        assert encode_place(film["points"], film["visible"])[LOCATOR_HEATMAP].max() == 0


@pytest.mark.parametrize(
    "flags", [(False, False, False), (True, False, True), (True, True, False), (False, True, True)]
)
def test_a_slot_scan_is_read_in_its_own_pixels(flags):
    """1.6 m x 0.4 m at 0.4 mm, the spine in the lower third, laid any way."""
    size, spacing = (1000, 4000), 0.4
    upright = ConeBeam([1000, 0, 0], [-200, -200, 800], [0, 1, 0], [0, 0, -1], (spacing,) * 2, size)
    rows, columns = np.ogrid[: size[1], : size[0]]
    middle = np.array([610.0, 2900.0])
    image = np.exp(-((columns - middle[0]) ** 2 + (rows - middle[1]) ** 2) / (2 * 30.0**2)).astype(np.float32)
    orientation = Orientation(*flags)
    camera = orientation.apply_camera(upright)
    place, *_ = locate_spine(BrightestSpot(), orientation.apply_image(image), camera, "ap")
    assert np.allclose(place.centre_px, orientation.apply_px(middle, camera.size_px), atol=2.0)
    assert place.probability > 0.95


def test_the_coarse_film_is_a_multiple_of_32_that_holds_everything():
    camera = ConeBeam([1000, 0, 0], [-200, -200, 800], [0, 1, 0], [0, 0, -1], (0.4, 0.4), (1000, 3000))
    film = coarse_film(np.ones((3000, 1000), np.float32), camera, "ap")
    assert film.pixels.shape == (384, 128)
    assert film.inside.sum() == pytest.approx(3000 * 1000 * (0.4 / LOCATOR_SPACING_MM) ** 2, rel=0.02)


def test_coarsening_keeps_places():
    points = SpinePoints.of_lumbar(np.full((5, 7, 2), [101.0, 82.0]))
    rows, columns = np.indices((240, 200))
    image = np.exp(-((columns - 101) ** 2 + (rows - 82) ** 2) / 200).astype(np.float32)
    film, moved = coarsened_view(image, points, 3.7)
    rows, columns = np.indices(film.shape)
    centre = np.array([(columns * film).sum(), (rows * film).sum()]) / film.sum()
    assert np.allclose(centre, moved.landmarks_px[1, 0], atol=0.02)


def test_rows_go_to_and_fro():
    assert to_and_fro(np.arange(3), 8).tolist() == [0, 1, 2, 2, 1, 0, 0, 1]


def test_the_network_answers_films_of_any_size_and_learns():
    torch.manual_seed(0)
    locator = SpineLocator()
    for size in ((64, 96), (480, 128)):
        assert locator.eval()(torch.rand(1, 1, *size)).shape == (1, LOCATOR_CHANNELS, *(n // 4 for n in size))
    film = torch.rand(2, 1, 64, 64)
    target = torch.zeros(2, LOCATOR_TARGET_CHANNELS, 16, 16)
    target[:, 0, 7, 9] = target[:, 4] = 1.0
    target[:, 5, 6:9, 8:11] = 1.0
    loss, optimizer = LocatorLoss(), torch.optim.Adam(locator.train().parameters(), 3e-3)
    values = []
    for _ in range(12):
        value = loss(locator(film), target)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.8 * values[0]
    assert torch.equal(torch.jit.script(locator.eval())(film), locator(film))
