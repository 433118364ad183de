"""One radiograph on the network grid with its truth: what every training sample is made from, wherever it comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from lumbar_ext.anatomy import LEFT_RIGHT_SWAP
from lumbar_ext.geometry import Camera
from lumbar_ext.transforms.canonical import NETWORK_SIZE_PX, CanonicalView, size_on_grid, to_network_grid
from lumbar_ext.transforms.intensity import normalise_intensity
from lumbar_ext.transforms.multitask_targets import ENDPLATES


@dataclass(frozen=True)
class ViewTruth:
    """A radiograph, in float, and what is known of it; arrays [rows, columns].

    Args:
        view: "ap" or "lat".
        image: the normalised radiograph, in `intensity.NORMALISED_RANGE`.
        decomposition: the lumbar vertebrae alone, in [0, 1].
        landmarks_px: [5, 7, 2] (u, v); NaN where unknown.
    """

    view: str
    image: np.ndarray
    decomposition: np.ndarray
    landmarks_px: np.ndarray

    @property
    def present(self) -> np.ndarray:
        """bool [5], both endplates known."""
        return np.isfinite(self.landmarks_px[:, list(ENDPLATES)]).all(axis=(1, 2))

    def halved(self) -> ViewTruth:
        """The same on the grid of half the size, by area averaging."""
        smaller = [halve(picture) for picture in (self.image, self.decomposition)]
        return replace(self, image=smaller[0], decomposition=smaller[1], landmarks_px=(self.landmarks_px - 0.5) / 2)

    def as_sample(self) -> dict[str, Any]:
        """For transforms: float tensors `image` and `decomposition` [1, H, W], `landmarks_px`, `present`, `view`."""
        return {
            "image": torch.from_numpy(self.image)[None],
            "decomposition": torch.from_numpy(self.decomposition)[None],
            "landmarks_px": self.landmarks_px.astype(float),
            "present": self.present,
            "view": self.view,
        }


def truth_on_grid(
    pixels: np.ndarray,
    decomposition: np.ndarray,
    landmarks_px: np.ndarray,
    camera: Camera,
    view: str,
    *,
    whole_film: bool = False,
) -> tuple[ViewTruth, CanonicalView]:
    """Brings a radiograph and its truth to the network grid; and how it was brought there.

    Args:
        pixels: [rows, columns], bone bright.
        decomposition: the same shape, in [0, 1].
        landmarks_px: [5, 7, 2] in the radiograph's pixels, left and right the person's own.
        camera: of the radiograph.
        view: "ap" or "lat".
        whole_film: whether the grid covers all of the radiograph, of whatever size.
    """
    size_px = size_on_grid(camera, view) if whole_film else NETWORK_SIZE_PX
    seen = to_network_grid(pixels, camera, view, size_px=size_px)
    landmarks_px = seen.to_canonical_px(landmarks_px)
    if seen.swap_left_right:
        # the network names the sides of the person it seems to see
        landmarks_px = landmarks_px[:, list(LEFT_RIGHT_SWAP)]
    bone = to_network_grid(decomposition, camera, view, size_px=size_px).pixels
    return ViewTruth(view, normalise_intensity(seen.pixels), bone, landmarks_px), seen


def halve(image: np.ndarray) -> np.ndarray:
    """Mean of 2x2 pixel blocks of an image with even sizes."""
    rows, columns = image.shape
    return image.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))
