"""Weights that make the registration care about the processes, which cover few pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LandmarkWeights:
    """Pixel weights `W = 1 + k sum_i exp(-r_i^2 / (2 sigma^2))`, each Gaussian cut off beyond a radius.

    This is the reading of equation 11 of Yu et al. (arXiv 2503.14573) that leaves the vertebral bodies their weight.

    Args:
        k: height of a Gaussian; 0 gives plain, unweighted pixels.
        sigma_px: its width; the paper names only the radius, of which this is a third.
        radius_px: distance beyond which it is zero.
    """

    k: float = 2.0
    sigma_px: float = 20 / 3
    radius_px: float = 20.0

    def __post_init__(self) -> None:
        if not (self.k >= 0 and self.sigma_px > 0 and self.radius_px > 0):
            raise ValueError(f"k must be >= 0 and sigma_px, radius_px > 0, found {self}")

    def image(self, positions_px: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """The weights float32 [rows, columns] around landmarks (u, v) [N, 2]; NaN landmarks are skipped."""
        weights = np.ones(shape, dtype=np.float32)
        for u, v in np.asarray(positions_px).reshape(-1, 2):
            if np.isfinite([u, v]).all():
                self._add(weights, u, v)
        return weights

    def _add(self, weights: np.ndarray, u: float, v: float) -> None:
        low_u, high_u = (max(0, int(np.ceil(u - self.radius_px))), max(0, int(np.floor(u + self.radius_px)) + 1))
        low_v, high_v = (max(0, int(np.ceil(v - self.radius_px))), max(0, int(np.floor(v + self.radius_px)) + 1))
        patch = weights[low_v:high_v, low_u:high_u]
        rows, columns = np.indices(patch.shape)
        squared = (columns + low_u - u) ** 2 + (rows + low_v - v) ** 2
        patch += self.k * np.exp(-squared / (2 * self.sigma_px**2)) * (squared <= self.radius_px**2)
