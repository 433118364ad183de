"""Derivative-free registration with BOBYQA (Powell 2009) from NLopt: all vertebrae at once as in the paper, or one
by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.registration.loss.linearisation import Lineariser
from lumbar_ext.registration.loss.stage_surfaces import stage_surfaces
from lumbar_ext.registration.parameters import POSE_SIZE
from lumbar_ext.registration.problem import RegistrationProblem
from lumbar_ext.registration.result import LevelSearch, StopReason
from lumbar_ext.registration.search.block_objective import BlockObjective
from lumbar_ext.registration.search.optimiser import Optimiser
from lumbar_ext.registration.search.record import Record

_POSE_STEP = (2.0, 2.0, 2.0, 0.06, 0.06, 0.06)
"""Natural step of each pose parameter: 2 mm, and the angle that moves a process tip about as far."""
_SHAPE_STEP = 0.6
"""Natural step of a shape coefficient, SD."""
_WORST = 1e6
"""Stands for a loss that is not finite: BOBYQA's quadratic model cannot digest infinities."""


@dataclass(frozen=True)
class BlockStage:
    """One round of the block search.

    Args:
        stride: image pixels averaged into one, 1 for full resolution.
        mesh_vertices: vertices of the rendered mesh; None for all.
        with_shape: vary the shape model's coefficients too, else the pose alone; free-form modes stay as they are.
        sweeps: times every vertebra is visited.
        first_step: first trust radius, in natural steps (2 mm, 0.06 rad, 0.6 SD).
        last_step: final trust radius.
        max_evaluations: limit of one visit.
    """

    stride: int
    mesh_vertices: int | None
    with_shape: bool
    sweeps: int
    first_step: float
    last_step: float
    max_evaluations: int


BOBYQA_STAGES = (
    BlockStage(4, 2500, False, 2, 1.0, 0.1, 80),
    BlockStage(4, 2500, True, 3, 0.5, 0.05, 350),
    BlockStage(2, None, True, 1, 0.2, 0.03, 300),
)


@dataclass(frozen=True)
class BobyqaBlocks(Optimiser):
    """BOBYQA over one vertebra at a time with its neighbours' pictures held, coarse to fine, pose before shape.

    Args:
        stages: rounds in order.
    """

    stages: tuple[BlockStage, ...] = BOBYQA_STAGES

    def _minimise(
        self, problem: RegistrationProblem, parameters: list[np.ndarray], record: Record, run: Callable
    ) -> tuple[list[np.ndarray], StopReason]:
        if problem.images.view_fields is not None:
            raise InputError("view_fields cannot be fitted vertebra by vertebra: set it to null with BobyqaBlocks")
        reason = StopReason.CONVERGED
        for stage in self.stages:
            n_modes = problem.vertebrae[0].shape.n_model_modes if stage.with_shape else 0
            surfaces = stage_surfaces(problem, parameters, n_modes, stage.mesh_vertices)
            losses = Lineariser(problem.coarsened(stage.stride), surfaces)
            lengths = [losses.scene.path_lengths(i, p) for i, p in enumerate(parameters)]
            for index in list(range(len(parameters))) * stage.sweeps:
                if record.out_of_time:
                    return parameters, StopReason.TIME
                reason = _visit(losses, index, stage, POSE_SIZE + n_modes, parameters, lengths, record)
        return parameters, StopReason.TIME if record.out_of_time else reason


@dataclass(frozen=True)
class BobyqaJoint(Optimiser):
    """BOBYQA over all poses and coefficients at once, as Yu et al. (arXiv 2503.14573): slow, kept for comparison.

    Args:
        stride: image pixels averaged into one; 1 for the resolution of the decompositions, as in the paper.
        mesh_vertices: vertices of the rendered mesh; None for all, as in the paper.
        first_step: first trust radius, in natural steps.
        last_step: final trust radius.
        max_evaluations: limit; joint searches of 100 parameters end by their trust radius after about 20,000.
    """

    stride: int = 1
    mesh_vertices: int | None = None
    first_step: float = 1.0
    last_step: float = 0.02
    max_evaluations: int = 60_000

    def _minimise(
        self, problem: RegistrationProblem, parameters: list[np.ndarray], record: Record, run: Callable
    ) -> tuple[list[np.ndarray], StopReason]:
        size = POSE_SIZE + problem.vertebrae[0].shape.n_model_modes
        surfaces = stage_surfaces(problem, parameters, size - POSE_SIZE, self.mesh_vertices)
        objective = _JointObjective(Lineariser(problem.coarsened(self.stride), surfaces), parameters, size)
        limits = np.tile(problem.bounds.limits(size - POSE_SIZE), len(parameters))
        steps = np.tile(natural_steps(size), len(parameters))
        search = BoxSearch(limits, steps, self.first_step, self.last_step, self.max_evaluations)
        start = np.concatenate([p[:size] for p in parameters])
        outcome = search.minimise(objective, start, record, "all")
        return objective.parameters(outcome.position), outcome.reason


class _JointObjective:
    """The loss of the first `size` parameters of all vertebrae in one vector."""

    def __init__(self, losses: Lineariser, parameters: list[np.ndarray], size: int) -> None:
        self._losses, self._rest, self._size = losses, parameters, size

    def parameters(self, position: np.ndarray) -> list[np.ndarray]:
        """Parameters [6 + K] of every vertebra."""
        varying = position.reshape(len(self._rest), self._size)
        return [np.concatenate([own, rest[self._size :]]) for own, rest in zip(varying, self._rest, strict=True)]

    def __call__(self, position: np.ndarray) -> float:
        parameters = self.parameters(position)
        images = self._losses.sampled_images(parameters)
        return images + self._losses.rest(parameters, self._losses.problem.regularisation(images))


@dataclass(frozen=True)
class SearchOutcome:
    """Where a search ended.

    Args:
        position: the best parameters, inside the bounds.
        loss: their loss; infinite if no finite one was met.
        reason: why it ended.
    """

    position: np.ndarray
    loss: float
    reason: StopReason


@dataclass(frozen=True)
class BoxSearch:
    """NLopt's BOBYQA in a box around zero, in scaled variables, with its traps avoided.

    A small improvement is not a reason to stop (`ftol` stays 0): the trust radius is. The box is kept at least twice
    the step wide, the best point is remembered here because results can leave the bounds by one rounding error (nlopt
    #625), and losses that are not finite become large.

    Args:
        limits: [n] largest absolute value of each parameter.
        steps: [n] natural steps: the scales of the variables.
        first_step, last_step: trust radii in natural steps.
        max_evaluations: limit.
    """

    limits: np.ndarray
    steps: np.ndarray
    first_step: float
    last_step: float
    max_evaluations: int

    def minimise(
        self, objective: Callable[[np.ndarray], float], start: np.ndarray, record: Record, level: str
    ) -> SearchOutcome:
        """The best point met from `start`, which is clipped to the box."""
        import nlopt  # only who searches this way needs the library

        optimiser = nlopt.opt(nlopt.LN_BOBYQA, len(start))
        best = _Best(
            objective, np.clip(start, -self.limits, self.limits), self.steps, self.limits, record, optimiser.force_stop
        )
        scaled_limits = self.limits / self.steps
        optimiser.set_lower_bounds(-scaled_limits)
        optimiser.set_upper_bounds(scaled_limits)
        optimiser.set_initial_step(min(self.first_step, 0.9 * float(scaled_limits.min())))
        optimiser.set_xtol_abs(self.last_step)
        optimiser.set_maxeval(self.max_evaluations)
        optimiser.set_min_objective(best.evaluate)
        try:
            optimiser.optimize(best.position / self.steps)
            code = optimiser.last_optimize_result()
        except nlopt.RoundoffLimited:
            code = nlopt.XTOL_REACHED
        except nlopt.ForcedStop:
            code = nlopt.MAXTIME_REACHED
        record.report(level, best.loss)
        return SearchOutcome(best.position, best.loss, _reason(code, best.loss))


class _Best:
    """Evaluates scaled points and remembers the best of them."""

    def __init__(
        self,
        objective: Callable[[np.ndarray], float],
        start: np.ndarray,
        steps: np.ndarray,
        limits: np.ndarray,
        record: Record,
        stop: Callable[[], None],
    ) -> None:
        self.position, self.loss, self._stop = start, np.inf, stop
        self._objective, self._steps, self._limits, self._record = objective, steps, limits, record

    def evaluate(self, scaled: np.ndarray, _gradient: np.ndarray) -> float:
        position = np.clip(scaled * self._steps, -self._limits, self._limits)
        loss = self._objective(position)
        self._record.evaluations += 1
        if self._record.out_of_time:  # nlopt's own limit is by the wall clock
            self._stop()
        if not np.isfinite(loss):
            return _WORST
        if loss < self.loss:
            self.position, self.loss = position, loss
        return loss


def _visit(
    losses: Lineariser,
    index: int,
    stage: BlockStage,
    size: int,
    parameters: list[np.ndarray],
    lengths: list[dict[str, np.ndarray]],
    record: Record,
) -> StopReason:
    """Improves the first `size` parameters of one vertebra in place."""
    objective = BlockObjective(losses, index, parameters, lengths)
    limits = losses.problem.bounds.limits(size - POSE_SIZE)
    search = BoxSearch(limits, natural_steps(size), stage.first_step, stage.last_step, stage.max_evaluations)
    level, evaluations, seconds = losses.problem.vertebrae[index].level, record.evaluations, record.seconds
    before = objective(parameters[index][:size])
    outcome = search.minimise(objective, parameters[index][:size], record, level)
    if outcome.loss < before:
        parameters[index][:size] = outcome.position
        lengths[index] = losses.scene.path_lengths(index, parameters[index])
    best = min(outcome.loss, before)
    spent = record.evaluations - evaluations, record.seconds - seconds
    record.visited(level, LevelSearch(best, *spent, outcome.reason))
    return outcome.reason


def natural_steps(size: int) -> np.ndarray:
    """The scale [size] of each of a vertebra's first `size` parameters."""
    return np.array([*_POSE_STEP, *[_SHAPE_STEP] * (size - POSE_SIZE)])


def _reason(code: int, loss: float) -> StopReason:
    if not np.isfinite(loss):
        return StopReason.FAILED
    import nlopt

    limits = {nlopt.MAXTIME_REACHED: StopReason.TIME, nlopt.MAXEVAL_REACHED: StopReason.EVALUATIONS}
    return limits.get(code, StopReason.CONVERGED)
