"""One level of the shape model as contiguous numpy arrays: what the inner loops of the registration read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.registration.coarse_mesh import CoarseMesh


@dataclass(frozen=True)
class LandmarkVertices:
    """Landmarks as weighted means of vertices.

    Args:
        vertices: [7, k] indices.
        weights: [7, k], each row adding up to one.
    """

    vertices: np.ndarray
    weights: np.ndarray

    def __post_init__(self) -> None:
        if self.vertices.shape != self.weights.shape or len(self.vertices) != len(LANDMARKS):
            raise ValueError(
                f"vertices and weights must both be [{len(LANDMARKS)}, k], "
                f"found {self.vertices.shape}, {self.weights.shape}"
            )

    def of(self, fields: np.ndarray) -> np.ndarray:
        """Values [..., 7, 3] at the landmarks of values [..., V, 3] at the vertices."""
        return (fields[..., self.vertices, :].astype(np.float64) * self.weights[..., None]).sum(-2)


@dataclass(frozen=True)
class SurfaceModes:
    """A closed surface that varies linearly: `vertices = mean + sum_k b_k mode_k`, mm.

    Args:
        mean_mm: [V, 3] float32 mean vertices.
        modes_mm: [K, V * 3] float32 displacements of one standard deviation of each mode, so that `b` counts SDs.
        triangles: [M, 3] int32, counter-clockwise seen from outside, closed.
    """

    mean_mm: np.ndarray
    modes_mm: np.ndarray
    triangles: np.ndarray

    def __post_init__(self) -> None:
        if self.modes_mm.ndim != 2 or self.modes_mm.shape[1] != self.mean_mm.size:
            raise ValueError(f"modes_mm must be [K, {self.mean_mm.size}], found {self.modes_mm.shape}")

    @property
    def n_modes(self) -> int:
        """K, the number of shape coefficients."""
        return len(self.modes_mm)

    @property
    def displacements_mm(self) -> np.ndarray:
        """The modes as [K, V, 3]."""
        return self.modes_mm.reshape(self.n_modes, *self.mean_mm.shape)

    def instance(self, coefficients: np.ndarray) -> np.ndarray:
        """Vertices [V, 3] float32 of coefficients [k] in SDs; `k <= K`, the others are zero."""
        displacement = np.asarray(coefficients, dtype=np.float32) @ self.modes_mm[: len(coefficients)]
        return self.mean_mm + displacement.reshape(self.mean_mm.shape)

    def truncated(self, n_modes: int | None) -> SurfaceModes:
        """The first `n_modes` modes (all where there are fewer)."""
        return SurfaceModes(self.mean_mm, self.modes_mm[:n_modes], self.triangles)

    def extended(self, displacements_mm: np.ndarray) -> SurfaceModes:
        """The same with further modes [k, V, 3] after its own."""
        further = displacements_mm.reshape(len(displacements_mm), self.mean_mm.size)
        return SurfaceModes(self.mean_mm, np.concatenate([self.modes_mm, further], dtype=np.float32), self.triangles)

    def reduced(self, coarse: CoarseMesh) -> SurfaceModes:
        """The same surface on a coarser mesh."""
        modes = coarse.reduce(self.displacements_mm)
        mean = coarse.reduce(self.mean_mm)
        return SurfaceModes(mean, modes.reshape(self.n_modes, mean.size), coarse.triangles)


@dataclass(frozen=True)
class LevelShape:
    """The shapes of one level in the vertebra frame.

    Args:
        surface: the surface.
        landmark_vertices: where its landmarks are.
        n_free: how many of the last modes are free-form ones, which the shape model does not have.
    """

    surface: SurfaceModes
    landmark_vertices: LandmarkVertices
    n_free: int = 0

    @property
    def n_modes(self) -> int:
        """K, all shape coefficients."""
        return self.surface.n_modes

    @property
    def n_model_modes(self) -> int:
        """The coefficients of the shape model, which come first."""
        return self.n_modes - self.n_free

    @cached_property
    def landmark_mean_mm(self) -> np.ndarray:
        """[7, 3] the mean shape's landmarks."""
        return self.landmark_vertices.of(self.surface.mean_mm)

    @cached_property
    def landmark_modes_mm(self) -> np.ndarray:
        """[K, 7, 3] displacements of the landmarks."""
        return self.landmark_vertices.of(self.surface.displacements_mm)

    def landmarks(self, coefficients: np.ndarray) -> np.ndarray:
        """Landmarks [7, 3] of coefficients [k] in SDs; `k <= K`, the others are zero."""
        return self.landmark_mean_mm + np.tensordot(coefficients, self.landmark_modes_mm[: len(coefficients)], axes=1)

    def with_free_modes(self, displacements_mm: np.ndarray) -> LevelShape:
        """The same with free-form modes [k, V, 3] after its own."""
        return LevelShape(
            self.surface.extended(displacements_mm), self.landmark_vertices, self.n_free + len(displacements_mm)
        )


def level_shapes(model, n_modes: int | None = None) -> tuple[LevelShape, ...]:
    """The five levels of a `VertebraShapeModel`.

    Args:
        model: a module with the buffers mean [5, V, 3], modes [5, K, V, 3] (unit norm), standard_deviations [5, K],
            triangles [M, 3], landmark_vertices [7, k] and landmark_weights [7, k].
        n_modes: modes to keep, all by default.
    """
    deviations = model.standard_deviations[:, :n_modes].cpu().float().numpy()
    modes = model.modes[:, :n_modes].detach().cpu().float().numpy() * deviations[:, :, None, None]
    means = model.mean.detach().cpu().float().numpy()
    triangles = np.ascontiguousarray(model.triangles.cpu().numpy().astype(np.int32))
    landmarks = LandmarkVertices(model.landmark_vertices.cpu().numpy(), model.landmark_weights.cpu().numpy())
    return tuple(
        LevelShape(SurfaceModes(means[i], modes[i].reshape(modes.shape[1], means[i].size), triangles), landmarks)
        for i in range(len(LEVELS))
    )
