"""Grey images stored with several channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError


def grey_from_channels(path: Path, samples: np.ndarray) -> np.ndarray:
    """The grey image [rows, columns] of samples [rows, columns, channels]: grey, grey + alpha, RGB or RGBA.

    The alpha channel carries no attenuation and is dropped.

    Raises:
        InputError: if the colour channels differ.
    """
    colours = samples[..., : 3 if samples.shape[-1] >= 3 else 1]
    if not (colours == colours[..., :1]).all():
        raise InputError(
            f"{path}: a colour image (its red, green and blue channels differ), expected a grey radiograph"
        )
    return colours[..., 0]
