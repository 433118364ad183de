"""From the detected signal to the picture: field edges, markers, vendor processing and look-up tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import shift

from lumbar_ext.geometry import Camera
from lumbar_ext.simulation.imaging.filters import gaussian_blur, smooth
from lumbar_ext.simulation.imaging.lettering import draw_letter
from lumbar_ext.simulation.ranges import AppearanceParameters

_WHITE = 65535  # 16 bits
# Blurred by so much, the mask of the anatomy exceeds this value from 1.3 times as far inside the skin.
_MARGIN_MM = 18.0
_INSIDE = 0.9  # of a blurred mask: what is this far from its border
# Log signals of rays that cross the trunk rather than graze it: a tenth of the beam or less passes.
_BEHIND_PERSON = 2.3
_ENOUGH_PIXELS = 100  # for a percentile
# Widths of the blurs between the bands of multi-scale processing; the wide ones are computed on a coarse grid.
_SCALES_MM = (1.2, 2.4, 4.8, 9.6, 19.0, 38.0)
_COARSE_FROM_MM = 4.0  # bands at least this wide are equalised, narrower ones sharpened
_LEAST_RELATIVE = 0.05  # of a band's contrast, so that a power below one does not raise noise


@dataclass(frozen=True)
class Picture:
    """A finished picture.

    Args:
        pixels: [rows, columns] uint16 as written to the file.
        inverted: whether bone is dark in it.
        collimated: whether the field is smaller than the panel.
        lower_part_mm: (right, down), by which the lower part of a film of two exposures is laid off on it. The camera
            and all truth are those of the upper part.
    """

    pixels: np.ndarray
    inverted: bool
    collimated: bool
    lower_part_mm: tuple[float, float] = (0.0, 0.0)


def finish(
    rng: np.random.Generator,
    signal: np.ndarray,
    camera: Camera,
    landmarks_mm: np.ndarray,
    parameters: AppearanceParameters,
) -> Picture:
    """Makes a picture of a log signal.

    Args:
        rng: draws the processing.
        signal: `radiograph.expose` output, bone bright.
        camera: the view.
        landmarks_mm: [..., 3] world points that collimation leaves in the picture.
        parameters: ranges.
    """
    spacing = camera.pixel_spacing_mm[0]
    field = _open_field(rng, signal.shape, camera.project(landmarks_mm).reshape(-1, 2), parameters)
    lower_part_mm = _lower_part_mm(rng, len(signal) * spacing, parameters)
    signal = _stitched(rng, _with_grid(rng, signal, spacing, parameters), spacing, lower_part_mm, parameters)
    image = _saturated(rng, signal, parameters)
    exposed = image > signal
    if rng.random() < parameters.multiscale_share:
        image = _multiscale(rng, image, exposed, spacing, parameters)
    else:
        image = _equalised(rng, image, exposed, spacing, parameters)
        image = _sharpened(rng, image, spacing, parameters)
    image = _windowed(rng, image, _anatomy(rng, field, exposed, spacing, parameters), parameters)
    image = _toned(rng, image, parameters)
    if field is not None:
        # Closed shutters leave next to no signal; systems mask it black, or leave it white.
        image = np.where(field, image, float(rng.random() < parameters.white_shutter_share))
    if rng.random() < parameters.marker_share:
        draw_letter(rng, image, spacing)
    inverted = bool(rng.random() < parameters.inverted_share)
    pixels = np.round(np.clip(image, 0, 1) * _WHITE).astype(np.uint16)
    return Picture(_WHITE - pixels if inverted else pixels, inverted, field is not None, lower_part_mm)


def _open_field(
    rng: np.random.Generator, shape: tuple[int, int], keep_px: np.ndarray, parameters: AppearanceParameters
) -> np.ndarray | None:
    """Mask of the collimated field, or None if the whole panel is open; the shutters spare points `keep_px` [N, 2]."""
    if rng.random() >= parameters.collimation_share:
        return None
    rows, columns = shape
    half = (
        np.array([rng.uniform(*parameters.collimation_u) * columns, rng.uniform(*parameters.collimation_v) * rows]) / 2
    )
    angle = np.radians(rng.normal(0, 1.5))
    axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = np.array([columns, rows]) / 2
    spared = (keep_px - middle) @ axes.T
    margin = rng.uniform(*parameters.collimation_margin) * columns
    low, high = np.minimum(spared.min(0) - margin, -half), np.maximum(spared.max(0) + margin, half)
    u, v = np.meshgrid(np.arange(columns) - middle[0], np.arange(rows) - middle[1])
    turned_u, turned_v = axes[0, 0] * u + axes[0, 1] * v, axes[1, 0] * u + axes[1, 1] * v
    return (turned_u > low[0]) & (turned_u < high[0]) & (turned_v > low[1]) & (turned_v < high[1])


def _saturated(rng: np.random.Generator, signal: np.ndarray, parameters: AppearanceParameters) -> np.ndarray:
    """The signal cut off where the open beam saturates the detector, so far below that behind the person."""
    person = signal[::2, ::2][signal[::2, ::2] > _BEHIND_PERSON]
    level = np.median(person) if person.size > _ENOUGH_PIXELS else np.median(signal)
    return np.maximum(signal, level - np.float32(rng.uniform(*parameters.saturation)))


def _equalised(
    rng: np.random.Generator,
    image: np.ndarray,
    exposed: np.ndarray,
    spacing_mm: float,
    parameters: AppearanceParameters,
) -> np.ndarray:
    """Dynamic range compression: less of the local mean of what is not open beam, so that no halo follows the skin."""
    strength = rng.uniform(*parameters.equalisation)
    sigma = rng.uniform(*parameters.equalisation_sigma_mm)
    covered = smooth((~exposed).astype(np.float32), sigma, spacing_mm)
    total = smooth(np.where(exposed, np.float32(0), image), sigma, spacing_mm)
    # Far from the person the mean of all that is covered stands in.
    overall = float(image[~exposed].mean()) if not exposed.all() else 0.0
    return image - np.float32(strength) * (total + np.float32(1e-3 * overall)) / (covered + np.float32(1e-3))


def _sharpened(
    rng: np.random.Generator, image: np.ndarray, spacing_mm: float, parameters: AppearanceParameters
) -> np.ndarray:
    """Unsharp masking."""
    amount, sigma = rng.uniform(*parameters.sharpening), rng.uniform(*parameters.sharpening_sigma_mm) / spacing_mm
    return image + np.float32(amount) * (image - gaussian_blur(image, sigma))


def _multiscale(
    rng: np.random.Generator,
    image: np.ndarray,
    exposed: np.ndarray,
    spacing_mm: float,
    parameters: AppearanceParameters,
) -> np.ndarray:
    """Contrast enhanced scale by scale (Vuylsteke and Schoeters 1994).

    The image is the sum of bands between blurs of growing width. Weak contrasts of a band are raised by a power law,
    strong ones are not, and each band has a gain that leads from the finest to the coarsest; what is left beyond the
    widest blur gets the coarsest's. The finest band, which is noise for the most part, keeps its law.
    """
    exponent = rng.uniform(*parameters.multiscale_exponent)
    ends = (rng.uniform(*parameters.multiscale_fine), rng.uniform(*parameters.multiscale_coarse))
    gains = np.geomspace(*ends, len(_SCALES_MM) + 1).astype(np.float32)
    total, finer = np.zeros_like(image), image
    for number, (scale, gain) in enumerate(zip(_SCALES_MM, gains, strict=False)):
        narrow = scale < _COARSE_FROM_MM
        blurred = gaussian_blur(image, scale / spacing_mm) if narrow else smooth(image, scale, spacing_mm)
        band = finer - blurred
        total += gain * (band if number == 0 else _raised(band, exposed, exponent))
        finer = blurred
    return total + gains[-1] * finer


def _raised(band: np.ndarray, exposed: np.ndarray, exponent: float) -> np.ndarray:
    """A band whose contrasts below three of its standard deviations are raised by a power law."""
    inside = band[::4, ::4][~exposed[::4, ::4]]
    strong = np.float32(3 * inside.std()) if inside.size > _ENOUGH_PIXELS else np.float32(0)
    if strong <= 0 or exponent >= 1:
        return band
    relative = np.abs(band) / strong
    # Nothing is raised without limit: the smallest contrasts are as much noise as bone.
    return band * np.clip(relative, _LEAST_RELATIVE, 1.0) ** np.float32(exponent - 1)


def _with_grid(
    rng: np.random.Generator, signal: np.ndarray, spacing_mm: float, parameters: AppearanceParameters
) -> np.ndarray:
    """The signal with the lines of a grid, or the moire of it, in some pictures."""
    shown = rng.random() < parameters.grid_share
    amplitude, period, angle, phase = (
        np.exp(rng.uniform(*np.log(parameters.grid_amplitude))),
        np.exp(rng.uniform(*np.log(parameters.grid_period_mm))) / spacing_mm,
        rng.normal(0, 0.03) + rng.integers(2) * np.pi / 2,
        rng.uniform(0, 2 * np.pi),
    )
    if not shown:
        return signal
    v, u = (np.arange(n, dtype=np.float32) for n in signal.shape)
    turns = np.cos(angle) * u[None] + np.sin(angle) * v[:, None]
    return signal + np.float32(amplitude) * np.sin(np.float32(2 * np.pi / period) * turns + np.float32(phase))


def _lower_part_mm(rng: np.random.Generator, height_mm: float, parameters: AppearanceParameters) -> tuple[float, float]:
    """`Picture.lower_part_mm` of a film of this height, from a stream of its own: all else stays that of the seed."""
    (apart,) = rng.spawn(1)
    right, down = apart.uniform(*parameters.stitch_offset_mm, 2) * apart.choice([-1.0, 1.0], 2)
    return (float(right), float(down)) if height_mm > parameters.stitched_from_mm else (0.0, 0.0)


def _stitched(
    rng: np.random.Generator,
    signal: np.ndarray,
    spacing_mm: float,
    lower_part_mm: tuple[float, float],
    parameters: AppearanceParameters,
) -> np.ndarray:
    """A film higher than one panel is made of two exposures: where they meet the signal steps and the picture jumps."""
    rows = len(signal)
    seam, overlap = rng.uniform(0.3, 0.7) * rows, rng.uniform(*parameters.stitch_overlap_mm) / spacing_mm
    step = rng.uniform(*parameters.stitch_step) * rng.choice([-1.0, 1.0])
    if rows * spacing_mm <= parameters.stitched_from_mm:
        return signal
    share = np.clip((np.arange(rows) - seam) / max(overlap, 1.0) + 0.5, 0.0, 1.0).astype(np.float32)[:, None]
    if any(lower_part_mm):
        right, down = np.array(lower_part_mm) / spacing_mm
        signal = (1 - share) * signal + share * shift(signal, (down, right), order=1, mode="nearest")
    return signal + np.float32(step) * share


def _anatomy(
    rng: np.random.Generator,
    field: np.ndarray | None,
    exposed: np.ndarray,
    spacing_mm: float,
    parameters: AppearanceParameters,
) -> np.ndarray:
    """Mask of what the window is chosen for: the anatomy in the field, mostly without a margin along the skin."""
    anatomy = ~exposed if field is None else ~exposed & field
    if rng.random() < parameters.interior_window_share:
        anatomy = anatomy & (smooth(anatomy.astype(np.float32), _MARGIN_MM, spacing_mm) > _INSIDE)
    return anatomy


def _windowed(
    rng: np.random.Generator, image: np.ndarray, anatomy: np.ndarray, parameters: AppearanceParameters
) -> np.ndarray:
    """Two random percentiles of the anatomy become 0 and 1."""
    values = image[::2, ::2][anatomy[::2, ::2]]
    percentiles = (rng.uniform(*parameters.low_percentile), rng.uniform(*parameters.high_percentile))
    low, high = np.percentile(values if values.size > _ENOUGH_PIXELS else image, percentiles)
    return (image - np.float32(low)) / np.float32(max(high - low, 1e-6))


def _toned(rng: np.random.Generator, image: np.ndarray, parameters: AppearanceParameters) -> np.ndarray:
    """A sigmoid or a gamma curve on [0, 1]."""
    gain, cutoff = rng.uniform(*parameters.sigmoid_gain), rng.uniform(*parameters.sigmoid_cutoff)
    gamma = rng.uniform(*parameters.gamma)
    if rng.random() < parameters.sigmoid_share:
        ends = 1 / (1 + np.exp(-gain * (np.array([0.0, 1.0]) - cutoff)))
        curve = 1 / (1 + np.exp(-gain * (np.clip(image, -0.5, 1.5) - cutoff)))
        return (curve - ends[0]) / (ends[1] - ends[0]) * 0.94 + 0.03
    return np.clip(image, 0, 1) ** gamma
