"""One level of the shape model as contiguous numpy arrays: what the inner loops of the registration read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch.utils.weak import WeakIdKeyDictionary

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.mesh.coarse_mesh import CoarseMesh
from lumbar_ext.mesh.material_points import MaterialPoints


@dataclass(frozen=True, eq=False)
class SurfaceModes:
    """A closed surface that varies linearly: `vertices = mean + sum_k b_k mode_k + sum_f c_f field_f`, mm.

    Coefficients are one vector: the `b` of the shape model, then for each free-form field its three components `c_f`.

    Args:
        mean_mm: [V, 3] float32 mean vertices.
        modes_mm: [K, V * 3] float32 displacements of one standard deviation of each mode, so that `b` counts SDs.
        triangles: [M, 3] int32, counter-clockwise seen from outside, closed.
        fields_mm: [F, V] float32 scalar free-form fields, each moving along all three axes; none by default.
    """

    mean_mm: np.ndarray
    modes_mm: np.ndarray
    triangles: np.ndarray
    fields_mm: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.modes_mm.ndim != 2 or self.modes_mm.shape[1] != self.mean_mm.size:
            raise ValueError(f"modes_mm must be [K, {self.mean_mm.size}], found {self.modes_mm.shape}")
        fields = np.zeros((0, len(self.mean_mm)), np.float32) if self.fields_mm is None else self.fields_mm
        if fields.ndim != 2 or fields.shape[1] != len(self.mean_mm):
            raise ValueError(f"fields_mm must be [F, {len(self.mean_mm)}], found {fields.shape}")
        object.__setattr__(self, "fields_mm", np.ascontiguousarray(fields, dtype=np.float32))

    @property
    def n_model_modes(self) -> int:
        """K, the coefficients of the shape model."""
        return len(self.modes_mm)

    @property
    def n_modes(self) -> int:
        """K + 3 F, all shape coefficients."""
        return len(self.modes_mm) + 3 * len(self.fields_mm)

    @cached_property
    def modes_by_vertex_mm(self) -> np.ndarray:
        """[V, 3, K] the modes, those of a vertex together."""
        by_vertex = self.modes_mm.reshape(len(self.modes_mm), *self.mean_mm.shape).transpose(1, 2, 0)
        return np.ascontiguousarray(by_vertex)

    @cached_property
    def fields_by_vertex_mm(self) -> np.ndarray:
        """[V, F] the fields, those of a vertex together."""
        return np.ascontiguousarray(self.fields_mm.T)

    def instance(self, coefficients: np.ndarray) -> np.ndarray:
        """Vertices [V, 3] float32 of coefficients [k] in SDs; `k <= K + 3 F`, the others are zero."""
        values = np.asarray(coefficients, dtype=np.float32)
        model, free = values[: self.n_model_modes], values[self.n_model_modes :]
        vertices = self.mean_mm + (model @ self.modes_mm[: len(model)]).reshape(self.mean_mm.shape)
        if len(free):
            components = np.zeros((len(self.fields_mm), 3), dtype=np.float32)
            components.ravel()[: len(free)] = free
            vertices += self.fields_by_vertex_mm @ components
        return vertices

    def extended(self, fields_mm: np.ndarray) -> SurfaceModes:
        """The same with free-form fields [F, V]."""
        return SurfaceModes(self.mean_mm, self.modes_mm, self.triangles, fields_mm)

    @cached_property
    def _truncated(self) -> dict[int, SurfaceModes]:
        """What `truncated` made, kept because repeated registrations ask for the same."""
        return {}

    def truncated(self, n_modes: int) -> SurfaceModes:
        """The first `n_modes` modes (all where there are fewer); free-form fields stay only if some of theirs count."""
        if n_modes > self.n_model_modes or (n_modes == self.n_model_modes and not len(self.fields_mm)):
            return self
        if n_modes not in self._truncated:
            self._truncated[n_modes] = SurfaceModes(self.mean_mm, self.modes_mm[:n_modes], self.triangles)
        return self._truncated[n_modes]

    def reduced(self, coarse: CoarseMesh) -> SurfaceModes:
        """The same surface on a coarser mesh."""
        modes = coarse.reduce(self.modes_mm.reshape(len(self.modes_mm), *self.mean_mm.shape))
        mean = coarse.reduce(self.mean_mm)
        fields = coarse.reduce(self.fields_mm[..., None])[..., 0]
        return SurfaceModes(mean, modes.reshape(len(modes), mean.size), coarse.triangles, fields)


@dataclass(frozen=True, eq=False)
class LevelShape:
    """The shapes of one level in the vertebra frame.

    Args:
        surface: the surface.
        landmark_vertices: where its seven landmarks are.
    """

    surface: SurfaceModes
    landmark_vertices: MaterialPoints

    def __post_init__(self) -> None:
        if len(self.landmark_vertices) != len(LANDMARKS):
            raise ValueError(f"a level has {len(LANDMARKS)} landmarks, found {len(self.landmark_vertices)}")

    @property
    def n_modes(self) -> int:
        """K + 3 F, all shape coefficients."""
        return self.surface.n_modes

    @property
    def n_model_modes(self) -> int:
        """K, the coefficients of the shape model, which come first."""
        return self.surface.n_model_modes

    @cached_property
    def landmark_mean_mm(self) -> np.ndarray:
        """[7, 3] the mean shape's landmarks."""
        return self.landmark_vertices.of(self.surface.mean_mm)

    @cached_property
    def landmark_modes_mm(self) -> np.ndarray:
        """[K + 3 F, 7, 3] displacements of the landmarks."""
        model = self.surface.modes_mm.reshape(self.n_model_modes, *self.surface.mean_mm.shape)
        fields = self.landmark_vertices.of(self.surface.fields_mm[..., None])
        directed = fields[:, None] * np.eye(3)[None, :, None]
        return np.concatenate([self.landmark_vertices.of(model), directed.reshape(-1, len(LANDMARKS), 3)])

    def landmarks(self, coefficients: np.ndarray) -> np.ndarray:
        """Landmarks [7, 3] of coefficients [k] in SDs; `k <= K + 3 F`, the others are zero."""
        return self.landmark_mean_mm + np.tensordot(coefficients, self.landmark_modes_mm[: len(coefficients)], axes=1)


def level_shapes(model, n_modes: int | None = None) -> tuple[LevelShape, ...]:
    """The five levels of a `VertebraShapeModel`; asked again for an unchanged model, the same objects.

    Args:
        model: a module with the buffers mean [5, V, 3], modes [5, K, V, 3] (unit norm), standard_deviations [5, K],
            triangles [M, 3], landmark_vertices [7, k] and landmark_weights [7, k].
        n_modes: modes to keep, all by default.
    """
    made = _MADE.setdefault(model.modes, {})
    key = (
        n_modes,
        *(0 if b.is_inference() else b._version for b in (model.mean, model.modes, model.standard_deviations)),
    )
    if key not in made:
        made[key] = _level_shapes(model, n_modes)
    return made[key]


_MADE = WeakIdKeyDictionary()
"""By the modes of a model, what `level_shapes` made of it."""


def _level_shapes(model, n_modes: int | None) -> tuple[LevelShape, ...]:
    deviations = model.standard_deviations[:, :n_modes].cpu().float().numpy()
    modes = model.modes[:, :n_modes].detach().cpu().float().numpy() * deviations[:, :, None, None]
    means = model.mean.detach().cpu().float().numpy()
    triangles = np.ascontiguousarray(model.triangles.cpu().numpy().astype(np.int32))
    weights = model.landmark_weights.cpu().numpy().astype(np.float64)  # so that sums over single precision lose nothing
    landmarks = MaterialPoints(model.landmark_vertices.cpu().numpy(), weights)
    return tuple(
        LevelShape(SurfaceModes(means[i], modes[i].reshape(modes.shape[1], means[i].size), triangles), landmarks)
        for i in range(len(LEVELS))
    )
