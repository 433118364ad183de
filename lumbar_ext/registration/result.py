"""What a registration returns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.geometry import RigidTransform


class StopReason(StrEnum):
    """Why an optimiser stopped."""

    CONVERGED = "converged"
    EVALUATIONS = "evaluation limit reached"
    TIME = "time limit reached"
    FAILED = "no finite loss"


@dataclass(frozen=True)
class VertebraFit:
    """One registered vertebra.

    Args:
        level: "L1" to "L5".
        pose: [6] parameters relative to the initial pose: mm and rad.
        coefficients: [K] of the shape model, in SDs.
        free_form: [F] of the smooth modes beyond the model, in SDs; empty without a free-form refinement.
        world_from_vertebra: the final pose.
        vertices_mm: [V, 3] world mm.
        loss: its own mean absolute pixel error in each view, over the pixels of its final silhouette.
        initial_loss: the same at the start.
    """

    level: str
    pose: np.ndarray
    coefficients: np.ndarray
    free_form: np.ndarray
    world_from_vertebra: RigidTransform
    vertices_mm: np.ndarray
    loss: dict[str, float]
    initial_loss: dict[str, float]


@dataclass(frozen=True)
class HistoryEntry:
    """A point of the way: after so many evaluations the best loss was this."""

    evaluations: int
    loss: float


@dataclass(frozen=True)
class RegistrationResult:
    """A finished registration.

    Args:
        vertebrae: by level, those of the problem.
        loss: the final loss of the problem.
        loss_per_view: the weighted mean pixel penalty of each view.
        initial_loss: the loss at the start.
        evaluations: of the loss or of its derivative, all vertebrae and resolutions together.
        seconds: wall-clock.
        stop_reason: why it ended.
        history: the loss on the way, at the resolution of its time.
    """

    vertebrae: dict[str, VertebraFit]
    loss: float
    loss_per_view: dict[str, float]
    initial_loss: float
    evaluations: int
    seconds: float
    stop_reason: StopReason
    history: tuple[HistoryEntry, ...]

    @property
    def levels(self) -> tuple[str, ...]:
        """The registered levels."""
        return tuple(self.vertebrae)

    @property
    def missing_levels(self) -> tuple[str, ...]:
        """Levels that were not registered: a view shows too few of their landmarks, or they start outside an image."""
        return tuple(level for level in LEVELS if level not in self.vertebrae)
