"""What every optimiser shares: its interface."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from lumbar_ext.registration.loss.scene import Scene, SceneLoss
from lumbar_ext.registration.problem import POSE_SIZE, RegistrationProblem
from lumbar_ext.registration.result import RegistrationResult, StopReason
from lumbar_ext.registration.search.outcome import assembled_result
from lumbar_ext.registration.search.record import Progress, Record


class Optimiser(ABC):
    """Places the vertebrae of a problem."""

    def run(
        self, problem: RegistrationProblem, progress: Progress | None = None, max_seconds: float | None = None
    ) -> RegistrationResult:
        """Minimises the loss of a problem from its starts.

        Args:
            problem: targets, starts and bounds.
            progress: called with (level, evaluations, loss).
            max_seconds: wall-clock limit; the best found so far is returned when it is reached.

        Returns:
            A result within the bounds, never worse than the start.

        Raises:
            ValueError: if a vertebra of the start is not finite or not in front of the X-ray sources.
        """
        record = Record(progress, max_seconds)
        start = start_parameters(problem)
        scene = Scene(problem)
        scene.predictions(start)  # refuses what cannot be rendered
        parameters, reason = self._minimise(problem, [p.copy() for p in start], record)
        scene.problem = problem.adapted(mean_penalty(scene.loss(parameters)))
        if not scene.loss(parameters).total <= scene.loss(start).total:
            parameters = start
        return assembled_result(scene, start, parameters, record, reason)

    @abstractmethod
    def _minimise(
        self, problem: RegistrationProblem, parameters: list[np.ndarray], record: Record
    ) -> tuple[list[np.ndarray], StopReason]:
        """The best parameters found and why the search ended."""


def mean_penalty(loss: SceneLoss) -> float:
    """The mean pixel penalty of the views."""
    return sum(loss.per_view.values()) / len(loss.per_view)


def start_parameters(problem: RegistrationProblem) -> list[np.ndarray]:
    """The parameters [6 + K] of every vertebra's start, clipped to their bounds."""
    limit, limits = problem.bounds.shape_sd, problem.bounds.limits(0)
    parameters = []
    for start in problem.vertebrae:
        own = np.zeros(POSE_SIZE + start.shape.n_modes)
        own[:POSE_SIZE] = np.clip(start.pose, -limits, limits)
        own[POSE_SIZE : POSE_SIZE + len(start.coefficients)] = np.clip(start.coefficients, -limit, limit)
        parameters.append(own)
    return parameters
