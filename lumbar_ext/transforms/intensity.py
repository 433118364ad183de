"""The one intensity normalisation that training and inference share."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Transform

LOW_PERCENTILE = 1.0  # becomes 0: air or the shutter's edge
HIGH_PERCENTILE = 99.0  # becomes 1
UINT16_MAX = 65535  # of stored pictures
_LEAST_RANGE = 1e-9  # keeps a constant image finite
NORMALISED_RANGE = (-0.5, 1.5)  # what lies beyond is cut off
_FLAT = 1e-4  # of the picture's range: rounding of a resampled grey value; a step of 8 bits is forty times that


def normalise_intensity(image: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
    """Maps the 1st and 99th percentile of a bone-bright image to 0 and 1, clipped to [-0.5, 1.5], as float32.

    The clip lies outside [0, 1] because the brightest percent of a radiograph may be bone of interest. Non-finite
    pixels become the low percentile; a constant image becomes zero.

    Args:
        image: any shape, any real dtype.
        inside: bool of the same shape, where there is a picture; other pixels do not count and become 0. None: everywhere.
    """
    image = np.asarray(image, np.float32)
    if inside is not None:
        normalised = np.zeros_like(image)
        normalised[inside] = normalise_intensity(image[inside])
        return normalised
    finite = np.isfinite(image)
    if not finite.any():
        return np.zeros_like(image)
    if not finite.all():
        image = np.where(finite, image, np.percentile(image[finite], LOW_PERCENTILE)).astype(np.float32)
    low, high = np.percentile(image, (LOW_PERCENTILE, HIGH_PERCENTILE))
    if high <= low:
        return np.zeros_like(image)
    return np.clip((image - np.float32(low)) / np.float32(high - low), *NORMALISED_RANGE)


def flat_pixels(picture: np.ndarray) -> np.ndarray:
    """[rows, columns] bool: one grey value in a pixel and around it; true along the edges, beyond which there is nothing.

    What was exposed has noise; what is flat lies beyond the film or its collimation, or was blanked or burnt out.
    """
    flat = np.ones(picture.shape, dtype=bool)
    around = np.ptp(np.lib.stride_tricks.sliding_window_view(picture, (3, 3)), axis=(2, 3))
    flat[1:-1, 1:-1] = around <= _FLAT * np.ptp(picture)
    return flat


def as_uint16(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values from `low` to `high` as 0..65535; beyond them they are cut off."""
    return np.rint(np.clip((values - low) / (high - low), 0, 1) * UINT16_MAX).astype(np.uint16)


def from_uint16(stored: np.ndarray, low: float, high: float) -> np.ndarray:
    """float32, the inverse of `as_uint16`."""
    return stored * np.float32((high - low) / UINT16_MAX) + np.float32(low)


def stretched_to_uint16(image: np.ndarray) -> np.ndarray:
    """An image of any range, its darkest pixel as 0 and its brightest as 65535; a constant one becomes 0."""
    low, high = float(image.min()), float(image.max())
    return as_uint16(image, low, max(high, low + _LEAST_RANGE))


class NormaliseIntensity(Transform):
    """Array form of `normalise_intensity`; keeps tensors tensors."""

    def __call__(self, image: np.ndarray | torch.Tensor) -> np.ndarray | torch.Tensor:
        """The normalised image, of the kind (array or tensor) that was given."""
        if isinstance(image, torch.Tensor):
            return torch.as_tensor(normalise_intensity(image.detach().cpu().numpy()), device=image.device)
        return normalise_intensity(image)


class NormaliseIntensityd(MapTransform):
    """Dictionary form of `NormaliseIntensity`."""

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = NormaliseIntensity()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """A copy of the dictionary with normalised images."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.transform(result[key])
        return result
