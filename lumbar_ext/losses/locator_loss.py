"""The loss of the locator: cross-entropy of its heatmap, likelihood of the way to the middle of the spine."""

from __future__ import annotations

from torch import Tensor

from lumbar_ext.losses.spine_loss import heatmap_loss, laplace_loss
from lumbar_ext.losses.weighted_loss import WeightedLoss
from lumbar_ext.networks.locator import (
    LOCATOR_HEATMAP,
    LOCATOR_HEATMAP_WEIGHT,
    LOCATOR_OFFSET,
    LOCATOR_OFFSET_WEIGHT,
    LOCATOR_SCALE,
)


class LocatorLoss(WeightedLoss):
    """`heatmap` times the one plus `offset` times the other, for packed [B, 4, h, w] and target [B, 6, h, w]."""

    def __init__(self, heatmap: float = 1.0, offset: float = 0.2) -> None:
        super().__init__(heatmap=heatmap, offset=offset)

    def terms(self, packed: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Its two summands by name, scalars: `heatmap` and `offset`, for packed predictions and targets [B, C, h, w]."""
        return {
            "heatmap": heatmap_loss(
                packed[:, LOCATOR_HEATMAP], target[:, LOCATOR_HEATMAP], target[:, LOCATOR_HEATMAP_WEIGHT]
            ),
            "offset": laplace_loss(
                packed[:, LOCATOR_OFFSET],
                packed[:, LOCATOR_SCALE],
                target[:, LOCATOR_OFFSET],
                target[:, LOCATOR_OFFSET_WEIGHT],
            ),
        }
