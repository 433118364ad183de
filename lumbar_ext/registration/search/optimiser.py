"""What every optimiser shares: its interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from lumbar_ext.registration.loss.linearisation import Lineariser
from lumbar_ext.registration.loss.threads import thread_map
from lumbar_ext.registration.parameters import POSE_SIZE
from lumbar_ext.registration.problem import RegistrationProblem
from lumbar_ext.registration.result import RegistrationResult, StopReason
from lumbar_ext.registration.search.outcome import assembled_result
from lumbar_ext.registration.search.record import Record, ReportProgress


class Optimiser(ABC):
    """Places the vertebrae of a problem.

    Attributes:
        threads: that work at once, as many as there are processors by default.
    """

    threads: int | None = None

    def run(
        self, problem: RegistrationProblem, progress: ReportProgress | None = None, max_seconds: float | None = None
    ) -> RegistrationResult:
        """Minimises the loss of a problem from its starts.

        Args:
            problem: targets, starts and bounds.
            progress: called with (level, evaluations, loss).
            max_seconds: limit, processor time of this process; the best found so far is returned when it is reached.

        Returns:
            A result within the bounds, never worse than the start.

        Raises:
            ValueError: if a vertebra of the start is not finite or not in front of the X-ray sources.
        """
        record = Record(progress, max_seconds)
        start = start_parameters(problem)
        with thread_map(self.threads) as run:
            losses = Lineariser(problem, run=run)
            losses.scene.predictions(start)  # refuses what cannot be rendered
            parameters, reason = self._minimise(problem, [p.copy() for p in start], record, run)
            end = losses.losses(parameters)
            before = losses.losses(start, problem.regularisation(end.images))
            if not end.total <= before.total:
                parameters, end = start, before
            return assembled_result(problem, losses.scene, start, parameters, (before, end), record, reason)

    @abstractmethod
    def _minimise(
        self, problem: RegistrationProblem, parameters: list[np.ndarray], record: Record, run: Callable
    ) -> tuple[list[np.ndarray], StopReason]:
        """The best parameters found and why the search ended; `run` is `map`, or that of a pool of threads."""


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
