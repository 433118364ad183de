"""Crops around the spine for the second-generation network: random ones to train on, centred ones to validate on.

Whatever is done to a crop, its grey values are normalised last, by the percentiles of the pixels that show a picture, just
as inference does with the crop that it cuts out.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import Randomizable, Transform

from lumbar_ext.transforms.augmentation.warp import PlanarWarp, planar_warp
from lumbar_ext.transforms.intensity import normalise_intensity
from lumbar_ext.transforms.spine_targets import SpinePoints

CROP_SIZE_PX = (384, 256)
"""Rows and columns; 320 x 214 mm on the detector: the landmarks' box plus 30 px is 362 x 215 px in 95 % of the views."""


def lumbar_centre_px(points: SpinePoints, fallback: np.ndarray) -> np.ndarray:
    """Mean (u, v) of the lumbar centres that are known; `fallback` without any."""
    centres = points.centres_px[1:-1]
    known = np.isfinite(centres).all(axis=1)
    return centres[known].mean(axis=0) if known.any() else np.asarray(fallback, float)


def covered(warp: PlanarWarp, source_size_px: tuple[int, int]) -> np.ndarray:
    """bool [rows, columns], where the output of a warp lies on a source of that size (rows, columns)."""
    rows, columns = warp.size_px
    v, u = np.ogrid[0:rows, 0:columns]
    (uu, uv), (vu, vv) = warp.matrix
    source_u = uu * u + uv * v + warp.offset_px[0]
    source_v = vu * u + vv * v + warp.offset_px[1]
    inside_u = (source_u >= -0.5) & (source_u <= source_size_px[1] - 0.5)
    return inside_u & (source_v >= -0.5) & (source_v <= source_size_px[0] - 0.5)


class RandSpineCropd(Randomizable, Transform):
    """Cuts a crop out of a view: `image`, `decomposition`, `points` and the new entry `visible` move together.

    The crop is centred on the lumbar spine, up to a random rotation, magnification and shift. Now and then the film ends
    within it, so that L1, L5 or S1 is cut off. AP views are mirrored half of the time; their sides are then exchanged.

    Args:
        size_px: (rows, columns), multiples of 32.
        rotation_deg: largest rotation either way.
        scale: smallest and largest magnification.
        shift_px: largest shift (u, v).
        end_probability: chance that the film ends above or below, and again at a side.
        mirror_probability: for AP views.
    """

    def __init__(
        self,
        size_px: tuple[int, int] = CROP_SIZE_PX,
        *,
        rotation_deg: float = 10.0,
        scale: tuple[float, float] = (0.85, 1.15),
        shift_px: tuple[float, float] = (35.0, 45.0),
        end_probability: float = 0.25,
        mirror_probability: float = 0.5,
    ) -> None:
        self.size_px = (int(size_px[0]), int(size_px[1]))
        self.rotation_rad = np.deg2rad(rotation_deg)
        self.scale = (float(scale[0]), float(scale[1]))
        self.shift_px = (float(shift_px[0]), float(shift_px[1]))
        self.end_probability = end_probability
        self.mirror_probability = mirror_probability

    def _warp(self, data: Mapping[Hashable, Any], mirrored: bool) -> PlanarWarp:
        height, width = data["image"].shape[-2:]
        centre = lumbar_centre_px(data["points"], np.array([(width - 1) / 2, (height - 1) / 2]))
        shift = self.R.uniform(-1, 1, size=2) * self.shift_px
        return planar_warp(
            centre + shift,
            self.size_px,
            rotation_rad=self.R.uniform(-self.rotation_rad, self.rotation_rad),
            scale=np.exp(self.R.uniform(*np.log(self.scale))),
            mirrored=mirrored,
        )

    def _film_ends(self, visible: np.ndarray) -> None:
        """Ends the film within the crop: at most 30 % of its height, 20 % of its width."""
        for axis, largest in ((0, 0.3), (1, 0.2)):
            if self.R.uniform() < self.end_probability / (1 + axis):
                missing = int(self.R.uniform(0.02, largest) * visible.shape[axis])
                edge = slice(0, missing) if self.R.uniform() < 0.5 else slice(-missing or None, None)
                visible[(slice(None),) * axis + (edge,)] = False

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """A copy of the dictionary; `image` is normalised."""
        mirrored = bool(data["view"] == "ap" and self.R.uniform() < self.mirror_probability)
        warp = self._warp(data, mirrored)
        visible = covered(warp, data["image"].shape[-2:])
        self._film_ends(visible)
        return crop_view(data, warp, visible, mirrored)


class SpineCropd(Transform):
    """Cuts out the crop that is centred on the lumbar spine, without anything random.

    Args:
        size_px: (rows, columns), multiples of 32.
    """

    def __init__(self, size_px: tuple[int, int] = CROP_SIZE_PX) -> None:
        self.size_px = (int(size_px[0]), int(size_px[1]))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """A copy of the dictionary; `image` is normalised."""
        height, width = data["image"].shape[-2:]
        centre = lumbar_centre_px(data["points"], np.array([(width - 1) / 2, (height - 1) / 2]))
        # whole pixels: nothing is resampled
        warp = planar_warp(np.rint(centre) + 0.5, self.size_px)
        return crop_view(data, warp, covered(warp, (height, width)), mirrored=False)


def crop_view(
    data: Mapping[Hashable, Any], warp: PlanarWarp, visible: np.ndarray, mirrored: bool
) -> dict[Hashable, Any]:
    """Image, decomposition and points of a view, warped; `visible` becomes an entry."""
    stacked = torch.cat([torch.as_tensor(data[name]).float() for name in ("image", "decomposition")])
    image, decomposition = warp.apply_to_images(stacked)
    points = data["points"].moved(warp.apply_to_points)
    return {
        **data,
        "image": torch.from_numpy(normalise_intensity(image.numpy(), visible))[None],
        "decomposition": decomposition[None],
        "points": points.with_sides_exchanged() if mirrored else points,
        "visible": torch.from_numpy(visible),
    }


class NormaliseCropd(Transform):
    """Normalises `image` by the percentiles of its `visible` pixels; the others become 0."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """A copy of the dictionary."""
        image = normalise_intensity(np.asarray(data["image"])[0], np.asarray(data["visible"]))
        return {**data, "image": torch.from_numpy(image)[None]}
