"""Rigid registration: the subject's own meshes take the place of the shape model, and only their poses are searched.

This is how Yu et al. (arXiv 2503.14573) made their gold standard: meshes of the subject's CT, put pose by pose where both
radiographs show them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.material_points import MaterialPoints
from lumbar_ext.registration.config import RegistrationConfig
from lumbar_ext.registration.initial_pose import initial_poses
from lumbar_ext.registration.register import RegistrationInput, build_problem
from lumbar_ext.registration.result import RegistrationResult
from lumbar_ext.registration.search.gauss_newton import GaussNewton, GaussNewtonStage, Varying
from lumbar_ext.registration.search.record import ReportProgress
from lumbar_ext.registration.terms.images import ImageTerm
from lumbar_ext.registration.terms.shape_prior import ShapePriorTerm
from lumbar_ext.registration.terms.similarity import Huber
from lumbar_ext.registration.terms.view_fields import ViewFields
from lumbar_ext.shape.model.frame import world_from_vertebra
from lumbar_ext.shape.model.level_shape import LevelShape, SurfaceModes

RIGID_STAGES = (
    GaussNewtonStage(4, None, Varying.POSE, 15, 0.3),
    GaussNewtonStage(2, None, Varying.POSE, 10, 0.1),
    GaussNewtonStage(1, None, Varying.POSE, 20, 0.01),
)


@dataclass(frozen=True)
class SubjectVertebra:
    """A vertebra of the subject, from CT.

    Args:
        vertices_mm: [V, 3] in any frame of the right handedness.
        triangles: [M, 3], closed, counter-clockwise seen from outside.
        landmarks_mm: [7, 3] in the same frame, in the order of `anatomy.LANDMARKS`.
    """

    vertices_mm: np.ndarray
    triangles: np.ndarray
    landmarks_mm: np.ndarray

    def __post_init__(self) -> None:
        if not (np.isfinite(self.vertices_mm).all() and np.isfinite(self.landmarks_mm).all()):
            raise InputError("a vertebra of the subject holds vertices or landmarks that are not finite")

    @property
    def ct_from_vertebra(self) -> RigidTransform:
        """Where its vertebra frame lies in the frame of its vertices."""
        return world_from_vertebra(self.landmarks_mm)

    def shape(self) -> LevelShape:
        """It as a shape model without modes, in its vertebra frame."""
        vertebra_from_ct = self.ct_from_vertebra.inverse()
        vertices = vertebra_from_ct.apply(self.vertices_mm)
        surface = SurfaceModes(
            vertices.astype(np.float32),
            np.zeros((0, vertices.size), np.float32),
            np.ascontiguousarray(self.triangles, dtype=np.int32),
        )
        return LevelShape(surface, _as_mixtures(vertices, vertebra_from_ct.apply(self.landmarks_mm)))


def rigid_config() -> RegistrationConfig:
    """The recommended rigid registration: down to full resolution, since no shape absorbs what is left."""
    return RegistrationConfig(
        optimiser=GaussNewton(RIGID_STAGES, restart_after=1),
        images=ImageTerm(Huber(), ViewFields()),
        shape_prior=ShapePriorTerm(),
        free_form=None,
    )


def register_rigidly(
    inputs: RegistrationInput,
    vertebrae: Mapping[str, SubjectVertebra],
    config: RegistrationConfig | None = None,
    *,
    progress: ReportProgress | None = None,
    max_seconds: float | None = None,
    start_offsets: Mapping[str, np.ndarray] | None = None,
) -> RegistrationResult:
    """Puts the subject's own vertebrae where both views show them.

    Args:
        inputs: images, cameras and landmarks of a study.
        vertebrae: by level; levels without one are left out.
        config: the parts, `rigid_config()` when omitted.
        progress: called with (level, evaluations, loss).
        max_seconds: limit of the search.
        start_offsets: by level, pose parameters [6] to start from within the bounds, for studies of repeatability.

    Raises:
        InputError: if no level has both a mesh and landmarks in both views.
    """
    config = config or rigid_config()
    present = inputs.landmarks3d.present & np.array([level in vertebrae for level in LEVELS])
    if not present.any():
        raise InputError(
            f"no level has both a mesh (found {sorted(vertebrae)}) and landmarks in both views "
            f"(found {list(inputs.landmarks3d.present_levels)})"
        )
    inputs = replace(inputs, landmarks3d=replace(inputs.landmarks3d, present=present))
    own = {level: vertebrae[level].shape() for level in LEVELS if level in vertebrae}
    some = next(iter(own.values()))
    shapes = tuple(own.get(level, some) for level in LEVELS)  # a level that is not present is never looked at
    problem = build_problem(inputs, shapes, initial_poses(inputs.landmarks3d, shapes, config.initial_pose), config)
    offsets = start_offsets or {}
    moved = [replace(start, pose=offsets.get(start.level, start.pose)) for start in problem.vertebrae]
    return config.optimiser.run(replace(problem, vertebrae=tuple(moved)), progress, max_seconds)


def _as_mixtures(vertices: np.ndarray, points: np.ndarray) -> MaterialPoints:
    """Points [7, 3] as mixtures of four far vertices: exact wherever they lie, also inside the bone."""
    corners = [int(np.argmax(vertices @ axis)) for axis in ((1, 0, -1), (-1, 0, -1), (0, 1, 0.5), (0, -1, 1))]
    system = np.concatenate([vertices[corners].T, np.ones((1, 4))])
    weights = np.linalg.solve(system, np.concatenate([points.T, np.ones((1, len(points)))])).T
    return MaterialPoints(np.tile(corners, (len(points), 1)), weights)
