"""What the losses on packed tensors share: a weighted sum of named terms."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class WeightedLoss(nn.Module):
    """The weighted sum of the `terms` that a loss defines.

    Args:
        weights: of the terms by name; one of zero drops its term.
    """

    def __init__(self, **weights: float) -> None:
        super().__init__()
        self.weights = weights
        self.latest: dict[str, float] = {}

    def terms(self, packed: Tensor, target: Tensor) -> Mapping[str, Tensor]:
        """The unweighted terms, scalars, of a packed prediction and a packed target."""
        raise NotImplementedError

    def forward(self, packed: Tensor, target: Tensor) -> Tensor:
        """Total loss (scalar); `latest` then holds the unweighted terms as floats, for logging."""
        parts = self.terms(packed, target)
        self.latest = {name: float(value.detach()) for name, value in parts.items()}
        return torch.stack([weight * parts[name] for name, weight in self.weights.items() if weight > 0]).sum()
