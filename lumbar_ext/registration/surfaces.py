"""The surfaces a stage of a registration renders: full or coarse, with the modes it needs."""

from __future__ import annotations

import numpy as np

from lumbar_ext.registration.coarse_mesh import CoarseMesh
from lumbar_ext.registration.level_shape import SurfaceModes
from lumbar_ext.registration.problem import POSE_SIZE, RegistrationProblem


def stage_surfaces(
    problem: RegistrationProblem, parameters: list[np.ndarray], n_modes: int, mesh_vertices: int | None
) -> tuple[SurfaceModes, ...]:
    """For each vertebra a surface with the first modes: `n_modes`, or more where later coefficients are not zero.

    Args:
        problem: the problem.
        parameters: [6 + K] of every vertebra.
        n_modes: coefficients that vary.
        mesh_vertices: vertices of the coarse mesh, None for the full one.
    """
    used = max(_last_used(p[POSE_SIZE:]) for p in parameters)
    surfaces = tuple(start.shape.surface.truncated(max(n_modes, used)) for start in problem.vertebrae)
    if mesh_vertices is None or mesh_vertices >= len(surfaces[0].mean_mm):
        return surfaces
    coarse = CoarseMesh.of(surfaces[0].mean_mm, surfaces[0].triangles, mesh_vertices)
    return tuple(surface.reduced(coarse) for surface in surfaces)


def _last_used(coefficients: np.ndarray) -> int:
    """One more than the index of the last coefficient that is not zero."""
    used = np.flatnonzero(coefficients)
    return int(used[-1]) + 1 if len(used) else 0
