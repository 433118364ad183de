"""Studies of any size through an oracle locator and an oracle network, which see one bright spot in the middle of L3.

The spot of the lateral view is larger, so that the network knows which landmarks to show.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lumbar_ext.geometry import BiplanarGeometry, ConeBeam
from lumbar_ext.networks.spine_packing import SPINE_PACK
from lumbar_ext.radiographs.radiograph import Radiograph
from lumbar_ext.studies.biplanar_study import BiplanarStudy
from lumbar_ext.transforms.locate import encode_place
from lumbar_ext.transforms.single_view import displayed_camera
from lumbar_ext.transforms.spine_decode import decode_spine
from lumbar_ext.transforms.spine_targets import SpinePoints, encode_spine_target
from lumbar_ext.workflow.locate_and_look import LocateAndLook, middle_of_levels, observe_located, see_located
from tests.spine_points import spine_points

SPACING_MM, NETWORK_SPACING_MM = 0.5, 0.834
MIDDLE_PX = {"ap": np.array([390.0, 2310.0]), "lat": np.array([401.0, 2310.0])}
SPOT_PX = {"ap": 8.0, "lat": 12.0}
# of a vertebra's centre, pixels of the network grid: endplates, transverse processes, pedicles, spinous process
LANDMARKS_PX = {
    "ap": [[-1, -16], [1, 16], [40, 0], [-40, 0], [16, -4], [-16, -4], [0, 20]],
    "lat": [[-1, -16], [1, 16], [32, 0], [30, 2], [24, -4], [23, -3], [68, 12]],
}
_LARGE_SPOT_PX = 560
_LOG_SCALE = np.log(1 / 8)  # 1 px, in cells: that of a network that is sure
SIZE_PX = (800, 3200)


def spot(image):
    """Centre of the brightest place of a normalised image [H, W], or None."""
    weight = (image > 1.45).double()
    if weight.sum() < 4:
        return None
    rows, columns = torch.meshgrid(*(torch.arange(n) for n in image.shape), indexing="ij")
    return np.array([((axis * weight).sum() / weight.sum()).item() for axis in (columns, rows)])


def points_about(middle_px, view, scale=1.0):
    """The spine of the tests with the centre of L3 there, and the landmarks that a view shows."""
    points = spine_points()
    points = replace(points, landmarks_px=points.centres_px[:7, None] + np.array(LANDMARKS_PX[view]))
    centre = points.centres_px[3]
    return points.moved(lambda uv: (uv - centre) * scale + middle_px)


class Locator(nn.Module):
    """Says that the middle of the spine lies `error_px` coarse pixels below the spot."""

    def __init__(self, error_px=0.0):
        super().__init__()
        self.anchor, self.error_px = nn.Parameter(torch.zeros(1)), error_px

    def forward(self, film):
        middle = spot(film[0, 0])
        if middle is None:
            return torch.zeros(1, 4, *(n // 4 for n in film.shape[-2:]))
        centres = middle + [0, self.error_px] + np.arange(-2, 3)[:, None] * [0, 11]
        points = SpinePoints.of_lumbar(np.repeat(centres[:, None], 7, axis=1))
        return encode_place(points, torch.ones(film.shape[-2:], dtype=torch.bool))[None, :4]


class Network(nn.Module):
    """Gives the target of the spine around the spot, and counts how often it was asked."""

    def __init__(self):
        super().__init__()
        self.anchor, self.calls = nn.Parameter(torch.zeros(1)), 0

    def forward(self, image):
        self.calls += 1
        middle, size = spot(image[0, 0]), image.shape[-2:]
        view = "lat" if (image[0, 0] > 1.2).sum() > _LARGE_SPOT_PX else "ap"
        if middle is None:
            return torch.zeros(1, SPINE_PACK.channels, *(n // 8 for n in size))
        target = encode_spine_target(torch.zeros(size), points_about(middle, view), torch.ones(size, dtype=torch.bool))
        packed = target[None, : SPINE_PACK.channels]
        packed[:, SPINE_PACK["landmark_scales"]] = _LOG_SCALE
        return packed


def study(inverted=False):
    """A slot scan, 1.6 m high, the spine in its lower third."""
    rows, columns = np.indices(SIZE_PX[::-1])
    rng = np.random.default_rng(0)
    radiographs = {}
    for view, middle in MIDDLE_PX.items():
        distance2 = (columns - middle[0]) ** 2 + (rows - middle[1]) ** 2
        image = (rng.uniform(0, 100, SIZE_PX[::-1]) + 600 * np.exp(-distance2 / (2 * SPOT_PX[view] ** 2))).astype(
            np.float32
        )
        pixels = image.max() - image if inverted else image
        radiographs[view] = Radiograph(pixels, Path(f"{view}.png"), 16, (SPACING_MM,) * 2, "bone_bright")
    half = np.array(SIZE_PX) * SPACING_MM / 2
    ap = ConeBeam([1000, 0, 0], [-200, -half[0], half[1]], [0, 1, 0], [0, 0, -1], (SPACING_MM,) * 2, SIZE_PX)
    lat = ConeBeam([0, 1000, 0], [half[0], -200, half[1]], [-1, 0, 0], [0, 0, -1], (SPACING_MM,) * 2, SIZE_PX)
    return BiplanarStudy(radiographs["ap"], radiographs["lat"], BiplanarGeometry(ap, lat))


@pytest.mark.parametrize("error_px", [0.0, 12.0, -12.0])
@pytest.mark.parametrize("inverted", [False, True])
def test_landmarks_are_found_in_the_films_own_pixels(error_px, inverted):
    observed = observe_located(Network(), Locator(error_px), study(inverted))
    assert observed.inverted == (("ap", "lat") if inverted else ())
    for view, middle in MIDDLE_PX.items():
        expected = points_about(middle, view, NETWORK_SPACING_MM / SPACING_MM).landmarks_px[1:6]
        canonical, decoded = observed.canonical[view], observed.decoded[view]
        assert decoded.present.all()
        assert np.abs(canonical.to_original_px(decoded.landmarks_px) - expected).max() < 1.5
        assert canonical.pixels.shape == decoded.decomposition.shape == (384, 256)


class Unsure(Network):
    """Expects the landmarks of one view 40 mm off, and there shows L4 and L5 elsewhere if the spine is `torn`."""

    def __init__(self, view, torn):
        super().__init__()
        self.view, self.torn = view, torn

    def forward(self, image):
        packed = super().forward(image)
        if ((image[0, 0] > 1.2).sum() > _LARGE_SPOT_PX) == (self.view == "lat"):
            packed[:, SPINE_PACK["landmark_scales"]] = np.log(6.0)
            heat = packed[:, SPINE_PACK["heatmap"]]
            if self.torn:
                heat[:, 4:6] = 0
        return packed


@pytest.mark.parametrize("unsure", ["ap", "lat"])
def test_nothing_is_taken_from_a_pair_of_which_one_film_shows_no_spine(unsure):
    """Whatever its scores: every level is absent, with the reason."""
    observed = observe_located(Unsure(unsure, torn=True), Locator(), study())
    assert not any(own.present.any() for own in observed.decoded.values())
    assert not observed.levels.best.found and not observed.located_anchors().sacrum
    (reason,) = set(observed.levels.missing.values())
    assert (
        reason.startswith(f"the {unsure} film is no radiograph of a lumbar spine")
        and "nothing is taken from it" in reason
    )


@pytest.mark.parametrize("unsure", ["ap", "lat"])
def test_a_film_that_is_hard_to_read_is_believed_where_the_other_agrees_on_all_five(unsure):
    observed = observe_located(Unsure(unsure, torn=False), Locator(), study())
    assert all(own.present.all() for own in observed.decoded.values())
    assert [text for text in observed.doubts if text.startswith(f"the {unsure} film")]


def test_a_place_far_off_is_corrected_by_a_second_look():
    """40 mm off, L1 or L5 lies beyond the crop; its middle is found from the others."""
    network = Network()
    observed = observe_located(network, Locator(error_px=12.0), study())
    assert network.calls == 4
    for seen in observed.decoded.values():
        assert np.abs(middle_of_levels(seen.centres_px) - [127.5, 191.5]).max() < 12


def test_the_middle_follows_from_any_two_levels():
    centres = np.array([10.0, 20.0]) + np.arange(5)[:, None] * [3.0, 40.0]
    centres[[0, 2, 3]] = np.nan
    assert np.allclose(middle_of_levels(centres), [16, 100])
    centres[1] = np.nan
    assert middle_of_levels(centres) is None


def test_the_persons_sides_are_named_when_seen_from_the_right():
    left = study()
    lat = left.geometry.lat
    turned = lat.replace(source_mm=lat.source_mm * [1, -1, 1], detector_origin_mm=lat.detector_origin_mm * [1, -1, 1])
    right = BiplanarStudy(left.ap, left.lat, BiplanarGeometry(left.geometry.ap, turned))
    seen = {side: observe_located(Network(), Locator(), own) for side, own in (("left", left), ("right", right))}
    found = {side: own.decoded["lat"] for side, own in seen.items()}
    assert np.allclose(found["right"].landmarks_px[:, 2], found["left"].landmarks_px[:, 3])
    assert np.allclose(found["right"].anchors.s1_landmarks_px[3], found["left"].anchors.s1_landmarks_px[4])


@pytest.mark.parametrize("view", ["ap", "lat"])
def test_a_single_film_is_answered_in_its_own_pixels_without_one_look_more(view):
    """As MONAI's evaluator asks an inferer: [1, 1, rows, columns]; a film without a camera is taken as it is shown."""
    pixels = study()[view].pixels
    network, other = Network(), Network()
    camera = displayed_camera(pixels.shape[::-1], (SPACING_MM,) * 2)
    expected, _ = see_located(other, Locator(), pixels, camera, "ap")
    spacing_mm = torch.tensor([[SPACING_MM] * 2], dtype=torch.float64)
    answer = LocateAndLook(Locator())(torch.from_numpy(pixels)[None, None], network, spacing_mm)
    assert torch.equal(answer["packed"], expected.packed) and network.calls == other.calls
    scale, offset = answer["original_from_network"][0].numpy()
    found = decode_spine(answer["packed"]).landmarks_px * scale + offset
    true = points_about(MIDDLE_PX[view], view, NETWORK_SPACING_MM / SPACING_MM).landmarks_px[1:6]
    assert np.abs(found - true).max() < 1.5
