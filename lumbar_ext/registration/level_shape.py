"""One level of the shape model as contiguous numpy arrays: what the inner loops of the registration read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import LANDMARKS, LEVELS


@dataclass(frozen=True)
class LevelShape:
    """The shapes of one level: `vertices = mean + sum_k b_k mode_k`, in the vertebra frame, mm.

    Args:
        mean_mm: [V, 3] float32 mean vertices.
        modes_mm: [K, V * 3] float32 displacements of one standard deviation of each mode, so that `b` counts SDs.
        triangles: [M, 3] int32, counter-clockwise seen from outside, closed.
        landmark_mean_mm: [7, 3] the mean shape's landmarks.
        landmark_modes_mm: [K, 7, 3] their displacements.
    """

    mean_mm: np.ndarray
    modes_mm: np.ndarray
    triangles: np.ndarray
    landmark_mean_mm: np.ndarray
    landmark_modes_mm: np.ndarray

    def __post_init__(self) -> None:
        n_modes, n_vertices = len(self.modes_mm), len(self.mean_mm)
        if self.modes_mm.shape != (n_modes, n_vertices * 3):
            raise ValueError(f"modes_mm must be [K, {n_vertices * 3}], found {self.modes_mm.shape}")
        if self.landmark_modes_mm.shape != (n_modes, len(LANDMARKS), 3):
            raise ValueError(f"landmark_modes_mm must be [{n_modes}, 7, 3], found {self.landmark_modes_mm.shape}")

    @property
    def n_modes(self) -> int:
        """K, the number of shape coefficients."""
        return len(self.modes_mm)

    def instance(self, coefficients: np.ndarray) -> np.ndarray:
        """Vertices [V, 3] float32 of coefficients [K] in SDs."""
        displacement = np.asarray(coefficients, dtype=np.float32) @ self.modes_mm
        return self.mean_mm + displacement.reshape(self.mean_mm.shape)

    def landmarks(self, coefficients: np.ndarray) -> np.ndarray:
        """Landmarks [7, 3] of coefficients [K] in SDs."""
        return self.landmark_mean_mm + np.tensordot(coefficients, self.landmark_modes_mm, axes=1)

    def truncated(self, n_modes: int) -> LevelShape:
        """The first `n_modes` modes (all where the model has fewer)."""
        modes = np.ascontiguousarray(self.modes_mm[:n_modes])
        return LevelShape(self.mean_mm, modes, self.triangles, self.landmark_mean_mm, self.landmark_modes_mm[:n_modes])

    def reduced(self, vertex_groups: np.ndarray, triangles: np.ndarray) -> LevelShape:
        """The same shapes on a coarser mesh.

        Args:
            vertex_groups: [V] index of the coarse vertex each vertex belongs to; a coarse vertex is its group's mean.
            triangles: [M', 3] int32 of the coarse mesh.
        """
        modes = self.modes_mm.reshape(self.n_modes, -1, 3)
        stacked = np.concatenate([self.mean_mm[None], modes])
        sums = np.zeros((len(stacked), vertex_groups.max() + 1, 3))
        for source, total in zip(stacked, sums, strict=True):
            np.add.at(total, vertex_groups, source)
        means = (sums / np.bincount(vertex_groups)[:, None]).astype(np.float32)
        return LevelShape(
            means[0],
            np.ascontiguousarray(means[1:].reshape(self.n_modes, -1)),
            triangles,
            self.landmark_mean_mm,
            self.landmark_modes_mm,
        )


def level_shapes(model, n_modes: int | None = None) -> tuple[LevelShape, ...]:
    """The five levels of a `VertebraShapeModel`.

    Args:
        model: a module with the buffers mean [5, V, 3], modes [5, K, V, 3] (unit norm), standard_deviations [5, K],
            triangles [M, 3], landmark_vertices [7, k] and landmark_weights [7, k].
        n_modes: modes to keep, all by default.
    """
    modes = model.modes.detach().cpu().double().numpy() * model.standard_deviations.cpu().double().numpy()[:, :, None, None]
    modes = modes[:, :n_modes]
    means = model.mean.detach().cpu().double().numpy()
    triangles = np.ascontiguousarray(model.triangles.cpu().numpy().astype(np.int32))
    chosen, weights = model.landmark_vertices.cpu().numpy(), model.landmark_weights.cpu().double().numpy()[..., None]
    return tuple(
        LevelShape(
            mean_mm=np.ascontiguousarray(means[i], dtype=np.float32),
            modes_mm=np.ascontiguousarray(modes[i].reshape(modes.shape[1], -1), dtype=np.float32),
            triangles=triangles,
            landmark_mean_mm=(means[i][chosen] * weights).sum(-2),
            landmark_modes_mm=(modes[i][:, chosen] * weights).sum(-2),
        )
        for i in range(len(LEVELS))
    )
