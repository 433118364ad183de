"""The interface of a summand of the loss.

A new term is a frozen dataclass of its settings that makes, for a scene, an object with two methods: its `value`, and
`add_to`, which adds value, gradient and second derivative to a quadratic model. `RegistrationConfig` lists the terms.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from lumbar_ext.registration.loss.scene import Scene, SceneState
from lumbar_ext.registration.parameters import POSE_SIZE


class ModelSum:
    """A quadratic model that terms add to: loss, gradient [n, q] and Hessian [n, q, n, q] of n vertebrae.

    Args:
        count: vertebrae.
        size: parameters of each that vary, `6 + n_modes`.
        curved: with the Hessian; without it, `hessian` is None, and terms leave it out.

    Attributes:
        prior: the second derivative of the shape prior alone by one coefficient of an independent vertebra.
    """

    def __init__(self, count: int, size: int, *, curved: bool = True) -> None:
        self.loss = 0.0
        self.gradient = np.zeros((count, size))
        self.hessian = np.zeros((count, size, count, size)) if curved else None
        self.prior = 0.0

    @property
    def n_modes(self) -> int:
        """How many shape coefficients of each vertebra vary."""
        return self.gradient.shape[1] - POSE_SIZE


class PreparedTerm(ABC):
    """A term for one scene. Neither method changes what the other returns."""

    @abstractmethod
    def value(self, state: SceneState) -> float:
        """What it adds to the loss; infinite where that cannot be computed."""

    @abstractmethod
    def add_to(self, model: ModelSum, state: SceneState, factor: float = 1.0) -> None:
        """Adds `factor` times its value and the derivatives that are asked for, at parameters of finite value."""


class Term(ABC):
    """The settings of a summand of the loss."""

    follows_images: ClassVar[bool] = False
    """It weighs the less the better the images are explained; see `RegistrationProblem.regularisation`."""
    late: ClassVar[bool] = False
    """It counts only when all parameters vary: far from their places it would lead vertebrae astray."""

    @abstractmethod
    def prepared(self, scene: Scene) -> PreparedTerm:
        """The term made ready for the vertebrae and views of one scene, which the searches then ask for values."""
