"""From the parameters a search ended with to its result, and what speaks against trusting it."""

from __future__ import annotations

import logging

import numpy as np

from lumbar_ext.registration.loss.linearisation import SceneLoss
from lumbar_ext.registration.loss.scene import Scene
from lumbar_ext.registration.parameters import POSE_NAMES, POSE_SIZE, Bounds
from lumbar_ext.registration.problem import RegistrationProblem
from lumbar_ext.registration.result import DEEP_MM, LevelSearch, RegistrationResult, StopReason, VertebraFit
from lumbar_ext.registration.search.record import Record
from lumbar_ext.registration.terms.contacts import contacts

_LOG = logging.getLogger(__name__)
_SUSPICIOUS_RATIO = 1.8  # of a vertebra's error to the median of its spine
_SUSPICIOUS_ERROR = 0.015
"""A vertebra whose silhouette fits this many times worse than the median one, and worse than this pixel value, is not
where it should be: failed searches swap rotation for shape and leave it in the vertebra's own residual."""
_HOPELESS_ERROR = 0.15
"""A pixel error that no vertebra near its place leaves: those of the network's decompositions stay below 0.1."""
_REACH_MM = 6.0
"""How deep vertices inside a neighbour are looked for."""
_BLANK_RANGE = 0.02
"""A picture whose values differ by less holds no bone."""


def suspicious(errors: list[dict[str, float]]) -> list[bool]:
    """Which vertebrae fit much worse than the others, or badly, by their `Scene.silhouette_errors`."""
    own = np.array([np.mean(list(error.values())) for error in errors])
    if not np.isfinite(own).any():
        return [True] * len(own)
    limit = min(max(_SUSPICIOUS_RATIO * float(np.nanmedian(own)), _SUSPICIOUS_ERROR), _HOPELESS_ERROR)
    return [not error <= limit for error in own]


def assembled_result(
    problem: RegistrationProblem,
    scene: Scene,
    start: list[np.ndarray],
    parameters: list[np.ndarray],
    losses: tuple[SceneLoss, SceneLoss],
    record: Record,
    reason: StopReason,
) -> RegistrationResult:
    """The result of a search.

    Args:
        problem: what was searched.
        scene: it at full resolution.
        start, parameters: [6 + K] of every vertebra before and after.
        losses: before and after, with the same regularisation.
        record: of the search.
        reason: why it ended.
    """
    seconds = record.seconds
    initial_loss, loss = losses
    before, after = scene.silhouette_errors(start), scene.silhouette_errors(parameters)
    doubts = suspicious(after)
    touched = contacts([own.triangles for own in scene.surfaces], scene.at(parameters).world_mm, _REACH_MM)
    fits = {}
    for i, vertebra in enumerate(problem.vertebrae):
        depths = np.concatenate([[0.0], *(contact.depth_mm for contact in touched if contact.intruder == i)])
        pose = vertebra.world_from_moved(parameters[i][:POSE_SIZE])
        model, free_form = np.split(parameters[i][POSE_SIZE:], [vertebra.shape.n_model_modes])
        fits[vertebra.level] = VertebraFit(
            level=vertebra.level,
            pose=parameters[i][:POSE_SIZE],
            coefficients=model,
            free_form=free_form,
            world_from_vertebra=pose,
            vertices_mm=pose.apply(vertebra.shape.surface.instance(parameters[i][POSE_SIZE:])),
            loss=after[i],
            initial_loss=before[i],
            search=record.levels.get(vertebra.level, LevelSearch(loss.total, record.evaluations, seconds, reason)),
            shape=vertebra.shape,
            warnings=_warnings(parameters[i], problem.bounds, doubts[i], after[i], pose.rotation[1, 1]),
            vertices_inside=int((depths > 0).sum()),
            vertices_deep=int((depths > DEEP_MM).sum()),
            deepest_mm=float(depths.max()),
            motions=vertebra.motions,
        )
    return RegistrationResult(
        vertebrae=fits,
        loss=loss.total,
        loss_per_view=loss.per_view,
        initial_loss=initial_loss.total,
        evaluations=record.evaluations,
        seconds=seconds,
        stop_reason=reason,
        history=tuple(record.history),
        curvature=record.curvature,
        warnings=_all_warnings(fits, reason, record, blank_views(scene)),
    )


def _warnings(
    parameters: np.ndarray, bounds: Bounds, doubtful: bool, error: dict[str, float], left_y: float
) -> tuple[str, ...]:
    """What speaks against one vertebra; `left_y` is the world's Y (left) of its own y axis."""
    found = []
    if doubtful:
        views = ", ".join(f"{name} {value:.3f}" for name, value in error.items())
        found.append(f"fits the decompositions badly (mean absolute error {views})")
    if left_y < 0:
        found.append("its left side lies to the person's right: are sides of a view swapped?")
    at_bound = bounds.reached(parameters[:POSE_SIZE])
    if at_bound.any():
        names = np.array(POSE_NAMES)[at_bound]
        found.append(f"stands on the bounds of its pose ({', '.join(names)})")
    return tuple(found)


def blank_views(scene: Scene) -> list[str]:
    """Doubts about targets that are the same everywhere."""
    return [
        f"there is nothing in the decompositions to register to: the {name} view is {float(target.image.flat[0]):.3g} "
        "everywhere"
        for name, target in scene.targets.items()
        if np.ptp(target.image) < _BLANK_RANGE
    ]


def _all_warnings(
    fits: dict[str, VertebraFit], reason: StopReason, record: Record, doubts: list[str]
) -> tuple[str, ...]:
    found = doubts + [f"{level}: {text}" for level, fit in fits.items() for text in fit.warnings]
    if reason is StopReason.TIME:
        found.insert(
            0,
            f"the registration was cut off by its time limit of {record.limit_seconds:g} s after {record.evaluations} "
            "evaluations; the best found so far is returned",
        )
    for text in found:
        _LOG.warning(text)
    return tuple(found)
