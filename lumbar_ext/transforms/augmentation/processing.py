"""Random processing as consoles, scanners and films apply it: band gains, levelled contrast, lines, bars, lost resolution.

It differs in kind from `foreign_chain`, which stays a test: gains of the bands are linear and random here, a power law
there; no motion, no glare, no film curve, no JPEG.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import Randomizable, Transform
from scipy.ndimage import uniform_filter, zoom

_BAND_SIZES_PX = (3, 7, 15, 31)  # of the means between which the bands of a multi-scale processing lie


def with_band_gains(image: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Multiplies the layers between ever wider box means by `gains` [4]; what is smoother than the widest stays."""
    result, finer = np.zeros_like(image), image
    for size, gain in zip(_BAND_SIZES_PX, gains, strict=True):
        coarser = uniform_filter(finer, size, mode="nearest")
        result += np.float32(gain) * (finer - coarser)
        finer = coarser
    return result + finer


def levelled(image: np.ndarray, size_px: int, amount: float) -> np.ndarray:
    """Takes `amount` of the local mean out of an image, as dynamic range compression does."""
    mean = uniform_filter(uniform_filter(image, size_px, mode="nearest"), size_px, mode="nearest")
    return image - np.float32(amount) * (mean - mean.mean())


def coarsened(image: np.ndarray, factor: float) -> np.ndarray:
    """Linear interpolation to a grid coarser by `factor`, and back."""
    coarse = zoom(image, 1 / factor, order=1)
    return zoom(coarse, np.array(image.shape) / coarse.shape, order=1)[: image.shape[0], : image.shape[1]]


class RandProcessingd(Randomizable, Transform):
    """Each change with its chance, on the normalised `image` [1, H, W]; follow it by a normalisation.

    Args:
        probability: chance of each change.
    """

    def __init__(self, probability: float = 0.25) -> None:
        self.probability = probability

    def _happens(self, share: float = 1.0) -> bool:
        return bool(self.R.uniform() < self.probability * share)

    def _lines(self, image: np.ndarray) -> None:
        """A faint grid, or a few thick lines as of frames, rulers and table edges."""
        if self._happens():
            axis, period = self.R.randint(2), self.R.uniform(2.0, 12.0)
            wave = self.R.uniform(0, 0.04) * np.sin(2 * np.pi * np.arange(image.shape[axis]) / period)
            image += wave.astype(np.float32)[:, None] if axis == 0 else wave.astype(np.float32)
        if self._happens(0.6):
            for _ in range(self.R.randint(1, 4)):
                axis = self.R.randint(2)
                start, width = self.R.randint(image.shape[axis]), self.R.randint(1, 7)
                line = image[start : start + width] if axis == 0 else image[:, start : start + width]
                line += np.float32(self.R.uniform(-0.6, 0.8))

    def _bars(self, image: np.ndarray) -> None:
        """An opaque strip along one edge."""
        if self._happens(0.4):
            axis = self.R.randint(2)
            width = int(self.R.uniform(0.02, 0.2) * image.shape[axis])
            edge = slice(0, width) if self.R.uniform() < 0.5 else slice(image.shape[axis] - width, None)
            image[(slice(None),) * axis + (edge,)] = self.R.choice([0.0, self.R.uniform(0, 1.5)])

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """A copy of the dictionary."""
        image = torch.as_tensor(data["image"])[0].numpy().astype(np.float32, copy=True)
        if self._happens(0.5):
            image = np.clip(image, 0, None) ** np.float32(np.exp(self.R.uniform(np.log(0.4), np.log(2.5))))
        if self._happens():
            image = with_band_gains(image, np.exp(self.R.uniform(np.log(0.5), np.log(2.5), size=len(_BAND_SIZES_PX))))
        if self._happens():
            image = levelled(image, int(self.R.uniform(30, 120)), self.R.uniform(0.2, 0.9))
        if self._happens(0.6):
            image = coarsened(image, self.R.uniform(1.2, 2.5)).astype(np.float32)
        self._lines(image)
        self._bars(image)
        return {**data, "image": torch.from_numpy(image)[None]}
