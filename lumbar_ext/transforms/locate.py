"""Where the lumbar spine is on a whole film: coarse films, the locator's target, and reading its answer."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.transforms import Randomizable, Transform
from torch import Tensor, nn

from lumbar_ext.geometry.camera import Camera
from lumbar_ext.networks.inference import reproducible_inference
from lumbar_ext.networks.locator import (
    LOCATOR_CHANNELS,
    LOCATOR_HEATMAP,
    LOCATOR_HEATMAP_WEIGHT,
    LOCATOR_OFFSET,
    LOCATOR_OFFSET_WEIGHT,
    LOCATOR_SCALE,
    LOCATOR_SPACING_MM,
    LOCATOR_STRIDE,
    LOCATOR_TARGET_CHANNELS,
)
from lumbar_ext.transforms.canonical import NETWORK_SPACING_MM, CanonicalView, size_on_grid, to_network_grid
from lumbar_ext.transforms.intensity import normalise_intensity
from lumbar_ext.transforms.resampling import GridMapping, resample
from lumbar_ext.transforms.spine_crop import lumbar_centre_px
from lumbar_ext.transforms.spine_decode import refined_peak, voted
from lumbar_ext.transforms.spine_targets import SpinePoints

MULTIPLE = 32  # of the network's coarsest stride, px
_SIGMA_CELLS = 1.5  # of the target's Gaussian: 20 mm on the film
# cells this near to a vertebra's centre lie on the spine
_REACH_CELLS = 2.0
# films are stretched only by rows that far, in coarse pixels, beyond the outermost vertebra that is known
_CLEAR_PX = 12
_MOST_PLACES = 3
_LEAST_PROBABILITY = 0.01
"""Of a place that is worth a look beside the likeliest one."""
_APART_CELLS = 12
"""160 mm: half the height of a crop."""


@dataclass(frozen=True)
class SpinePlace:
    """Where the middle of the lumbar spine is.

    Args:
        centre_px: (u, v) in the radiograph's own pixels.
        probability: the heatmap there; near zero on a film without a lumbar spine.
    """

    centre_px: np.ndarray
    probability: float


@reproducible_inference()
def locate_spine(locator: nn.Module, pixels: np.ndarray, camera: Camera, view: str) -> list[SpinePlace]:
    """Finds the lumbar spine on a radiograph of any size.

    Args:
        locator: a `lumbar_ext.networks.locator.SpineLocator` in evaluation mode.
        pixels: [rows, columns], bone bright.
        camera: its camera.
        view: "ap" or "lat".

    Returns:
        One to three places, the likeliest first.
    """
    film = coarse_film(pixels, camera, view)
    image = torch.from_numpy(normalise_intensity(film.pixels, film.inside))[None, None]
    places = read_places(locator(image.to(next(locator.parameters()).device))[0])
    return [SpinePlace(film.to_original_px(centre), probability) for centre, probability in places]


def coarse_film(pixels: np.ndarray, camera: Camera, view: str) -> CanonicalView:
    """The whole radiograph on the locator's grid, whose size is the next multiple of 32."""
    size = size_on_grid(camera, view, LOCATOR_SPACING_MM)
    columns, rows = (-(-n // MULTIPLE) * MULTIPLE for n in size)
    return to_network_grid(pixels, camera, view, size_px=(columns, rows), spacing_mm=LOCATOR_SPACING_MM)


def read_places(packed: Tensor) -> list[tuple[np.ndarray, float]]:
    """Where the middle of the lumbar spine may be: (u, v) in coarse pixels and probability, from one answer [4, h, w].

    The likeliest place first, then the summits that are left once half a crop about each earlier one is taken away.
    """
    maps = packed.detach().float().cpu().numpy()[:LOCATOR_CHANNELS]
    heat, left, places = maps[LOCATOR_HEATMAP][0], maps[LOCATOR_HEATMAP][0].copy(), []
    rows, columns = np.indices(heat.shape)
    while len(places) < _MOST_PLACES and (not places or left.max() >= _LEAST_PROBABILITY):
        row, column = np.unravel_index(left.argmax(), heat.shape)
        peak, probability = refined_peak(heat, int(row), int(column))
        positions, _ = voted(maps[LOCATOR_OFFSET], maps[LOCATOR_SCALE], maps[LOCATOR_OFFSET], peak)
        places.append((positions[0] * LOCATOR_STRIDE + (LOCATOR_STRIDE - 1) / 2, probability))
        left[np.hypot(rows - row, columns - column) <= _APART_CELLS] = 0
    return places


def encode_place(points: SpinePoints, visible: Tensor) -> Tensor:
    """The locator's target [6, h, w] for a coarse film.

    A film whose lumbar middle is not on it has an empty heatmap.

    Args:
        points: in coarse pixels.
        visible: bool [H, W], where there is a picture.
    """
    rows, columns = (n // LOCATOR_STRIDE for n in visible.shape)
    target = np.zeros((LOCATOR_TARGET_CHANNELS, rows, columns), np.float32)
    target[LOCATOR_HEATMAP_WEIGHT] = 1.0
    middle_px = lumbar_centre_px(points, np.full(2, np.nan))
    if not _shown(middle_px, visible):
        return torch.from_numpy(target)
    middle, centres = ((px - (LOCATOR_STRIDE - 1) / 2) / LOCATOR_STRIDE for px in (middle_px, points.centres_px[1:-1]))
    cells = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).astype(float)
    target[LOCATOR_HEATMAP] = np.exp(-((cells - middle) ** 2).sum(axis=-1) / (2 * _SIGMA_CELLS**2))
    target[LOCATOR_OFFSET] = np.moveaxis(middle - cells, -1, 0)
    distance = np.linalg.norm(cells[:, :, None] - centres, axis=-1)
    target[LOCATOR_OFFSET_WEIGHT] = np.nanmin(distance, axis=-1) <= _REACH_CELLS
    return torch.from_numpy(target)


def _shown(point_px: np.ndarray, visible: Tensor) -> bool:
    if not np.isfinite(point_px).all():
        return False
    column, row = np.rint(point_px).astype(int)
    return bool(0 <= row < visible.shape[0] and 0 <= column < visible.shape[1] and visible[row, column])


class EncodePlaced(Transform):
    """Dictionary form of `encode_place`: reads `points` and `visible`, writes `label`."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """A copy of the dictionary with the target."""
        return {**data, "label": encode_place(data["points"], data["visible"])}


class RandCoarseFilmd(Randomizable, Transform):
    """Makes a coarse film of a view, with the spine anywhere on it: cut, stretched or padded, and mirrored if AP.

    Above and below the lumbar spine a film goes on with its own outermost rows, to and fro, as long as the canvas is: the
    nearest there is to a film of the whole trunk. Some films show no lumbar spine.

    Args:
        size_px: (rows, columns) of the canvas, multiples of 32.
        scale: smallest and largest magnification.
        stretch_probability: chance that a film goes on beyond each of its ends.
        cut_probability: chance that a side or an end is cut off.
        empty_probability: chance that only what lies beside, above or below the lumbar spine is shown.
    """

    def __init__(
        self,
        size_px: tuple[int, int] = (256, 128),
        *,
        scale: tuple[float, float] = (0.8, 1.25),
        stretch_probability: float = 0.4,
        cut_probability: float = 0.3,
        empty_probability: float = 0.05,
    ) -> None:
        self.size_px = (int(size_px[0]), int(size_px[1]))
        self.scale = (float(scale[0]), float(scale[1]))
        self.stretch_probability = stretch_probability
        self.cut_probability = cut_probability
        self.empty_probability = empty_probability

    def _happens(self, probability: float) -> bool:
        return bool(self.R.uniform() < probability)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """`image` [1, H, W] (normalised), `points` and `visible`, all coarse."""
        ratio = LOCATOR_SPACING_MM / NETWORK_SPACING_MM / np.exp(self.R.uniform(*np.log(self.scale)))
        film, points = coarsened_view(np.asarray(data["image"])[0], data["points"], ratio)
        if data["view"] == "ap" and self._happens(0.5):
            width = film.shape[1]
            film = film[:, ::-1]
            points = points.moved(lambda uv: np.array([width - 1, 0]) + uv * np.array([-1, 1])).with_sides_exchanged()
        film, points = self._stretched(film, points)
        film, points = self._cut(film, points)
        return self._placed(film, points, data["view"])

    def _stretched(self, film: np.ndarray, points: SpinePoints) -> tuple[np.ndarray, SpinePoints]:
        known = points.centres_px[np.isfinite(points.centres_px).all(axis=1), 1]
        if not len(known):
            return film, points
        above, below = int(known.min()) - _CLEAR_PX, film.shape[0] - int(known.max()) - _CLEAR_PX
        room = self.size_px[0]
        if above >= 4 and self._happens(self.stretch_probability):
            more = to_and_fro(film[:above], self.R.randint(4, room))
            film = np.concatenate([more[::-1], film])
            points = points.moved(lambda uv: uv + np.array([0, len(more)]))
        if below >= 4 and self._happens(self.stretch_probability):
            film = np.concatenate([film, to_and_fro(film[::-1][:below], self.R.randint(4, room))])
        return film, points

    def _cut(self, film: np.ndarray, points: SpinePoints) -> tuple[np.ndarray, SpinePoints]:
        """Cuts sides and ends off, not beyond the middle of the spine; or leaves what shows none of it."""
        height, width = film.shape
        u, v = lumbar_centre_px(points, np.array([width / 2, height / 2]))
        if self._happens(self.empty_probability):
            window = self._beside(film.shape, u, points)
        else:
            starts = [
                int(self.R.uniform(0, 0.8) * max(x, 0)) if self._happens(self.cut_probability) else 0 for x in (v, u)
            ]
            ends = [
                n - (int(self.R.uniform(0, 0.8) * max(n - x, 0)) if self._happens(self.cut_probability) else 0)
                for n, x in ((height, v), (width, u))
            ]
            window = (slice(starts[0], ends[0]), slice(starts[1], ends[1]))
        return film[window], points.moved(lambda uv: uv - np.array([window[1].start, window[0].start]))

    def _beside(self, shape: tuple[int, int], u: float, points: SpinePoints) -> tuple[slice, slice]:
        known = points.centres_px[np.isfinite(points.centres_px).all(axis=1), 1]
        top = int(known.min()) - _CLEAR_PX if len(known) else 0
        bottom = int(known.max()) + _CLEAR_PX if len(known) else shape[0]
        windows = [
            (slice(0, max(top, 0)), slice(0, shape[1])),
            (slice(min(bottom, shape[0]), shape[0]), slice(0, shape[1])),
            (slice(0, shape[0]), slice(0, max(int(u) - 15, 0))),
            (slice(0, shape[0]), slice(min(int(u) + 15, shape[1]), shape[1])),
        ]
        large = [w for w in windows if min(w[0].stop - w[0].start, w[1].stop - w[1].start) >= 8]
        return large[self.R.randint(len(large))] if large else windows[2]

    def _placed(self, film: np.ndarray, points: SpinePoints, view: str) -> dict[Hashable, Any]:
        """The film on the canvas; a larger one shows a part that holds the middle of the spine."""
        middle = lumbar_centre_px(points, np.array([film.shape[1] / 2, film.shape[0] / 2]))[::-1]
        canvas, visible = np.zeros(self.size_px, np.float32), np.zeros(self.size_px, bool)
        starts = [self._start(n, room, x) for n, room, x in zip(film.shape, self.size_px, middle, strict=True)]
        source = tuple(
            slice(max(-s, 0), min(room - s, n)) for s, room, n in zip(starts, self.size_px, film.shape, strict=True)
        )
        target = tuple(slice(part.start + s, part.stop + s) for part, s in zip(source, starts, strict=True))
        canvas[target], visible[target] = film[source], True
        return {
            "image": torch.from_numpy(normalise_intensity(canvas, visible))[None],
            "points": points.moved(lambda uv: uv + np.array(starts[::-1])),
            "visible": torch.from_numpy(visible),
            "view": view,
        }

    def _start(self, size: int, room: int, middle: float) -> int:
        """Where a film of that size begins on the canvas."""
        if size <= room:
            return int(self.R.randint(room - size + 1))
        # the middle of the spine keeps a margin of a tenth of the canvas
        low, high = max(room - size, 0.1 * room - middle), min(0, 0.9 * room - middle)
        return int(np.clip(self.R.uniform(min(low, high), max(low, high)), room - size, 0))


def coarsened_view(image: np.ndarray, points: SpinePoints, ratio: float) -> tuple[np.ndarray, SpinePoints]:
    """A film [H, W] and its points on a grid coarser by `ratio`, through the filter that inference uses."""
    rows, columns = (max(int(n / ratio), MULTIPLE // 4) for n in image.shape)
    offset = tuple(
        (n - ratio * m) / 2 + (ratio - 1) / 2 for n, m in zip(image.shape[::-1], (columns, rows), strict=True)
    )
    film = resample(image, GridMapping((ratio, ratio), offset), (columns, rows), 0.0)
    return film, points.moved(lambda uv: (uv - np.array(offset)) / ratio)


def to_and_fro(rows: np.ndarray, count: int) -> np.ndarray:
    """`count` rows that go on from the first of some rows, there and back again: r0 r1 .. rn rn .. r1 r0 r0 r1 .."""
    cycle = np.concatenate([rows, rows[::-1]])
    return np.take(cycle, np.arange(count), axis=0, mode="wrap")
