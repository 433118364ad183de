"""One view's prediction of the second-generation network measured against its target."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.metrics.view_scores import MeasuredView, measure_decoded
from lumbar_ext.networks.spine_packing import SPINE_PACK
from lumbar_ext.transforms.decode import DecodedView
from lumbar_ext.transforms.spine_decode import decode_spine


def measure_spine_view(prediction: Tensor, target: Tensor, pixel_spacing_mm: float) -> MeasuredView:
    """Measures one packed prediction [111, h, w] against its packed target [196, h, w].

    Landmarks outside the picture are left out.

    Args:
        pixel_spacing_mm: size of the image's pixels on the detector.
    """
    true = decode_spine(target)
    return measure_decoded(decode_spine(prediction), true, _visible(target, true), pixel_spacing_mm)


def _visible(target: Tensor, true: DecodedView) -> np.ndarray:
    """[5, 7] bool: which true landmarks lie on the picture, from the target's weights at the centre cells."""
    weights = target[SPINE_PACK["landmark_weight"]].detach().cpu().numpy()
    visible = np.zeros((len(LEVELS), len(LANDMARKS)), bool)
    for level in np.flatnonzero(true.present):
        column, row = np.rint(SPINE_PACK.cells_from_px(true.centres_px[level])).astype(int)
        visible[level] = weights[:, np.clip(row, 0, weights.shape[1] - 1), np.clip(column, 0, weights.shape[2] - 1)] > 0
    return visible
