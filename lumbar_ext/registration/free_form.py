"""Smooth free-form modes that let a vertebra leave the span of the shape model a little.

A model of few subjects cannot follow every vertebra: its truncation error is most of what is left after registration.
The modes here span smooth displacement fields, drawn from a Gaussian process over the mean shape with covariance
`sd^2 exp(-|x - y|^2 / (2 length^2))` in each direction (Luethi et al., Gaussian Process Morphable Models, 2018),
approximated by its leading eigenfunctions (Nystroem). The same shape prior holds them back as the modes of the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lumbar_ext.mesh.sampling import farthest_points
from lumbar_ext.shape.model.level_shape import LevelShape


@dataclass(frozen=True)
class FreeForm:
    """A family of smooth displacements.

    Args:
        n_fields: scalar fields; each gives three modes, one a direction. 0 for none.
        length_mm: how far displacements are alike.
        sd_mm: standard deviation of the displacement of a point in each direction: what the shape model leaves
            unexplained.
        n_support: points of the Nystroem approximation.
    """

    n_fields: int = 60
    length_mm: float = 11.0
    sd_mm: float = 0.7
    n_support: int = 300

    def __post_init__(self) -> None:
        if self.n_fields < 0 or not (self.length_mm > 0 and self.sd_mm > 0 and self.n_support >= self.n_fields):
            raise ValueError(f"n_fields must be in 0..n_support and length_mm, sd_mm positive, found {self}")

    def extend(self, shapes: tuple[LevelShape, ...]) -> tuple[LevelShape, ...]:
        """The shapes with free-form fields; levels correspond, so all take those of the first one's mean.

        Asked again for the same shapes, it returns the same objects.
        """
        return _extended(self, shapes) if self.n_fields else shapes

    def fields(self, points_mm: np.ndarray) -> np.ndarray:
        """The scalar fields [n_fields, V] float32 at points [V, 3]; their squares add up to nearly `sd_mm^2`."""
        points = np.asarray(points_mm, dtype=np.float64)
        support = points[farthest_points(points, min(self.n_support, len(points)))]
        values, vectors = np.linalg.eigh(self._covariance(support, support))
        leading = slice(-1, -self.n_fields - 1, -1)
        basis = vectors[:, leading] / np.sqrt(values[leading])
        return np.ascontiguousarray((self._covariance(points, support) @ basis).T * self.sd_mm, dtype=np.float32)

    def _covariance(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        squared = (a**2).sum(-1)[:, None] + (b**2).sum(-1) - 2 * a @ b.T
        return np.exp(-squared / (2 * self.length_mm**2))


@lru_cache(maxsize=4)
def _extended(free_form: FreeForm, shapes: tuple[LevelShape, ...]) -> tuple[LevelShape, ...]:
    fields = free_form.fields(shapes[0].surface.mean_mm)
    return tuple(LevelShape(shape.surface.extended(fields), shape.landmark_vertices) for shape in shapes)
