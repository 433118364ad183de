"""What a registration is composed of, and the compositions that were measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from lumbar_ext.errors import InputError
from lumbar_ext.registration.free_form import FreeForm
from lumbar_ext.registration.initial_pose import InitialPoseConfig
from lumbar_ext.registration.parameters import Bounds
from lumbar_ext.registration.search.bobyqa import BobyqaBlocks, BobyqaJoint
from lumbar_ext.registration.search.gauss_newton import GaussNewton
from lumbar_ext.registration.search.optimiser import Optimiser
from lumbar_ext.registration.terms.images import ImageTerm
from lumbar_ext.registration.terms.landmark_term import LandmarkTerm
from lumbar_ext.registration.terms.landmark_weights import LandmarkWeights
from lumbar_ext.registration.terms.non_intersection import NonIntersection
from lumbar_ext.registration.terms.shape_prior import ShapePriorTerm
from lumbar_ext.registration.terms.similarity import AbsoluteError, Huber
from lumbar_ext.registration.terms.term import Term


@dataclass(frozen=True)
class RegistrationConfig:
    """The parts of a registration. The defaults are the recommended ones.

    Args:
        optimiser: how the loss is minimised.
        images: the similarity of predicted and wanted images.
        landmark_term: pull of the network's landmarks; None for none.
        shape_prior: of the coefficients; None for none.
        non_intersection: of neighbouring vertebrae; None where they may run into each other.
        more_terms: other summands of the loss.
        landmark_weights: pixel weights around process tips.
        bounds: of poses and coefficients.
        initial_pose: how the start is fitted.
        n_modes: shape modes to use; None for all of the model.
        free_form: modes beyond those of the model, which only an optimiser with derivatives moves; None for none.
        reference_penalty: mean pixel penalty at which prior and landmarks weigh as stated
            (`RegistrationProblem.regularisation`); None for fixed weights.
    """

    optimiser: Optimiser = field(default_factory=GaussNewton)
    images: ImageTerm = field(default_factory=lambda: ImageTerm(Huber()))
    landmark_term: LandmarkTerm | None = field(default_factory=lambda: LandmarkTerm(weight=3e-3))
    shape_prior: ShapePriorTerm | None = field(default_factory=lambda: ShapePriorTerm(1e-3, level_correlation=0.4))
    non_intersection: NonIntersection | None = field(default_factory=NonIntersection)
    more_terms: tuple[Term, ...] = ()
    landmark_weights: LandmarkWeights = field(default_factory=LandmarkWeights)
    bounds: Bounds = field(default_factory=Bounds)
    initial_pose: InitialPoseConfig = field(default_factory=InitialPoseConfig)
    n_modes: int | None = None
    free_form: FreeForm | None = field(default_factory=FreeForm)
    reference_penalty: float | None = 0.05

    def __post_init__(self) -> None:
        if self.n_modes is not None and self.n_modes < 0:
            raise ValueError(f"n_modes must not be negative, found {self.n_modes}")

    @property
    def terms(self) -> tuple[Term, ...]:
        """The summands of the loss: those of the four settings that are not None, then `more_terms`."""
        own = (self.images, self.landmark_term, self.shape_prior, self.non_intersection)
        return (*(term for term in own if term is not None), *self.more_terms)


def gauss_newton_config() -> RegistrationConfig:
    """The recommended registration: analytic derivative, all modes, free-form refinement."""
    return RegistrationConfig()


def bobyqa_config(*, n_modes: int = 14, prior_weight: float = 4e-5, weighted: bool = True) -> RegistrationConfig:
    """What Yu et al. (arXiv 2503.14573) minimise, quicker: BOBYQA vertebra by vertebra, from coarse pixels and meshes to
    pixels of 1.67 mm, with a weak shape prior. Absolute error, process weights, 14 modes, no derivative.

    Args:
        n_modes: shape modes.
        prior_weight: of the shape prior.
        weighted: weigh pixels around process tips; else the paper's first row, plain absolute error.
    """
    return replace(
        paper_config(n_modes=n_modes, weighted=weighted),
        optimiser=BobyqaBlocks(),
        shape_prior=ShapePriorTerm(prior_weight),
    )


def paper_config(*, n_modes: int = 14, weighted: bool = True) -> RegistrationConfig:
    """The registration of Yu et al. (arXiv 2503.14573) to the letter.

    One BOBYQA search of 5 x (6 + 14) parameters, pixels of full resolution, full meshes, absolute error, no prior: the
    bounds alone (10 mm, 15 deg, 30 deg about the axis, 3 SD) hold the shapes.

    Args:
        n_modes: shape modes.
        weighted: weigh pixels around process tips; else the paper's first row, plain absolute error.
    """
    return RegistrationConfig(
        optimiser=BobyqaJoint(),
        images=ImageTerm(AbsoluteError()),
        landmark_term=None,
        shape_prior=None,
        non_intersection=None,
        landmark_weights=LandmarkWeights() if weighted else LandmarkWeights(k=0),
        n_modes=n_modes,
        free_form=None,
        reference_penalty=None,
    )


_HOLDING = 10.0
"""Weight of the landmark term that holds what a user set: a landmark 1 mm off then costs a thousand times what the worst fit of
the pictures does, so that these only decide what the landmarks leave open."""

CONFIGS: dict[str, Callable[[], RegistrationConfig]] = {
    "gauss_newton": gauss_newton_config,
    "bobyqa": bobyqa_config,
    "paper": paper_config,
}
"""The registrations that a bundle's `optimiser` names."""


def registration_config(
    optimiser: str | Optimiser = "gauss_newton",
    *,
    n_modes: int | None = None,
    prior_weight: float | None = None,
    keep_apart: bool = True,
    hold_landmarks: bool = False,
) -> RegistrationConfig:
    """The registration that a bundle's options ask for.

    Args:
        optimiser: a name of `CONFIGS`, or an optimiser for the recommended loss.
        n_modes: shape modes; null for those of the named registration.
        prior_weight: of the shape prior; null for that of the named registration.
        keep_apart: neighbours do not run into each other; BOBYQA does not heed it.
        hold_landmarks: the landmarks, of which only those set by hand are left, outweigh the pictures, and no neighbour pushes
            them away.

    Raises:
        InputError: if there is no registration of this name, or a prior is asked of one that has none.
    """
    if isinstance(optimiser, Optimiser):
        config = RegistrationConfig(optimiser=optimiser)
    elif optimiser in CONFIGS:
        config = CONFIGS[optimiser]()
    else:
        raise InputError(f"optimiser is {optimiser!r}, expected one of {', '.join(CONFIGS)}")
    if n_modes is not None:
        config = replace(config, n_modes=n_modes)
    if prior_weight is not None:
        if config.shape_prior is None:
            raise InputError(f"prior_weight is {prior_weight:g}, but the registration {optimiser!r} has no prior")
        config = replace(config, shape_prior=replace(config.shape_prior, weight=prior_weight))
    if hold_landmarks:
        # Contacts would bend a vertebra that a user has set close to its neighbour.
        config = replace(config, landmark_term=LandmarkTerm(weight=_HOLDING), non_intersection=None)
    return config if keep_apart else replace(config, non_intersection=None)
