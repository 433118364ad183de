"""Colours that people with colour-blindness can tell apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

VIRIDIS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
"""Five stops of matplotlib's viridis (van der Walt and Smith 2015), dark to bright."""


_SCALE_QUANTILE = 0.98  # of all vertices: single tips do not stretch the colour scale


def uncertainty_scale_mm(vertex_sd_mm: Mapping[str, np.ndarray]) -> float:
    """A round end for the colour scale of a study, which nearly all vertices stay below; 1 mm where none is known.

    Args:
        vertex_sd_mm: by level, [V].
    """
    if not vertex_sd_mm:
        return 1.0
    high = float(np.quantile(np.concatenate(list(vertex_sd_mm.values())), _SCALE_QUANTILE))
    return float(np.ceil(high * 2) / 2)


def linear_from_srgb(colours: np.ndarray) -> np.ndarray:
    """Shares of light 0..1, as glTF takes colours, of sRGB colours 0..255 (IEC 61966-2-1)."""
    shares = np.asarray(colours, dtype=np.float64) / 255
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


def viridis(values: np.ndarray, high: float) -> np.ndarray:
    """Colours [..., 3] in 0..255 of values between 0 and `high`."""
    places = np.clip(np.asarray(values) / max(high, 1e-9), 0, 1) * (len(VIRIDIS) - 1)
    stops = np.array(VIRIDIS, dtype=np.float64)
    return np.stack([np.interp(places, np.arange(len(VIRIDIS)), stops[:, channel]) for channel in range(3)], axis=-1)
