"""Neighbouring vertebrae must not run into each other: a penalty of how deep their vertices lie inside one another.

A vertex is taken to be inside a neighbour when it lies behind the tangent plane of the neighbour's nearest vertex; its
depth is the distance to that plane. The depths enter as least squares, so Gauss-Newton follows them exactly as pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from lumbar_ext.registration.loss.tangent import point_motions, tangent_from_pose
from lumbar_ext.registration.problem import POSE_SIZE
from lumbar_ext.shape.model.level_shape import SurfaceModes

if TYPE_CHECKING:
    from lumbar_ext.registration.loss.scene import Scene


@dataclass(frozen=True)
class Contact:
    """Vertices of one vertebra that lie inside its neighbour.

    Args:
        intruder, host: indices of the two vertebrae.
        vertices: [N] of the intruder.
        nearest: [N] the host's vertex nearest to each.
        normals: [N, 3] the host's outward normals there, world.
        depth_mm: [N] positive.
    """

    intruder: int
    host: int
    vertices: np.ndarray
    nearest: np.ndarray
    normals: np.ndarray
    depth_mm: np.ndarray


def contacts(scene: Scene, parameters: list[np.ndarray]) -> list[Contact]:
    """All contacts of neighbours in a scene at parameters, a list of [6 + K] arrays."""
    starts = scene.problem.vertebrae
    own = [scene.vertices(i, p) for i, p in enumerate(parameters)]
    world = [start.world_points(p[:POSE_SIZE], v) for start, p, v in zip(starts, parameters, own, strict=True)]
    reach_mm, found = scene.problem.non_intersection.reach_mm, []
    for upper in range(len(world) - 1):
        pair = (upper, upper + 1)
        low = np.max([world[i].min(0) for i in pair], axis=0) - reach_mm
        high = np.min([world[i].max(0) for i in pair], axis=0) + reach_mm
        near = {i: np.flatnonzero(((world[i] > low) & (world[i] < high)).all(1)) for i in pair}
        for intruder, host in (pair, pair[::-1]):
            if not len(near[host]):
                continue
            tree = cKDTree(world[host][near[host]])
            distance_mm, place = tree.query(world[intruder][near[intruder]], distance_upper_bound=reach_mm)
            reached = np.isfinite(distance_mm)
            vertices, nearest = near[intruder][reached], near[host][place[reached]]
            normals = _normals(scene.surfaces[host], world[host], nearest)
            depth_mm = -((world[intruder][vertices] - world[host][nearest]) * normals).sum(1)
            inside = depth_mm > 0
            if inside.any():
                chosen = vertices[inside], nearest[inside], normals[inside], depth_mm[inside]
                found.append(Contact(intruder, host, *chosen))
    return found


def contact_penalty(scene: Scene, parameters: list[np.ndarray]) -> float:
    """What contacts add to the loss."""
    return _share(scene) * sum(float(np.square(c.depth_mm).sum()) for c in contacts(scene, parameters))


def add_contacts(
    scene: Scene, parameters: list[np.ndarray], n_modes: int, gradient: np.ndarray, hessian: np.ndarray
) -> None:
    """Adds their derivatives by the first 6 + n_modes parameters to a gradient [n, q] and Hessian [n, q, n, q]."""
    factor = 2 * _share(scene)
    for contact in contacts(scene, parameters):
        sides = ((contact.intruder, contact.vertices, -1), (contact.host, contact.nearest, 1))
        designs = {
            i: sign * _normal_motions(scene, i, parameters[i], vertices, contact.normals, n_modes)
            for i, vertices, sign in sides
        }
        for i, design in designs.items():
            gradient[i] += factor * contact.depth_mm @ design
            for j, other in designs.items():
                hessian[i, :, j] += factor * design.T @ other


def _share(scene: Scene) -> float:
    return scene.problem.non_intersection.weight / sum(len(surface.mean_mm) for surface in scene.surfaces)


def _normal_motions(
    scene: Scene, index: int, parameters: np.ndarray, vertices: np.ndarray, normals: np.ndarray, n_modes: int
) -> np.ndarray:
    """How far vertices [N] of a vertebra move along world normals [N, 3] with its parameters: [N, 6 + n_modes]."""
    surface, pose = scene.surfaces[index], scene.problem.vertebrae[index].world_from_moved(parameters[:POSE_SIZE])
    own = normals @ pose.rotation
    points = scene.vertices(index, parameters)[vertices].astype(np.float64)
    rigid = np.einsum("na,nak->nk", own, point_motions(points, np.zeros((0, len(points), 3))))
    model = np.einsum("na,nak->nk", own, surface.modes_by_vertex_mm[vertices])
    free_form = surface.fields_by_vertex_mm[vertices][:, :, None] * own[:, None, :]
    shape = np.concatenate([model, free_form.reshape(len(points), -1)], axis=1)[:, :n_modes]
    return np.concatenate([rigid @ tangent_from_pose(parameters[:POSE_SIZE]), shape], axis=1)


def _normals(surface: SurfaceModes, world_mm: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Outward unit normals [N, 3] at vertices [N] of a surface whose vertices are at world_mm [V, 3]."""
    rows = _triangles_of_vertices(surface)[vertices]
    used, columns = np.unique(rows.indices, return_inverse=True)
    corners = world_mm[surface.triangles[used]]
    vectors = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = csr_matrix((rows.data, columns, rows.indptr), shape=(len(vertices), len(used))) @ vectors
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


@lru_cache(maxsize=32)
def _triangles_of_vertices(surface: SurfaceModes) -> csr_matrix:
    """[V, M] ones where a vertex is a corner of a triangle."""
    triangles = surface.triangles
    places = triangles.ravel(), np.repeat(np.arange(len(triangles)), 3)
    return csr_matrix((np.ones(triangles.size), places), shape=(len(surface.mean_mm), len(triangles)))
