"""What a registration returns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.self_intersection import self_intersections
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.model.level_shape import LevelShape


class StopReason(StrEnum):
    """Why an optimiser stopped; the value is the phrase that files and reports show."""

    CONVERGED = "converged"
    STALLED = "no better step found"
    ITERATIONS = "iteration limit reached"
    EVALUATIONS = "evaluation limit reached"
    TIME = "time limit reached"
    FAILED = "no finite loss"


@dataclass(frozen=True)
class LevelSearch:
    """How the search for one vertebra went; of a joint search, that of all of them.

    Args:
        loss: the loss of the problem when it ended, at the resolution of its last stage.
        evaluations: of the loss or of its derivative.
        seconds: wall-clock.
        stop_reason: why its last visit ended.
    """

    loss: float
    evaluations: int
    seconds: float
    stop_reason: StopReason


DEEP_MM = 0.5
"""Deeper than this no vertex may lie inside a neighbour: true ones touch by 0.15 mm at most."""


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
        search: evaluations, seconds and stop reason.
        shape: the shapes that `coefficients` and `free_form` choose from.
        warnings: why it should not be trusted, in words; empty if nothing speaks against it.
        vertices_inside: its vertices that lie inside a neighbour.
        vertices_deep: those of them that lie deeper than `DEEP_MM`.
        deepest_mm: how deep the deepest of them lies.
        motions: by view, the motion of the world that takes it to where it stood when that view was exposed; none for views
            that show it where it is.
    """

    level: str
    pose: np.ndarray
    coefficients: np.ndarray
    free_form: np.ndarray
    world_from_vertebra: RigidTransform
    vertices_mm: np.ndarray
    loss: dict[str, float]
    initial_loss: dict[str, float]
    search: LevelSearch
    shape: LevelShape
    warnings: tuple[str, ...] = ()
    vertices_inside: int = 0
    vertices_deep: int = 0
    deepest_mm: float = 0.0
    motions: dict[str, RigidTransform] = field(default_factory=dict)

    def seen_mm(self, view: str) -> np.ndarray:
        """[V, 3] its vertices as a view shows them, world mm."""
        return self.motions[view].apply(self.vertices_mm) if view in self.motions else self.vertices_mm

    @cached_property
    def crossing_triangles(self) -> int:
        """Triangles of its mesh that cross another one of it; counted when first asked for."""
        return self_intersections(Surface(self.vertices_mm, self.shape.surface.triangles))

    @property
    def contact_doubts(self) -> tuple[str, ...]:
        """What no real vertebra does, in words: to lie deep inside a neighbour, or to cross itself."""
        found = []
        if self.vertices_deep:
            found.append(
                f"{self.vertices_deep} of its vertices lie deeper than {DEEP_MM:g} mm inside a neighbour, "
                f"{self.deepest_mm:.1f} mm at most"
            )
        if self.crossing_triangles:
            found.append(f"{self.crossing_triangles} triangles of its mesh cross others of it")
        return tuple(found)


@dataclass(frozen=True)
class Curvature:
    """How steeply the loss rises around the end of a registration.

    Args:
        hessian: [n, q, n, q] second derivatives by the first q parameters (pose, then coefficients) of the n vertebrae.
        prior: the second derivative of the shape prior alone by one coefficient. As that prior stands for a standard
            deviation of one, `prior * inverse(hessian)` is the covariance of the parameters.
    """

    hessian: np.ndarray
    prior: float


@dataclass(frozen=True)
class HistoryEntry:
    """A point of the way: after so many evaluations the best loss was this."""

    evaluations: int
    loss: float


@dataclass(frozen=True)
class Look:
    """What a second look changed (`lumbar_ext.workflow.second_look`).

    Args:
        seconds: wall-clock of its registration.
        moved_mm: by level, how far the vertices of a vertebra moved on average.
        fit: by level and view, the mean absolute difference of its picture from the one that the look asked for, over
            its final silhouette.
    """

    seconds: float
    moved_mm: dict[str, float]
    fit: dict[str, dict[str, float]]


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
        curvature: of the loss, near the end; None from an optimiser without derivatives.
        warnings: what its user should know of it, such as a time limit that cut it off; those of the vertebrae included.
        looks: the second looks that led to it; none for a first pass.
        camera_motions: by view, how the camera was moved in the room against the stated one; empty where they were believed.
    """

    vertebrae: dict[str, VertebraFit]
    loss: float
    loss_per_view: dict[str, float]
    initial_loss: float
    evaluations: int
    seconds: float
    stop_reason: StopReason
    history: tuple[HistoryEntry, ...]
    curvature: Curvature | None = None
    warnings: tuple[str, ...] = ()
    looks: tuple[Look, ...] = ()
    camera_motions: dict[str, RigidTransform] = field(default_factory=dict)

    def following(self, before: RegistrationResult) -> RegistrationResult:
        """This result as the end of a longer registration, which came through `before`: initial losses are those of the
        very start, and evaluations, seconds and history those of the whole way.
        """
        vertebrae = {
            level: replace(fit, initial_loss=before.vertebrae.get(level, fit).initial_loss)
            for level, fit in self.vertebrae.items()
        }
        return replace(
            self,
            vertebrae=vertebrae,
            initial_loss=before.initial_loss,
            evaluations=before.evaluations + self.evaluations,
            seconds=before.seconds + self.seconds,
            history=before.history + self.history,
        )

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the registered levels, from the top."""
        return tuple(self.vertebrae)

    @property
    def missing_levels(self) -> tuple[str, ...]:
        """Levels that were not registered: a view shows too few of their landmarks, or they start outside an image."""
        return tuple(level for level in LEVELS if level not in self.vertebrae)
