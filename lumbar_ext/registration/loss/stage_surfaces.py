"""The surfaces a stage of a registration renders: full or coarse, with the modes it needs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lumbar_ext.mesh.coarse_mesh import CoarseMesh
from lumbar_ext.registration.parameters import POSE_SIZE
from lumbar_ext.registration.problem import RegistrationProblem
from lumbar_ext.shape.model.level_shape import SurfaceModes


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
    used = max(n_modes, *(_last_used(p[POSE_SIZE:]) for p in parameters))
    full = [start.shape.surface for start in problem.vertebrae]
    if mesh_vertices is not None and mesh_vertices < max(len(surface.mean_mm) for surface in full):
        full = [_coarse(own, full[0] if own.triangles is full[0].triangles else own, mesh_vertices) for own in full]
    return tuple(surface.truncated(used) for surface in full)


@lru_cache(maxsize=32)
def _coarse(surface: SurfaceModes, grouped_like: SurfaceModes, n_vertices: int) -> SurfaceModes:
    return surface.reduced(_groups(grouped_like, n_vertices))


@lru_cache(maxsize=8)
def _groups(surface: SurfaceModes, n_vertices: int) -> CoarseMesh:
    return CoarseMesh.of(surface.mean_mm, surface.triangles, n_vertices)


def _last_used(coefficients: np.ndarray) -> int:
    """One more than the index of the last coefficient that is not zero."""
    used = np.flatnonzero(coefficients)
    return int(used[-1]) + 1 if len(used) else 0
