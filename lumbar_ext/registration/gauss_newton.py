"""Registration with the analytic derivative: damped Gauss-Newton over all vertebrae together, coarse to fine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.registration.bobyqa import natural_steps, stage_shapes
from lumbar_ext.registration.linearisation import Lineariser
from lumbar_ext.registration.optimiser import Optimiser, Record
from lumbar_ext.registration.problem import POSE_SIZE, RegistrationProblem
from lumbar_ext.registration.result import StopReason
from lumbar_ext.registration.scene import Scene


@dataclass(frozen=True)
class GaussNewtonStage:
    """One resolution.

    Args:
        stride: image pixels averaged into one, 1 for full resolution.
        mesh_vertices: vertices of the rendered mesh; None for all.
        n_modes: coefficients that vary; 0 for the pose alone, None for all of the model.
        max_iterations: limit.
        tolerance: largest step, in natural steps (2 mm, 0.06 rad, 0.6 SD), that counts as standing still.
    """

    stride: int
    mesh_vertices: int | None
    n_modes: int | None
    max_iterations: int
    tolerance: float


DEFAULT_STAGES = (
    GaussNewtonStage(4, 2000, 0, 10, 0.05),
    GaussNewtonStage(4, 2000, None, 15, 0.05),
    GaussNewtonStage(2, 4000, None, 10, 0.02),
    GaussNewtonStage(1, None, None, 8, 0.01),
)


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
        for stage in self.stages:
            available = len(parameters[0]) - POSE_SIZE
            n_modes = available if stage.n_modes is None else min(stage.n_modes, available)
            scene = Scene(problem.coarsened(stage.stride), stage_shapes(problem, stage.mesh_vertices))
            descent = _Descent(Lineariser(scene, n_modes), problem.bounds.limits(n_modes), record)
            parameters, reason = descent.run(parameters, stage, self.initial_damping)
            if reason is StopReason.TIME:
                break
        return parameters, reason


class _Descent:
    """The steps of one stage."""

    def __init__(self, lineariser: Lineariser, limits: np.ndarray, record: Record) -> None:
        self._lineariser, self._record = lineariser, record
        self._limits, self._steps = limits, natural_steps(len(limits))

    def run(
        self, parameters: list[np.ndarray], stage: GaussNewtonStage, damping: float
    ) -> tuple[list[np.ndarray], StopReason]:
        for _ in range(stage.max_iterations):
            if self._record.out_of_time:
                return parameters, StopReason.TIME
            model = self._lineariser.model(parameters)
            self._record.evaluations += 1
            self._record.report("all", model.loss)
            largest = 0.0
            for _attempt in range(6):
                candidate, largest = self._step(parameters, model, damping)
                self._record.evaluations += 1
                if self._lineariser.loss(candidate) < model.loss:
                    parameters, damping = candidate, max(damping / 5, 1e-6)
                    break
                damping *= 6
            else:
                return parameters, StopReason.CONVERGED
            if largest < stage.tolerance:
                return parameters, StopReason.CONVERGED
        return parameters, StopReason.EVALUATIONS

    def _step(self, parameters: list[np.ndarray], model, damping: float) -> tuple[list[np.ndarray], float]:
        """Parameters after a damped step inside the bounds, and the step's largest component in natural steps."""
        size = len(self._limits)
        position = np.stack([p[:size] for p in parameters])
        limits = np.broadcast_to(self._limits, position.shape)
        gradient = model.gradient.reshape(position.shape)
        # A parameter that stands on its bound and wants to leave is held.
        held = ((position >= limits) & (gradient < 0)) | ((position <= -limits) & (gradient > 0))
        free = np.flatnonzero(~held.ravel())
        hessian = model.hessian[np.ix_(free, free)]
        diagonal = np.diag(hessian)
        damped = hessian + np.diag(damping * diagonal + 1e-9 * diagonal.max() + 1e-30)
        step = np.zeros(position.size)
        step[free] = -np.linalg.solve(damped, model.gradient[free])
        moved = np.clip(position + step.reshape(position.shape), -limits, limits)
        candidate = [p.copy() for p in parameters]
        for p, values in zip(candidate, moved, strict=True):
            p[:size] = values
        return candidate, float(np.abs((moved - position) / self._steps).max())
