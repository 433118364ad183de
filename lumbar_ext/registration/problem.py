"""A registration problem: targets, vertebrae with their starts, bounds, and the terms of the loss, as one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.geometry import Camera
from lumbar_ext.registration.loss.scene import Scene
from lumbar_ext.registration.parameters import Bounds
from lumbar_ext.registration.targets import VertebraStart, ViewTarget
from lumbar_ext.registration.terms.images import ImageTerm
from lumbar_ext.registration.terms.term import Term
from lumbar_ext.shape.model.level_shape import SurfaceModes

_REGULARISATION_RANGE = (1e-3, 0.5)
"""Even perfect images leave the prior a little: it decides what no view shows. And images that nothing explains, such as those
of a level that was not found, do not hold the others to the mean shape."""


@dataclass(frozen=True)
class RegistrationProblem:
    """All an optimiser needs.

    The loss is the sum of the terms. Those that follow the images are multiplied by `regularisation` of the mean pixel
    penalty: the images decide the less the worse they are explained.

    Args:
        targets: decompositions by name: that of the view, or of the view and the group of vertebrae that it shows.
        vertebrae: the vertebrae to place, cranial to caudal.
        bounds: of poses and coefficients.
        terms: what the loss adds up; one of them is the `ImageTerm`.
        landmark_cameras: by view, the cameras in whose pixels observed landmarks are given, those of the targets by
            default.
        reference_penalty: the mean pixel penalty at which terms that follow the images have the stated weights; at
            others they weigh as its square, which stands for the variance of the pixels' errors. None for fixed weights.
        starts_near: the starts are ends of an earlier registration: coarse stages are not needed.
    """

    targets: dict[str, ViewTarget]
    vertebrae: tuple[VertebraStart, ...]
    bounds: Bounds = field(default_factory=Bounds)
    terms: tuple[Term, ...] = (ImageTerm(),)
    landmark_cameras: dict[str, Camera] = field(default_factory=dict)
    reference_penalty: float | None = None
    starts_near: bool = False

    def __post_init__(self) -> None:
        if not self.targets or not self.vertebrae:
            raise InputError(
                f"a registration needs at least one view and one vertebra, "
                f"found {len(self.targets)} and {len(self.vertebrae)}"
            )
        for name, target in self.targets.items():
            if not any(target.shows(start.level) for start in self.vertebrae):
                raise InputError(f"target {name} shows {target.levels}, none of which is to be registered")
        if sum(isinstance(term, ImageTerm) for term in self.terms) != 1:
            raise InputError(f"terms must hold one ImageTerm, found {[type(term).__name__ for term in self.terms]}")
        if not self.landmark_cameras:
            cameras = {target.view or name: target.camera for name, target in self.targets.items()}
            object.__setattr__(self, "landmark_cameras", cameras)

    @property
    def images(self) -> ImageTerm:
        """The term that compares projections with the decompositions; every problem has it."""
        return next(term for term in self.terms if isinstance(term, ImageTerm))

    def with_term(self, term: Term) -> RegistrationProblem:
        """The same problem with a term in place of the one of its kind, or added."""
        if not any(type(own) is type(term) for own in self.terms):
            return replace(self, terms=(*self.terms, term))
        return replace(self, terms=tuple(term if type(own) is type(term) else own for own in self.terms))

    def early(self) -> RegistrationProblem:
        """The same problem without the terms that count only when all parameters vary."""
        return replace(self, terms=tuple(term for term in self.terms if not term.late))

    def averaged(self, block: int) -> RegistrationProblem:
        """The same problem with `ViewTarget.averaged` targets."""
        targets = {name: target.averaged(block) for name, target in self.targets.items()}
        return replace(self, targets=targets)

    def coarsened(self, stride: int) -> RegistrationProblem:
        """The same problem with larger pixels, for predictions that are sampled at their centres."""
        return replace(self, targets={name: target.coarsened(stride) for name, target in self.targets.items()})

    def scene(
        self,
        surfaces: tuple[SurfaceModes, ...] | None = None,
        n_modes: int | None = None,
        run: Callable = map,
    ) -> Scene:
        """Its vertebrae as its cameras see them; arguments as those of `Scene`."""
        return Scene(self.targets, self.vertebrae, self.landmark_cameras, surfaces, n_modes, run)

    def regularisation(self, pixel_penalty: float) -> float:
        """The factor of the terms that follow the images, where these leave this mean pixel penalty."""
        if self.reference_penalty is None:
            return 1.0
        return float(np.clip((pixel_penalty / self.reference_penalty) ** 2, *_REGULARISATION_RANGE))

    def against(self, pixel_penalty: float, reference: float) -> tuple[float, float]:
        """What a pixel penalty counts, and its slope, where the terms that follow the images weigh as at another one.

        A search whose last word is `images' slope + regularisation(images) * others' slope = 0` minimises
        `others - c^2 / images`. Times the regularisation at the reference that is `2 reference - reference^2 / images`, but for
        a constant, beside the others: at the reference both are the same, and on the way nothing has to be weighed anew.
        """
        fixed = self.reference_penalty is None or self.regularisation(reference) in _REGULARISATION_RANGE
        if fixed or not 0 < pixel_penalty < np.inf:
            return pixel_penalty, 1.0
        return 2 * reference - reference**2 / pixel_penalty, (reference / pixel_penalty) ** 2
