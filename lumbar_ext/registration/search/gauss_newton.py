"""Registration with the analytic derivative: damped Gauss-Newton over all vertebrae together, coarse to fine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from lumbar_ext.registration.loss.linearisation import Lineariser, QuadraticModel
from lumbar_ext.registration.loss.stage_surfaces import stage_surfaces
from lumbar_ext.registration.parameters import POSE_SIZE
from lumbar_ext.registration.problem import RegistrationProblem
from lumbar_ext.registration.result import Curvature, StopReason
from lumbar_ext.registration.search.optimiser import Optimiser
from lumbar_ext.registration.search.outcome import blank_views, suspicious
from lumbar_ext.registration.search.record import Record
from lumbar_ext.registration.steps import DampedSteps
from lumbar_ext.shape.model.level_shape import LevelShape


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
        block: edge of the blocks of pixels that are taken as one, 1 for full resolution.
        mesh_vertices: vertices of the rendered mesh; None for all.
        varying: the parameters that change.
        max_iterations: limit.
        tolerance_mm: a step that moves no vertex farther ends the stage.
        reuse: steps that go on with the second derivative of an iteration, each for a fifth of its cost.
    """

    block: int
    mesh_vertices: int | None
    varying: Varying
    max_iterations: int
    tolerance_mm: float
    reuse: int = 0


DEFAULT_STAGES = (
    GaussNewtonStage(4, 2500, Varying.POSE, 10, 0.5),
    GaussNewtonStage(4, 2500, Varying.MODEL, 10, 0.7),
    GaussNewtonStage(2, 5000, Varying.ALL, 7, 0.1, reuse=6),
)

_MAX_REJECTIONS = 6  # of a step, damped six times as strongly each time
_EXPLAINED = 1e-8
"""A loss below this is that of the rounding of the pixels' float32: there is nothing left to explain."""
_NEWTON_DAMPING = 1e-2
"""Up to this damping the size of a step says how far the minimum is; a step that is small for its damping does not."""
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
        self, problem: RegistrationProblem, parameters: list[np.ndarray], record: Record, run: Callable
    ) -> tuple[list[np.ndarray], StopReason]:
        search = _Search(problem, self.initial_damping, record, run)
        if problem.starts_near:
            return search.pass_through(self.stages[-1:], parameters), search.reason
        coarse = self.stages[: self.restart_after]
        parameters = search.pass_through(coarse, parameters)
        if coarse:
            parameters = search.second_chances(coarse, parameters)
        return search.pass_through(self.stages[self.restart_after :], parameters, coarse[-1:]), search.reason


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
        """Which vertebrae are suspicious at the resolution of a stage, and the loss there.

        None is where a view is blank: all fit it badly, and no rotation would mend that.
        """
        lineariser = self._lineariser(stage, stage.varying.n_modes(self._problem.vertebrae[0].shape), parameters)
        if blank_views(lineariser.scene):
            return [False] * len(parameters), lineariser.loss(parameters)
        return suspicious(lineariser.scene.silhouette_errors(parameters)), lineariser.loss(parameters)

    def _lineariser(self, stage: GaussNewtonStage, n_modes: int, parameters: list[np.ndarray]) -> Lineariser:
        surfaces = stage_surfaces(self._problem, parameters, n_modes, stage.mesh_vertices)
        problem = self._problem if stage.varying is Varying.ALL else self._problem.early()
        return Lineariser(problem.averaged(stage.block), surfaces, n_modes, self._run)


def _same_work(a: GaussNewtonStage, b: GaussNewtonStage, shape: LevelShape) -> bool:
    resolutions = [(stage.block, stage.mesh_vertices, stage.varying.n_modes(shape)) for stage in (a, b)]
    return resolutions[0] == resolutions[1]


class _Descent:
    """The steps of one stage."""

    def __init__(self, lineariser: Lineariser, limits: np.ndarray, record: Record) -> None:
        self._lineariser, self._record = lineariser, record
        self._size, self._limits = len(limits), np.tile(limits, len(lineariser.problem.vertebrae))

    def run(
        self, parameters: list[np.ndarray], stage: GaussNewtonStage, damping: float
    ) -> tuple[list[np.ndarray], StopReason]:
        """The best parameters found and why the steps ended.

        A stage has converged when the first step after its second derivative was made anew is small.
        """
        for _ in range(stage.max_iterations):
            if self._record.out_of_time:
                return parameters, StopReason.TIME
            model = self._lineariser.model(parameters)
            self._noted(model.loss)
            if model.prior > 0:
                self._record.curvature = Curvature(model.hessian, model.prior)
            for _ in range(_MAX_REJECTIONS):
                steps = self._steps(parameters, model, damping)
                candidate = self._moved(parameters, steps.end(self._position(parameters), model.gradient.ravel()))
                loss = self._loss(candidate, model)
                near = damping <= _NEWTON_DAMPING and self._movement_mm(parameters, candidate) <= stage.tolerance_mm
                if loss < model.loss or near:
                    break
                damping *= 6
            else:
                return parameters, StopReason.STALLED
            if loss < model.loss:
                before, parameters, damping = parameters, candidate, max(damping / 5, 1e-6)
            if near or self._explained(parameters, loss):
                return parameters, StopReason.CONVERGED
            if stage.reuse:
                parameters = self._go_on(before, parameters, loss, model, steps, stage)
        return parameters, StopReason.ITERATIONS

    def _go_on(
        self,
        before: list[np.ndarray],
        parameters: list[np.ndarray],
        loss: float,
        model: QuadraticModel,
        steps: DampedSteps,
        stage: GaussNewtonStage,
    ) -> list[np.ndarray]:
        """The parameters after steps with the second derivative of a model, as long as the loss falls.

        Args:
            before, parameters: where the model was made, and the end of its own step.
            loss: at the parameters.
            model: the model.
            steps: made of it.
            stage: how often, and from which step on they are small.
        """
        gradient = model.gradient.ravel()
        for _ in range(stage.reuse):
            if self._record.out_of_time:
                break
            fresh = self._lineariser.gradient(parameters, model.images).ravel()
            position = self._position(parameters)
            steps.learn(position - self._position(before), fresh - gradient)
            candidate = self._moved(parameters, steps.end(position, fresh))
            candidate_loss = self._loss(candidate, model)
            if not candidate_loss < loss:
                break
            before, parameters, gradient, loss = parameters, candidate, fresh, candidate_loss
            if self._movement_mm(before, parameters) <= stage.tolerance_mm:
                break
        return parameters

    def _noted(self, loss: float) -> None:
        self._record.evaluations += 1
        self._record.report("all", loss)

    def _loss(self, parameters: list[np.ndarray], model: QuadraticModel) -> float:
        self._record.evaluations += 1
        return self._lineariser.loss(parameters, model.images)

    def _explained(self, parameters: list[np.ndarray], loss: float) -> bool:
        """Nothing is left; `loss` is against an earlier one and may be below zero."""
        return loss < _EXPLAINED and self._lineariser.loss(parameters) < _EXPLAINED

    def _movement_mm(self, parameters: list[np.ndarray], candidate: list[np.ndarray]) -> float:
        scene = self._lineariser.scene
        return scene.at(parameters).movement_mm(scene.at(candidate))

    def _position(self, parameters: list[np.ndarray]) -> np.ndarray:
        """The parameters that vary, in one vector."""
        return np.concatenate([p[: self._size] for p in parameters])

    def _moved(self, parameters: list[np.ndarray], position: np.ndarray) -> list[np.ndarray]:
        own = position.reshape(len(parameters), self._size)
        return [np.concatenate([moved, rest[self._size :]]) for moved, rest in zip(own, parameters, strict=True)]

    def _steps(self, parameters: list[np.ndarray], model: QuadraticModel, damping: float) -> DampedSteps:
        hessian = model.hessian.reshape(len(self._limits), -1)
        return DampedSteps(self._position(parameters), model.gradient.ravel(), hessian, self._limits, damping)
