"""Registration with the analytic derivative: damped Gauss-Newton over all vertebrae together, coarse to fine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from lumbar_ext.registration.level_shape import LevelShape
from lumbar_ext.registration.linearisation import Lineariser, QuadraticModel
from lumbar_ext.registration.optimiser import Optimiser
from lumbar_ext.registration.outcome import suspicious
from lumbar_ext.registration.parameters import POSE_SIZE
from lumbar_ext.registration.problem import RegistrationProblem
from lumbar_ext.registration.record import Record
from lumbar_ext.registration.result import Curvature, StopReason
from lumbar_ext.registration.surfaces import stage_surfaces
from lumbar_ext.registration.threads import thread_map


class Varying(StrEnum):
    """Which parameters a stage changes."""

    POSE = "pose"
    MODEL = "pose and model coefficients"
    ALL = "pose, model and free-form coefficients"

    def n_modes(self, shape: LevelShape) -> int:
        """The number of coefficients that vary."""
        return {Varying.POSE: 0, Varying.MODEL: shape.n_model_modes, Varying.ALL: shape.n_modes}[self]


@dataclass(frozen=True)
class GaussNewtonStage:
    """One resolution.

    Args:
        stride: image pixels averaged into one, 1 for full resolution.
        mesh_vertices: vertices of the rendered mesh; None for all.
        varying: the parameters that change.
        max_iterations: limit.
        tolerance: relative decrease of the loss from which on an iteration counts as standing still.
    """

    stride: int
    mesh_vertices: int | None
    varying: Varying
    max_iterations: int
    tolerance: float


DEFAULT_STAGES = (
    GaussNewtonStage(4, 2500, Varying.POSE, 10, 0.02),
    GaussNewtonStage(4, 2500, Varying.MODEL, 15, 0.01),
    GaussNewtonStage(2, 5000, Varying.MODEL, 10, 0.01),
    GaussNewtonStage(2, None, Varying.ALL, 12, 0.003),
)

_MAX_REJECTIONS = 6
_RESTARTS_DEG = ((0, 12, 0), (0, -12, 0), (10, 0, 0), (-10, 0, 0), (0, 0, 20), (0, 0, -20))
"""Rotations (lateral, flexion, axial) from which a vertebra that went astray is tried again."""


@dataclass(frozen=True)
class GaussNewton(Optimiser):
    """Levenberg-Marquardt steps in the box of the bounds; robust penalties by reweighting.

    Args:
        stages: resolutions in order.
        initial_damping: first factor of the Hessian's diagonal.
        restart_after: a vertebra that fits much worse than the others after so many stages is tried again from other
            rotations, and the best is kept; 0 for never.
        threads: that work at once, as many as there are processors by default.
    """

    stages: tuple[GaussNewtonStage, ...] = DEFAULT_STAGES
    initial_damping: float = 1e-2
    restart_after: int = 2
    threads: int | None = None

    def _minimise(
        self, problem: RegistrationProblem, parameters: list[np.ndarray], record: Record
    ) -> tuple[list[np.ndarray], StopReason]:
        with thread_map(self.threads) as run:
            search = _Search(problem, self.initial_damping, record, run)
            coarse = self.stages[: self.restart_after]
            parameters = search.pass_through(coarse, parameters)
            if coarse:
                parameters = search.second_chances(coarse, parameters)
            parameters = search.pass_through(self.stages[self.restart_after :], parameters, coarse[-1:])
        return parameters, search.reason


class _Search:
    """Stages of a search, one after the other.

    Args:
        problem: at full resolution.
        damping: first factor of the Hessian's diagonal.
        record: of the search.
        run: `map`, or that of a pool of threads.
    """

    def __init__(self, problem: RegistrationProblem, damping: float, record: Record, run: Callable) -> None:
        self.reason = StopReason.CONVERGED
        self._problem, self._damping, self._record, self._run = problem, damping, record, run

    def pass_through(
        self,
        stages: tuple[GaussNewtonStage, ...],
        parameters: list[np.ndarray],
        before: tuple[GaussNewtonStage, ...] = (),
    ) -> list[np.ndarray]:
        """The parameters after some stages; `before` holds the stage that they come from, if any."""
        shape = self._problem.vertebrae[0].shape
        for stage in stages:
            n_modes = stage.varying.n_modes(shape)
            if self._record.out_of_time:
                self.reason = StopReason.TIME
                break
            if not any(_same_work(stage, other, shape) for other in before):
                lineariser = self._lineariser(stage, n_modes, parameters)
                descent = _Descent(lineariser, self._problem.bounds.limits(n_modes), self._record)
                parameters, self.reason = descent.run(parameters, stage, self._damping)
            before = (stage,)
        return parameters

    def second_chances(self, stages: tuple[GaussNewtonStage, ...], parameters: list[np.ndarray]) -> list[np.ndarray]:
        """Tries vertebrae that went astray again from other rotations, and keeps what is better."""
        doubts, loss = self._judge(stages[-1], parameters)
        for index in np.flatnonzero(doubts):
            for turn_deg in _RESTARTS_DEG:
                if self._record.out_of_time:
                    return parameters
                limits = self._problem.bounds.limits(0)
                own = np.zeros_like(parameters[index])
                own[3:POSE_SIZE] = np.clip(np.radians(turn_deg), -limits[3:], limits[3:])
                candidate = self.pass_through(stages, [own if i == index else p for i, p in enumerate(parameters)])
                doubts, candidate_loss = self._judge(stages[-1], candidate)
                if candidate_loss < loss:
                    parameters, loss = candidate, candidate_loss
                    if not doubts[index]:
                        break
        return parameters

    def _judge(self, stage: GaussNewtonStage, parameters: list[np.ndarray]) -> tuple[list[bool], float]:
        """Which vertebrae are suspicious at the resolution of a stage, and the loss there."""
        lineariser = self._lineariser(stage, stage.varying.n_modes(self._problem.vertebrae[0].shape), parameters)
        return suspicious(lineariser.scene.silhouette_errors(parameters)), lineariser.loss(parameters)

    def _lineariser(self, stage: GaussNewtonStage, n_modes: int, parameters: list[np.ndarray]) -> Lineariser:
        surfaces = stage_surfaces(self._problem, parameters, n_modes, stage.mesh_vertices)
        problem = self._problem if stage.varying is Varying.ALL else self._problem.early()
        return Lineariser(problem.coarsened(stage.stride), surfaces, n_modes, self._run)


def _same_work(a: GaussNewtonStage, b: GaussNewtonStage, shape: LevelShape) -> bool:
    resolutions = [(stage.stride, stage.mesh_vertices, stage.varying.n_modes(shape)) for stage in (a, b)]
    return resolutions[0] == resolutions[1]


class _Descent:
    """The steps of one stage."""

    def __init__(self, lineariser: Lineariser, limits: np.ndarray, record: Record) -> None:
        self._lineariser, self._limits, self._record = lineariser, limits, record

    def run(
        self, parameters: list[np.ndarray], stage: GaussNewtonStage, damping: float
    ) -> tuple[list[np.ndarray], StopReason]:
        """The best parameters found and why the steps ended."""
        for _ in range(stage.max_iterations):
            if self._record.out_of_time:
                return parameters, StopReason.TIME
            model = self._lineariser.model(parameters)
            self._record.evaluations += 1
            self._record.report("all", model.loss)
            if model.prior > 0:
                self._record.curvature = Curvature(model.hessian, model.prior)
            loss = np.inf
            for _ in range(_MAX_REJECTIONS):
                candidate = self._step(parameters, model, damping)
                loss = self._lineariser.loss(candidate, model.regularisation)
                self._record.evaluations += 1
                if loss < model.loss:
                    break
                damping *= 6
            else:
                return parameters, StopReason.CONVERGED
            parameters, damping = candidate, max(damping / 5, 1e-6)
            if model.loss - loss < stage.tolerance * model.loss:
                return parameters, StopReason.CONVERGED
        return parameters, StopReason.EVALUATIONS

    def _step(self, parameters: list[np.ndarray], model: QuadraticModel, damping: float) -> list[np.ndarray]:
        """Parameters after a damped step, inside the bounds."""
        size = len(self._limits)
        position = np.stack([p[:size] for p in parameters])
        # A parameter that stands on its bound and wants to leave is held.
        outward = (np.abs(position) >= self._limits) & (position * model.gradient < 0)
        free = np.flatnonzero(~outward.ravel())
        hessian = model.hessian.reshape(position.size, -1)
        damped = hessian.copy() if len(free) == position.size else hessian[np.ix_(free, free)]
        diagonal = damped.diagonal().copy()
        damped.ravel()[:: len(free) + 1] += damping * diagonal + 1e-9 * diagonal.max() + 1e-30
        step = np.zeros(position.size)
        try:
            factor = cho_factor(damped, overwrite_a=True, check_finite=False)
            step[free] = -cho_solve(factor, model.gradient.ravel()[free], check_finite=False)
        except LinAlgError:
            # Rounding made the Hessian indefinite: standing still is rejected, and the next attempt damps more.
            return parameters
        moved = np.clip(position + step.reshape(position.shape), -self._limits, self._limits)
        return [np.concatenate([own, rest[size:]]) for own, rest in zip(moved, parameters, strict=True)]
