"""Points that stick to a mesh: marks, landmarks and closest points are all weighted means of its vertices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MaterialPoints:
    """Points that stick to a surface: each is a weighted mean of vertices, wherever those go.

    Args:
        vertices: [N, k] vertex indices.
        weights: [N, k], rows adding up to one.
    """

    vertices: np.ndarray
    weights: np.ndarray

    def __post_init__(self) -> None:
        if self.vertices.shape != self.weights.shape:
            raise ValueError(f"a weight for each vertex, found shapes {self.vertices.shape} and {self.weights.shape}")

    def of(self, values: np.ndarray) -> np.ndarray:
        """Values [..., N, d] at the points of values [..., V, d] at the vertices: positions of positions, modes of modes."""
        return (np.asarray(values)[..., self.vertices, :] * self.weights[..., None]).sum(-2)

    def __getitem__(self, which) -> MaterialPoints:
        return MaterialPoints(self.vertices[which], self.weights[which])

    def __len__(self) -> int:
        return len(self.vertices)
