"""An imaging chain that training never shows: for evaluation only, to see how the network takes to another vendor's images.

Every step differs in kind from those of the simulator and of `RandRadiographAppearanced` (gaussian scatter and blur,
white or short-range noise, gamma and logistic curves, unsharp masking, boxes, collimation): veiling glare with long
exponential tails, motion blur along a line, lines of an anti-scatter grid, gain errors of detector columns, noise with a
1/f spectrum, multi-scale detail amplification by a power law (Vuylsteke & Schoeters 1994, the idea behind vendors'
processing), a film's characteristic curve, eight bits and JPEG.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from PIL import Image
from scipy.fft import irfft2, rfft2
from scipy.ndimage import gaussian_filter, map_coordinates

# the normalised image's range of one stands for this much attenuation (natural logarithm)
_LOG_RANGE = 3.0
_DETAIL_SIGMAS_PX = (1.0, 2.0, 4.0, 8.0, 16.0)  # of the bands whose contrast other software raises or lowers


@dataclass(frozen=True)
class ForeignChain:
    """One draw of the chain.

    Args:
        glare_fraction: signal that the glare adds, over the image's mean.
        glare_length_px: decay length of its tails.
        motion_px, motion_rad: length and direction of the movement.
        grid_amplitude, grid_period_px: lines of the grid, along v.
        gain_sd: spread of the columns' gains.
        noise_sd: standard deviation of the 1/f noise, in units of the normalised image.
        detail_power: below one lifts faint detail.
        film_slope, film_half: Hill exponent, and the signal at half density.
        jpeg_quality: as in Pillow.
    """

    glare_fraction: float
    glare_length_px: float
    motion_px: float
    motion_rad: float
    grid_amplitude: float
    grid_period_px: float
    gain_sd: float
    noise_sd: float
    detail_power: float
    film_slope: float
    film_half: float
    jpeg_quality: int


def draw_chain(rng: np.random.Generator) -> ForeignChain:
    """Draws an imaging chain of ordinary severity: lengths in pixels, the rest without unit."""
    return ForeignChain(
        glare_fraction=rng.uniform(0.05, 0.3),
        glare_length_px=rng.uniform(20, 120),
        motion_px=rng.uniform(0, 3),
        motion_rad=rng.uniform(0, np.pi),
        grid_amplitude=rng.uniform(0, 0.015),
        grid_period_px=rng.uniform(2.2, 9),
        gain_sd=rng.uniform(0, 0.01),
        noise_sd=rng.uniform(0.001, 0.006),
        detail_power=rng.uniform(0.75, 0.95),
        film_slope=rng.uniform(1.2, 2.2),
        film_half=rng.uniform(0.6, 1.1),
        jpeg_quality=int(rng.integers(35, 80)),
    )


def foreign_image(image: np.ndarray, chain: ForeignChain, rng: np.random.Generator) -> np.ndarray:
    """The image [rows, columns] (normalised, bone bright) as that chain would deliver it, in [0, 1], float32."""
    intensity = np.exp(-_LOG_RANGE * image.astype(np.float64))
    intensity = motion_blurred(with_glare(intensity, chain), chain.motion_px, chain.motion_rad)
    columns = np.arange(image.shape[1])
    lines = 1 + chain.grid_amplitude * np.sin(2 * np.pi * columns / chain.grid_period_px + rng.uniform(0, 2 * np.pi))
    gains = 1 + chain.gain_sd * rng.standard_normal(image.shape[1])
    signal = -np.log(np.maximum(intensity * lines * gains, 1e-4)) / _LOG_RANGE
    signal = signal + chain.noise_sd * pink_noise(image.shape, rng)
    return jpeg_compressed(film_curve(amplify_detail(signal, chain.detail_power), chain), chain.jpeg_quality)


def with_glare(intensity: np.ndarray, chain: ForeignChain) -> np.ndarray:
    """Adds the intensity spread by exp(-r / length), mirrored at the borders."""
    rows, columns = intensity.shape
    mirrored = np.pad(intensity, ((0, rows), (0, columns)), mode="symmetric")
    distance = np.hypot(*np.meshgrid(*(np.minimum(np.arange(2 * n), 2 * n - np.arange(2 * n)) for n in (rows, columns)),
                                     indexing="ij"))  # fmt: skip
    kernel = np.exp(-distance / chain.glare_length_px)
    spread = irfft2(rfft2(mirrored) * rfft2(kernel / kernel.sum()), s=mirrored.shape)[:rows, :columns]
    return intensity + chain.glare_fraction * spread


def motion_blurred(image: np.ndarray, length_px: float, direction_rad: float) -> np.ndarray:
    """The mean of the image along a line of that length and direction."""
    steps = np.linspace(-0.5, 0.5, 5) * length_px
    rows, columns = np.indices(image.shape)
    shifts = np.stack([np.sin(direction_rad) * steps, np.cos(direction_rad) * steps], axis=1)
    shifted = (map_coordinates(image, [rows + dv, columns + du], order=1, mode="nearest") for dv, du in shifts)
    return sum(shifted) / len(steps)


def pink_noise(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Noise of unit variance whose amplitude falls as one over the frequency."""
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])
    frequency[0, 0] = np.inf
    noise = irfft2(rfft2(rng.standard_normal(shape)) / np.maximum(frequency, 0.03), s=shape)
    return noise / noise.std()


def amplify_detail(signal: np.ndarray, power: float) -> np.ndarray:
    """Each band-pass layer d of the signal becomes m sign(d) |d / m|^power, with m its largest absolute value."""
    smooth, total = signal, np.zeros_like(signal)
    for sigma in _DETAIL_SIGMAS_PX:
        coarser = gaussian_filter(signal, sigma, truncate=3.0)
        layer = smooth - coarser
        largest = max(float(np.abs(layer).max()), 1e-9)
        # the smallest values are noise: amplify them no more than values of 3 % of the largest
        gain = np.maximum(np.abs(layer) / largest, 0.03) ** (power - 1)
        total += layer * gain
        smooth = coarser
    return smooth + total


def film_curve(signal: np.ndarray, chain: ForeignChain) -> np.ndarray:
    """Density s^n / (s^n + h^n) of the signal scaled between its 1st and 99th percentile."""
    low, high = np.percentile(signal, (1, 99))
    scaled = np.clip((signal - low) / max(high - low, 1e-6), 0, 1.5) ** chain.film_slope
    return scaled / (scaled + chain.film_half**chain.film_slope)


def jpeg_compressed(image: np.ndarray, quality: int) -> np.ndarray:
    """The image in [0, 1] written with eight bits as JPEG and read again."""
    with io.BytesIO() as file:
        Image.fromarray(np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file), np.float32) / 255


class ForeignChaind(MapTransform):
    """Sends the images of items whose `flag_key` is set through a chain drawn from the item's name.

    Equal names give equal images. Works on normalised images [1, H, W]; follow it by `NormaliseIntensityd`.

    Args:
        keys: images.
        flag_key: bool entry; others pass unchanged.
        name_keys: entries that seed the draw.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        flag_key: str = "foreign",
        name_keys: tuple[str, ...] = ("study", "view"),
    ) -> None:
        super().__init__(keys)
        self.flag_key, self.name_keys = flag_key, tuple(name_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """A copy of the dictionary."""
        result = dict(data)
        if not result.get(self.flag_key, False):
            return result
        rng = np.random.default_rng(zlib.crc32("/".join(str(result[name]) for name in self.name_keys).encode()))
        chain = draw_chain(rng)
        for key in self.key_iterator(result):
            image = torch.as_tensor(result[key])[0].numpy()
            result[key] = torch.from_numpy(foreign_image(image, chain, rng))[None]
        return result
