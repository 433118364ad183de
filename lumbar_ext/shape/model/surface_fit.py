"""The instance of a shape model whose surface lies closest to a given surface: pose and coefficients together.

Gauss-Newton with point-to-plane distances in both directions,
`mean_i (n_i . (x_i - c_i))^2 + ridge * |b|^2 / K` with every coefficient within its limit. x_i are points of the
instance and c_i their closest points on the target, or c_i are points of the target and x_i theirs on the instance;
n_i are the target's normals. A point may therefore slide along the surface, as it may in a registration to images:
what counts is where the bone ends, not which vertex lies there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import lsq_linear

from lumbar_ext.geometry import RigidTransform, euler_rotation, fit_rigid
from lumbar_ext.mesh.surface import Surface, locate

_LARGEST_COEFFICIENT = 3.0  # standard deviations, as in a registration
_COMPATIBLE_COSINE = 0.3  # of the normals of matching points, 73 deg


@dataclass(frozen=True)
class LinearModel:
    """One level of a shape model as arrays.

    Args:
        mean_mm: [V, 3].
        modes_mm: [K, V, 3] displacement of one standard deviation of each mode.
        triangles: [M, 3].
    """

    mean_mm: np.ndarray
    modes_mm: np.ndarray
    triangles: np.ndarray

    def instance(self, b: np.ndarray) -> np.ndarray:
        """Vertices [V, 3] of coefficients [K] in standard deviations."""
        return self.mean_mm + np.tensordot(b, self.modes_mm, axes=1)


@dataclass(frozen=True)
class FitOptions:
    """Settings of `fit_to_surface`.

    Args:
        rounds: matchings.
        samples: points used in each direction.
        ridge_mm2: weight of the mean squared coefficient.
    """

    rounds: int = 8
    samples: int = 2500
    ridge_mm2: float = 0.01


@dataclass(frozen=True)
class SurfaceFit:
    """A fitted instance.

    Args:
        vertices_mm: [V, 3] in the frame of the target.
        b: [K] coefficients, standard deviations.
    """

    vertices_mm: np.ndarray
    b: np.ndarray


def fit_by_correspondence(model: LinearModel, vertices_mm: np.ndarray, rounds: int = 4) -> SurfaceFit:
    """The instance closest to corresponding vertices: pose and projection on the modes in turns.

    Args:
        model: the model, its modes orthogonal.
        vertices_mm: [V, 3] target in correspondence.
        rounds: turns.
    """
    modes = model.modes_mm.reshape(len(model.modes_mm), -1)
    variance = np.maximum((modes**2).sum(axis=1), 1e-12)
    instance, b = model.mean_mm, np.zeros(len(modes))
    for _ in range(rounds):
        model_from_target = fit_rigid(vertices_mm, instance)
        deviation = (model_from_target.apply(vertices_mm) - model.mean_mm).ravel()
        b = np.clip(modes @ deviation / variance, -_LARGEST_COEFFICIENT, _LARGEST_COEFFICIENT)
        instance = model.instance(b)
    return SurfaceFit(model_from_target.inverse().apply(instance), b)


def fit_to_surface(
    model: LinearModel, target: Surface, start: SurfaceFit, options: FitOptions | None = None
) -> SurfaceFit:
    """Improves a fit until the surfaces, not the vertices, are close.

    Args:
        model: the model.
        target: surface to fit, any frame.
        start: a first fit.
        options: settings.
    """
    options = options or FitOptions()
    b = start.b
    model_from_target = fit_rigid(start.vertices_mm, model.instance(b))
    own = np.arange(0, len(model.mean_mm), max(1, len(model.mean_mm) // options.samples))
    theirs = np.arange(0, len(target.vertices_mm), max(1, len(target.vertices_mm) // options.samples))
    for _ in range(options.rounds):
        moved = target.with_vertices(model_from_target.apply(target.vertices_mm))
        rows, residual = _equations(model, moved, b, own, theirs)
        step, b = _solve(rows, residual, b, options.ridge_mm2)
        model_from_target = step @ model_from_target
    return SurfaceFit(model_from_target.inverse().apply(model.instance(b)), b)


def _equations(
    model: LinearModel, target: Surface, b: np.ndarray, own: np.ndarray, theirs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives [R, 6 + K] and values [R] of the point-to-plane distances, instance minus target, model frame."""
    instance = Surface(model.instance(b), model.triangles)
    ahead, forth = locate(target, instance.vertices_mm[own])
    normals = _unit(forth.of(target.normals))
    facing = (normals * instance.normals[own]).sum(axis=1) > _COMPATIBLE_COSINE
    first = _rows(normals, ahead, model.modes_mm[:, own])
    first_residual = (normals * (instance.vertices_mm[own] - ahead)).sum(axis=1)
    behind, back = locate(instance, target.vertices_mm[theirs])
    met = _unit(back.of(instance.normals))
    normals = target.normals[theirs]
    meeting = (normals * met).sum(axis=1) > _COMPATIBLE_COSINE
    second = _rows(normals, target.vertices_mm[theirs], back.of(model.modes_mm))
    second_residual = (normals * (behind - target.vertices_mm[theirs])).sum(axis=1)
    rows = np.concatenate([first[facing], second[meeting]])
    return rows, np.concatenate([first_residual[facing], second_residual[meeting]])


def _rows(normals: np.ndarray, target_points: np.ndarray, modes: np.ndarray) -> np.ndarray:
    """Derivatives by a small motion of the target (rotation vector, translation) and by the coefficients."""
    rotation = -np.cross(target_points, normals)
    return np.concatenate([rotation, -normals, np.einsum("knc,nc->nk", modes, normals)], axis=1)


def _solve(
    rows: np.ndarray, residual: np.ndarray, b: np.ndarray, ridge_mm2: float
) -> tuple[RigidTransform, np.ndarray]:
    """Motion of the target and new coefficients of the bounded linear problem."""
    count = len(b)
    weight = np.sqrt(len(rows) * ridge_mm2 / max(count, 1))
    ridge = np.concatenate([np.zeros((count, 6)), weight * np.eye(count)], axis=1)
    matrix = np.concatenate([rows, ridge])
    right = np.concatenate([rows[:, 6:] @ b - residual, np.zeros(count)])
    # The triangular factor carries the same problem in 6 + K rows.
    q, r = np.linalg.qr(matrix)
    bound = np.concatenate([np.full(6, np.inf), np.full(count, _LARGEST_COEFFICIENT)])
    x = lsq_linear(r, q.T @ right, (-bound, bound)).x
    return RigidTransform(euler_rotation(*x[:3]), x[3:6]), x[6:]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
