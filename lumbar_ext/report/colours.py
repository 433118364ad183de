"""Colours that people with colour-blindness can tell apart."""

from __future__ import annotations

import numpy as np

VIRIDIS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
"""Five stops of matplotlib's viridis (van der Walt and Smith 2015), dark to bright."""


def viridis(values: np.ndarray, high: float) -> np.ndarray:
    """Colours [..., 3] in 0..255 of values between 0 and `high`."""
    places = np.clip(np.asarray(values) / max(high, 1e-9), 0, 1) * (len(VIRIDIS) - 1)
    stops = np.array(VIRIDIS, dtype=np.float64)
    return np.stack([np.interp(places, np.arange(len(VIRIDIS)), stops[:, channel]) for channel in range(3)], axis=-1)
