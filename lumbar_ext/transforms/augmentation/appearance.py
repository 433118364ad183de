"""Random change of appearance of a radiograph, towards the variety of real detectors, exposures and post-processing.

The list follows the randomisation that let networks trained on simulated radiographs work on real ones (SyntheX,
Gao et al. 2023): noise, gamma, contrast curves, blur, occlusion; plus collimation and slow shading.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from scipy.ndimage import gaussian_filter, uniform_filter
from torch.nn import functional as F


def gamma_curve(image: np.ndarray, gamma: float) -> np.ndarray:
    """Raises values clipped to [0, 1] to the power `gamma`."""
    return np.clip(image, 0, 1) ** np.float32(gamma)


def sigmoid_curve(image: np.ndarray, gain: float, cutoff: float) -> np.ndarray:
    """Sigmoid contrast as a detector's characteristic curve, 1 / (1 + exp(gain (cutoff - image)))."""
    return 1 / (1 + np.exp(np.float32(gain) * (np.float32(cutoff) - image)))


def shading(image: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Multiplies by the smooth field that interpolates `knots` (a small 2D grid of factors) over the image."""
    field = F.interpolate(
        torch.from_numpy(knots.astype(np.float32))[None, None], image.shape, mode="bicubic", align_corners=True
    )
    return image * field[0, 0].numpy()


def unsharp(image: np.ndarray, sigma_px: float, amount: float) -> np.ndarray:
    """Edge enhancement, as vendors apply it to displayed images."""
    # a box filter approximates the gaussian at a cost that does not grow with its width
    blurred = uniform_filter(image, int(2 * sigma_px) * 2 + 1)
    return image + np.float32(amount) * (image - blurred)


class RandRadiographAppearanced(Randomizable, MapTransform):
    """Randomly gamma, contrast, shading, sharpening or blur, noise, erased boxes and collimation, each with its chance.

    Works on normalised images [1, H, W] (0 to 1 roughly); follow it by `NormaliseIntensityd`. Polarity is never
    changed:
    every image inside is bone-bright.

    Args:
        keys: images to change.
        probability: chance of each change.
        noise: largest standard deviation of white noise, in units of the image's range.
    """

    def __init__(self, keys: KeysCollection = "image", probability: float = 0.4, noise: float = 0.06) -> None:
        MapTransform.__init__(self, keys)
        self.probability = probability
        self.noise = noise

    def _happens(self) -> bool:
        return bool(self.R.uniform() < self.probability)

    def _curves(self, image: np.ndarray) -> np.ndarray:
        if self._happens():
            image = gamma_curve(image, np.exp(self.R.uniform(np.log(0.6), np.log(1.6))))
        if self._happens():
            image = sigmoid_curve(image, self.R.uniform(3, 8), self.R.uniform(0.35, 0.65))
        if self._happens():
            image = shading(image, self.R.uniform(0.7, 1.3, size=(self.R.randint(2, 5), self.R.randint(2, 5))))
        return image

    def _detail(self, image: np.ndarray) -> np.ndarray:
        if self._happens():
            image = gaussian_filter(image, self.R.uniform(0.3, 1.2), truncate=3.0)
        elif self._happens():
            image = unsharp(image, self.R.uniform(1.0, 8.0), self.R.uniform(0.2, 1.0))
        if self._happens():
            image = image + self._noise(image.shape, self.R.uniform(0, self.noise))
        return image

    def _noise(self, shape: tuple[int, int], sigma: float) -> np.ndarray:
        # float32 noise from a fresh Generator: five times as fast as RandomState, still seeded by it
        rng = np.random.default_rng(self.R.randint(2**31 - 1))
        return rng.standard_normal(shape, dtype=np.float32) * np.float32(sigma)

    def _box(self, shape: tuple[int, int], largest: float) -> tuple[slice, slice]:
        rows, columns = (max(2, int(self.R.uniform(0.03, largest) * n)) for n in shape)
        top, left = self.R.randint(0, shape[0] - rows + 1), self.R.randint(0, shape[1] - columns + 1)
        return slice(top, top + rows), slice(left, left + columns)

    def _erase(self, image: np.ndarray) -> None:
        for _ in range(self.R.randint(1, 4)):
            box = self._box(image.shape, 0.15)
            image[box] = self.R.uniform(0, 1.2) + self._noise(image[box].shape, self.R.uniform(0, 0.2))

    def _collimate(self, image: np.ndarray) -> None:
        fill = self.R.choice([0.0, 0.0, self.R.uniform(0, 1.2)])
        for axis in (0, 1):
            size = image.shape[axis]
            first, last = (int(self.R.uniform(0, 0.12) * size) for _ in range(2))
            edges = [slice(None), slice(None)]
            for edge in (slice(0, first), slice(size - last, size)):
                edges[axis] = edge
                image[tuple(edges)] = fill

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """A copy of the dictionary with changed images."""
        result = dict(data)
        for key in self.key_iterator(result):
            tensor = torch.as_tensor(result[key])
            image = self._detail(self._curves(tensor[0].numpy())).astype(np.float32, copy=True)
            if self.R.uniform() < self.probability / 2:
                self._erase(image)
            if self.R.uniform() < self.probability / 2:
                self._collimate(image)
            result[key] = torch.from_numpy(image)[None]
        return result
