"""How a pixel's error counts: absolute (the paper), squared, or Huber between the two."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np


class Similarity(ABC):
    """A penalty of the difference between a predicted and a wanted pixel value, both in [0, 1)."""

    code: ClassVar[int]
    """How the compiled kernels know it: 0 absolute, 1 squared, 2 Huber."""

    scale: float = 1.0
    """The Huber threshold; unused by the others."""

    @abstractmethod
    def penalty(self, residual: np.ndarray) -> np.ndarray:
        """The penalty of residuals, same shape."""

    @abstractmethod
    def reweighting(self, residual: np.ndarray) -> np.ndarray:
        """`penalty'(r) / r`, the weights with which least squares follow this penalty."""


@dataclass(frozen=True)
class AbsoluteError(Similarity):
    """`|r|`, as in Yu et al. (arXiv 2503.14573), equation 10."""

    code: ClassVar[int] = 0

    def penalty(self, residual: np.ndarray) -> np.ndarray:
        """See `Similarity`."""
        return np.abs(residual)

    def reweighting(self, residual: np.ndarray) -> np.ndarray:
        """See `Similarity`."""
        return 1 / np.maximum(np.abs(residual), 1e-3)


@dataclass(frozen=True)
class SquaredError(Similarity):
    """`r^2`: one large error counts more than many small ones."""

    code: ClassVar[int] = 1

    def penalty(self, residual: np.ndarray) -> np.ndarray:
        """See `Similarity`."""
        return residual**2

    def reweighting(self, residual: np.ndarray) -> np.ndarray:
        """See `Similarity`."""
        return np.full_like(residual, 2.0)


@dataclass(frozen=True)
class Huber(Similarity):
    """`r^2 / (2 scale)` up to `scale`, then `|r| - scale / 2`: the absolute error with a rounded foot.

    Args:
        scale: the pixel value difference from which an error counts as an outlier.
    """

    scale: float = 0.06
    code: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"scale must be positive, found {self.scale}")

    def penalty(self, residual: np.ndarray) -> np.ndarray:
        """See `Similarity`."""
        size = np.abs(residual)
        return np.where(size <= self.scale, size**2 / (2 * self.scale), size - self.scale / 2)

    def reweighting(self, residual: np.ndarray) -> np.ndarray:
        """See `Similarity`."""
        return 1 / np.maximum(np.abs(residual), self.scale)
