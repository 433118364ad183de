"""The prior of shapes: every coefficient is standard normal, and one person's five vertebrae resemble each other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from lumbar_ext.registration.loss.scene import Scene, SceneState
from lumbar_ext.registration.parameters import POSE_SIZE
from lumbar_ext.registration.terms.term import ModelSum, PreparedTerm, Term
from lumbar_ext.shape.model.level_shape import LevelShape, SurfaceModes


@dataclass(frozen=True)
class ShapePriorTerm(Term):
    """`weight * mean over vertebrae of b^T P b`, the Mahalanobis distance of the shapes from the mean.

    Args:
        weight: against the mean pixel penalty.
        level_correlation: how much the vertebrae of a person resemble each other, see `resemblance_prior`.
    """

    follows_images: ClassVar[bool] = True

    weight: float = 4e-4
    level_correlation: float = 0.0

    def __post_init__(self) -> None:
        if self.weight < 0 or not 0 <= self.level_correlation < 1:
            raise ValueError(f"weight must not be negative and level_correlation in [0, 1), found {self}")

    def prepared(self, scene: Scene) -> PreparedShapePrior:
        """See `Term`."""
        return PreparedShapePrior(self, scene)


class PreparedShapePrior(PreparedTerm):
    """The prior of the vertebrae of a scene.

    Args:
        term: the settings.
        scene: the scene.
    """

    def __init__(self, term: ShapePriorTerm, scene: Scene) -> None:
        self._weight = term.weight / len(scene.vertebrae)
        self._prior = resemblance_prior(tuple(start.shape for start in scene.vertebrae), term.level_correlation)

    def value(self, state: SceneState) -> float:
        """See `PreparedTerm`."""
        return self._weight * self._prior.energy(state.coefficients)

    def add_to(self, model: ModelSum, state: SceneState, factor: float = 1.0) -> None:
        """See `PreparedTerm`; notes its own second derivative as `model.prior`."""
        model.loss += factor * self.value(state)
        weight = 2 * factor * self._weight
        model.gradient[:, POSE_SIZE:] += weight * self._prior.slope(state.coefficients)[:, : model.n_modes]
        if model.hessian is not None:
            self._prior.add_to(model.hessian, weight, POSE_SIZE)
        model.prior += weight


@dataclass(frozen=True)
class ShapePrior:
    """The energy `sum over levels of b_i^T P_ij b_j` of the coefficients of several vertebrae; `P = 1` by default.

    Args:
        model: [n, K, n, K] precision of the model's coefficients of n vertebrae; None for independent ones.
        free_form: [n, n] precision of each free-form coefficient between vertebrae; None for independent ones.
    """

    model: np.ndarray | None = None
    free_form: np.ndarray | None = None

    def energy(self, coefficients: np.ndarray) -> float:
        """The energy of coefficients [n, K + F]: K of the model and F free-form ones, in standard deviations."""
        return float((coefficients * self.slope(coefficients)).sum())

    def slope(self, coefficients: np.ndarray) -> np.ndarray:
        """Half the derivative [n, K + F] of the energy: `P b`."""
        if self.model is None:
            return coefficients
        n, size = self.model.shape[:2]
        # Fewer coefficients than the model has are its first ones, with zeros behind.
        model = np.zeros((n, size))
        given = coefficients[:, :size]
        model[:, : given.shape[1]] = given
        product = (self.model.reshape(n * size, -1) @ model.ravel()).reshape(n, size)[:, : given.shape[1]]
        return np.concatenate([product, self.free_form @ coefficients[:, size:]], axis=1)

    def add_to(self, hessian: np.ndarray, weight: float, first: int) -> None:
        """Adds `weight P` in place to the blocks of the coefficients of a Hessian [n, q, n, q] from index `first` on."""
        count, size = hessian.shape[0], hessian.shape[1] - first
        if self.model is None:
            varying = np.arange(first, hessian.shape[1])
            for i in range(count):
                hessian[i, varying, i, varying] += weight
            return
        model = min(size, self.model.shape[1])
        hessian[:, first : first + model, :, first : first + model] += weight * self.model[:, :model, :, :model]
        varying = np.arange(first + model, hessian.shape[1])
        for i in range(count):
            for j in range(count):
                hessian[i, varying, j, varying] += weight * self.free_form[i, j]


@lru_cache(maxsize=8)
def resemblance_prior(shapes: tuple[LevelShape, ...], correlation: float) -> ShapePrior:
    """The prior of vertebrae of one person whose surfaces deviate from their means alike.

    The levels share their topology, so the deviation of one is a deviation of the others too. A field with the mean
    covariance of the levels is taken as common to all and gets the part `correlation` of the variance; seen through
    the modes of level i it has the coefficients `D_i^-1 M_i^T field` (M orthonormal modes, D standard deviations).

    Args:
        shapes: of the vertebrae, with shared triangles.
        correlation: between any two levels, in [0, 1); 0 for independent ones.

    Raises:
        ValueError: if the correlation is out of range.
    """
    if not 0 <= correlation < 1:
        raise ValueError(f"correlation must be in [0, 1), found {correlation}")
    if correlation == 0 or len(shapes) < 2:
        return ShapePrior()
    n, size = len(shapes), shapes[0].n_model_modes
    scaled = np.stack([_unit_rows(shape.surface) for shape in shapes])
    modes = np.stack([shape.surface.modes_mm for shape in shapes])
    # A[i, j] = D_i^-1 M_i^T M_j D_j, and the common field has the covariance mean_j (M_j D_j) (M_j D_j)^T.
    common = np.einsum("ikv,jlv->ikjl", scaled, modes, optimize=True).reshape(n * size, n * size).astype(np.float64)
    covariance = (1 - correlation) * np.eye(n * size) + correlation / n * common @ common.T
    free_form = np.linalg.inv((1 - correlation) * np.eye(n) + correlation)
    return ShapePrior(np.linalg.inv(covariance).reshape(n, size, n, size), free_form)


def _unit_rows(surface: SurfaceModes) -> np.ndarray:
    """`D^-1 M^T` [K, V * 3]: the modes, which are of the length of one SD, over the square of that length."""
    return surface.modes_mm / np.square(surface.modes_mm).sum(1, keepdims=True)
