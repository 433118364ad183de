"""What a registration is composed of, and the compositions that were measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from lumbar_ext.registration.free_form import FreeForm
from lumbar_ext.registration.initial_pose import InitialPoseConfig
from lumbar_ext.registration.problem import Bounds, LandmarkTerm, NonIntersection
from lumbar_ext.registration.search.bobyqa import BobyqaBlocks, BobyqaJoint
from lumbar_ext.registration.search.gauss_newton import GaussNewton
from lumbar_ext.registration.search.optimiser import Optimiser
from lumbar_ext.registration.terms.landmark_weights import LandmarkWeights
from lumbar_ext.registration.terms.similarity import AbsoluteError, Huber, Similarity
from lumbar_ext.registration.terms.view_fields import ViewFields


@dataclass(frozen=True)
class RegistrationConfig:
    """The parts of a registration. The defaults are the recommended ones.

    Args:
        optimiser: how the loss is minimised.
        similarity: how a pixel's error counts.
        landmark_weights: pixel weights around process tips.
        prior_weight: of the shape prior |b|^2, against the mean pixel penalty.
        landmark_term: pull of the network's landmarks.
        bounds: of poses and coefficients.
        initial_pose: how the start is fitted.
        n_modes: shape modes to use; None for all of the model.
        free_form: modes beyond those of the model, which only an optimiser with derivatives moves; None for none.
        level_correlation: how much the vertebrae of a person resemble each other (`shape_prior.resemblance_prior`).
        view_fields: gain and background that are fitted along, not with `BobyqaBlocks`; None for none.
        non_intersection: of neighbouring vertebrae; None where they may run into each other.
        reference_penalty: mean pixel penalty at which prior and landmarks weigh as stated
            (`RegistrationProblem.adapted`); None for fixed weights.
    """

    optimiser: Optimiser = field(default_factory=GaussNewton)
    similarity: Similarity = field(default_factory=Huber)
    landmark_weights: LandmarkWeights = field(default_factory=LandmarkWeights)
    prior_weight: float = 4e-4
    landmark_term: LandmarkTerm = field(default_factory=lambda: LandmarkTerm(weight=3e-3))
    bounds: Bounds = field(default_factory=Bounds)
    initial_pose: InitialPoseConfig = field(default_factory=InitialPoseConfig)
    n_modes: int | None = None
    free_form: FreeForm | None = field(default_factory=FreeForm)
    level_correlation: float = 0.4
    view_fields: ViewFields | None = None
    non_intersection: NonIntersection | None = None
    reference_penalty: float | None = 0.05

    def __post_init__(self) -> None:
        if self.prior_weight < 0 or (self.n_modes is not None and self.n_modes < 0):
            raise ValueError(
                f"prior_weight and n_modes must not be negative, found {self.prior_weight} and {self.n_modes}"
            )


def gauss_newton_config() -> RegistrationConfig:
    """The recommended registration: analytic derivative, all modes, free-form refinement."""
    return RegistrationConfig()


def bobyqa_config(
    *, joint: bool = False, n_modes: int = 14, prior_weight: float = 4e-5, weighted: bool = True
) -> RegistrationConfig:
    """The registration of Yu et al. (arXiv 2503.14573): absolute error, process weights, 14 modes, no derivative.

    Args:
        joint: search all vertebrae at once as the paper does, which takes minutes; else one after the other.
        n_modes: shape modes.
        prior_weight: of the shape prior.
        weighted: weigh pixels around process tips; else the paper's first row, plain absolute error.
    """
    return RegistrationConfig(
        optimiser=BobyqaJoint() if joint else BobyqaBlocks(),
        similarity=AbsoluteError(),
        landmark_weights=LandmarkWeights() if weighted else LandmarkWeights(k=0),
        prior_weight=prior_weight,
        landmark_term=LandmarkTerm(),
        n_modes=n_modes,
        free_form=None,
        level_correlation=0.0,
        view_fields=None,
        reference_penalty=None,
    )
