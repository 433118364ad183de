"""Registration with the analytic derivative: damped Gauss-Newton over all vertebrae together, coarse to fine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from lumbar_ext.registration.level_shape import LevelShape
from lumbar_ext.registration.linearisation import Lineariser, QuadraticModel
from lumbar_ext.registration.optimiser import Optimiser, Record
from lumbar_ext.registration.problem import RegistrationProblem
from lumbar_ext.registration.result import StopReason
from lumbar_ext.registration.scene import Scene
from lumbar_ext.registration.surfaces import stage_surfaces


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
    GaussNewtonStage(2, None, Varying.MODEL, 10, 0.003),
    GaussNewtonStage(2, None, Varying.ALL, 12, 0.003),
)

_MAX_REJECTIONS = 6


@dataclass(frozen=True)
class GaussNewton(Optimiser):
    """Levenberg-Marquardt steps in the box of the bounds; robust penalties by reweighting.

    Args:
        stages: resolutions in order.
        initial_damping: first factor of the Hessian's diagonal.
    """

    stages: tuple[GaussNewtonStage, ...] = DEFAULT_STAGES
    initial_damping: float = 1e-2

    def _minimise(
        self, problem: RegistrationProblem, parameters: list[np.ndarray], record: Record
    ) -> tuple[list[np.ndarray], StopReason]:
        reason = StopReason.CONVERGED
        shape = problem.vertebrae[0].shape
        for i, stage in enumerate(self.stages):
            n_modes = stage.varying.n_modes(shape)
            if (
                i > 0
                and stage.varying is Varying.ALL
                and shape.n_free == 0
                and _same_resolution(stage, self.stages[i - 1])
            ):
                continue
            surfaces = stage_surfaces(problem, parameters, n_modes, stage.mesh_vertices)
            lineariser = Lineariser(Scene(problem.coarsened(stage.stride), surfaces), n_modes, parameters)
            descent = _Descent(lineariser, problem.bounds.limits(n_modes), record)
            parameters, reason = descent.run(parameters, stage, self.initial_damping)
            if reason is StopReason.TIME:
                break
        return parameters, reason


def _same_resolution(a: GaussNewtonStage, b: GaussNewtonStage) -> bool:
    return (a.stride, a.mesh_vertices) == (b.stride, b.mesh_vertices)


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
            loss = np.inf
            for _ in range(_MAX_REJECTIONS):
                candidate = self._step(parameters, model, damping)
                loss = self._lineariser.loss(candidate)
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
        hessian = model.hessian.reshape(position.size, -1)[np.ix_(free, free)]
        diagonal = np.diag(hessian)
        damped = hessian + np.diag(damping * diagonal + 1e-9 * diagonal.max() + 1e-30)
        step = np.zeros(position.size)
        try:
            step[free] = -cho_solve(cho_factor(damped, check_finite=False), model.gradient.ravel()[free])
        except LinAlgError:
            # Rounding made the Hessian indefinite: standing still is rejected, and the next attempt damps more.
            return parameters
        moved = np.clip(position + step.reshape(position.shape), -self._limits, self._limits)
        return [np.concatenate([own, rest[size:]]) for own, rest in zip(moved, parameters, strict=True)]
