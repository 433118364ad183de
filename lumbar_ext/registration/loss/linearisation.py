"""The loss of a problem and its quadratic model in all poses and coefficients: the sums of its terms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lumbar_ext.registration.loss.scene import SceneState
from lumbar_ext.registration.parameters import POSE_SIZE
from lumbar_ext.registration.problem import RegistrationProblem
from lumbar_ext.registration.terms.term import ModelSum
from lumbar_ext.shape.model.level_shape import SurfaceModes


@dataclass(frozen=True)
class SceneLoss:
    """The loss and what it is made of.

    Args:
        total: the number that is minimised.
        per_view: weighted mean pixel penalty of each view.
        images: the part of the images.
    """

    total: float
    per_view: dict[str, float]
    images: float


@dataclass(frozen=True)
class QuadraticModel:
    """The loss near some parameters: `loss + gradient . step + step . hessian step / 2`.

    Args:
        loss: at the parameters.
        gradient: [n, q] for n vertebrae of q = 6 + n_modes varying parameters.
        hessian: [n, q, n, q], positive semi-definite (Gauss-Newton, reweighted for robust penalties).
        prior: the second derivative of the shape prior alone by one coefficient of an independent vertebra.
        images: the part of the images in the loss, the reference against which other losses compare to this one.
    """

    loss: float
    gradient: np.ndarray
    hessian: np.ndarray
    prior: float
    images: float


class Lineariser:
    """Computes losses and quadratic models of a problem.

    Args:
        problem: targets at the wanted image resolution.
        surfaces, n_modes, run: as those of `Scene`.
    """

    def __init__(
        self,
        problem: RegistrationProblem,
        surfaces: tuple[SurfaceModes, ...] | None = None,
        n_modes: int | None = None,
        run: Callable = map,
    ) -> None:
        self.problem, self.scene = problem, problem.scene(surfaces, n_modes, run)
        self._images = problem.images.prepared(self.scene)
        others = [term for term in problem.terms if term is not problem.images]
        self._following = [term.prepared(self.scene) for term in others if term.follows_images]
        self._fixed = [term.prepared(self.scene) for term in others if not term.follows_images]

    def loss(self, parameters: list[np.ndarray], reference: float | None = None) -> float:
        """The loss, infinite if a vertebra is not in front of an X-ray source.

        Args:
            parameters: [6 + K] of every vertebra.
            reference: part of the images in a loss to compare with (`RegistrationProblem.against`), its own by default.
        """
        state = self.scene.at(parameters)
        images = self._images.value(state)
        if not np.isfinite(images):
            return float("inf")
        reference = images if reference is None else reference
        value, _ = self.problem.against(images, reference)
        return value + self._rest(state, images, self.problem.regularisation(reference))

    def losses(self, parameters: list[np.ndarray], regularisation: float | None = None) -> SceneLoss:
        """The loss and what it is made of.

        Args:
            parameters: [6 + K] of every vertebra.
            regularisation: the factor of the terms that follow the images; that of these parameters by default.
        """
        state = self.scene.at(parameters)
        images = self._images.value(state)
        total = images + self._rest(state, images, regularisation)
        return SceneLoss(total, self._images.per_view(state), images)

    def pictures(self, parameters: list[np.ndarray]) -> dict[str, np.ndarray]:
        """By target, the DRR [rows, columns] that the loss compares, at parameters of finite loss."""
        return self._images.pictures(self.scene.at(parameters))

    def model(self, parameters: list[np.ndarray]) -> QuadraticModel:
        """The quadratic model in the first 6 + n_modes parameters of every vertebra, at parameters of finite loss."""
        model = ModelSum(len(parameters), POSE_SIZE + self.scene.n_modes)
        images = self._fill(model, parameters, None)
        return QuadraticModel(model.loss, model.gradient, model.hessian, model.prior, images)

    def gradient(self, parameters: list[np.ndarray], reference: float) -> np.ndarray:
        """The gradient [n, 6 + n_modes] of `loss` alone, for a fraction of the cost of a model."""
        model = ModelSum(len(parameters), POSE_SIZE + self.scene.n_modes, curved=False)
        self._fill(model, parameters, reference)
        return model.gradient

    def _fill(self, model: ModelSum, parameters: list[np.ndarray], reference: float | None) -> float:
        """Adds up all terms; returns the part of the images."""
        state = self.scene.at(parameters)
        self._images.add_to(model, state)
        images = model.loss
        reference = images if reference is None else reference
        model.loss, slope = self.problem.against(images, reference)
        model.gradient *= slope
        factor = self.problem.regularisation(reference)
        for term in self._following:
            term.add_to(model, state, factor)
        for term in self._fixed:
            term.add_to(model, state)
        return images

    def sampled_images(self, parameters: list[np.ndarray]) -> float:
        """The part of the images where these are seen along single rays, as the paper's registration and BOBYQA see them;
        infinite if a vertebra is not in front of an X-ray source.
        """
        try:
            return self._images.sampled(self.scene.predictions(parameters))
        except ValueError:
            return float("inf")

    def rest(self, parameters: list[np.ndarray], regularisation: float) -> float:
        """The part of the loss that does not come from images."""
        return self._rest(self.scene.at(parameters), 0.0, regularisation)

    def _rest(self, state: SceneState, images: float, regularisation: float | None) -> float:
        factor = self.problem.regularisation(images) if regularisation is None else regularisation
        return factor * sum(term.value(state) for term in self._following) + sum(t.value(state) for t in self._fixed)
