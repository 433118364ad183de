"""What every optimiser shares: the interface, the clock, and how a result is put together."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from lumbar_ext.registration.problem import POSE_SIZE, RegistrationProblem
from lumbar_ext.registration.result import HistoryEntry, RegistrationResult, StopReason, VertebraFit
from lumbar_ext.registration.scene import Scene

Progress = Callable[[str, int, float], None]
"""Called now and then with the level (or "all"), the evaluations so far and the current loss."""


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
        scene = Scene(problem)
        start = start_parameters(problem)
        initial_loss = scene.loss(start).total
        parameters, reason = self._minimise(problem, [p.copy() for p in start], record)
        if not scene.loss(parameters).total <= initial_loss:
            parameters = start
        return _result(scene, start, parameters, record, reason)

    @abstractmethod
    def _minimise(
        self, problem: RegistrationProblem, parameters: list[np.ndarray], record: Record
    ) -> tuple[list[np.ndarray], StopReason]:
        """The best parameters found and why the search ended."""


class Record:
    """Counts evaluations and seconds and tells the caller about progress."""

    def __init__(self, progress: Progress | None, max_seconds: float | None) -> None:
        if max_seconds is not None and not max_seconds > 0:
            raise ValueError(f"max_seconds must be positive, found {max_seconds}")
        self.evaluations = 0
        self.history: list[HistoryEntry] = []
        self._progress = progress
        self._begin = time.perf_counter()
        self._limit = np.inf if max_seconds is None else max_seconds

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self._begin

    @property
    def seconds_left(self) -> float:
        """Until the limit; infinite without one, never negative."""
        return max(self._limit - self.seconds, 0.0)

    @property
    def out_of_time(self) -> bool:
        """The limit is reached."""
        return self.seconds_left <= 0

    def report(self, level: str, loss: float) -> None:
        """Notes the loss and calls the progress callback."""
        self.history.append(HistoryEntry(self.evaluations, float(loss)))
        if self._progress is not None:
            self._progress(level, self.evaluations, float(loss))


def start_parameters(problem: RegistrationProblem) -> list[np.ndarray]:
    """The parameters [6 + K] of every vertebra's start, shapes clipped to their bounds."""
    limit = problem.bounds.shape_sd
    parameters = []
    for start in problem.vertebrae:
        own = np.zeros(POSE_SIZE + start.shape.n_modes)
        own[POSE_SIZE : POSE_SIZE + len(start.coefficients)] = np.clip(start.coefficients, -limit, limit)
        parameters.append(own)
    return parameters


def _result(
    scene: Scene, start: list[np.ndarray], parameters: list[np.ndarray], record: Record, reason: StopReason
) -> RegistrationResult:
    seconds = record.seconds
    loss, before, after = scene.loss(parameters), scene.silhouette_errors(start), scene.silhouette_errors(parameters)
    fits = {}
    for i, vertebra in enumerate(scene.problem.vertebrae):
        pose = vertebra.world_from_moved(parameters[i][:POSE_SIZE])
        coefficients = parameters[i][POSE_SIZE:]
        vertices = pose.apply(vertebra.shape.surface.instance(coefficients))
        model, free_form = np.split(coefficients, [vertebra.shape.n_model_modes])
        fits[vertebra.level] = VertebraFit(
            vertebra.level, parameters[i][:POSE_SIZE], model, free_form, pose, vertices, after[i], before[i]
        )
    return RegistrationResult(
        fits,
        loss.total,
        loss.per_view,
        scene.loss(start).total,
        record.evaluations,
        seconds,
        reason,
        tuple(record.history),
    )
