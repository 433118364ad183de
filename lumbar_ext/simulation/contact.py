"""Contact between neighbouring bones: how deep they overlap, and the shift that parts them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from lumbar_ext.simulation.solid import Solid

_MAX_SEARCH_MM = 5.0


@dataclass(frozen=True)
class Contact:
    """The overlap of two bones.

    Args:
        depth_mm: greatest depth of a vertex of one inside the other, or nearer than the clearance asked for; 0 if apart.
        shift_mm: [3] a translation of the first bone that reduces the overlap.
    """

    depth_mm: float
    shift_mm: np.ndarray


def find_contact(first: Solid, second: Solid, *, clearance_mm: float = 0.0) -> Contact:
    """Measures the overlap of two neighbours by the signed distance of each one's vertices from the other's nearest vertex.

    Args:
        first, second: meshes in one frame, with vertices dense against the depth looked for.
        clearance_mm: gap below which they count as touching.
    """
    low = np.maximum(first.vertices_mm.min(0), second.vertices_mm.min(0)) - clearance_mm
    high = np.minimum(first.vertices_mm.max(0), second.vertices_mm.max(0)) + clearance_mm
    if (low >= high).any():
        return Contact(0.0, np.zeros(3))
    # Only vertices in the common box can be hit, but the surface that decides may lie a search radius outside.
    candidates = [_inside(solid, low, high) for solid in (first, second)]
    targets = [_inside(solid, low - _MAX_SEARCH_MM, high + _MAX_SEARCH_MM) for solid in (first, second)]
    one = _directed(first, candidates[0], second, targets[1], clearance_mm)
    two = _directed(second, candidates[1], first, targets[0], clearance_mm)
    # Normals point out of the bone that is hit: the second's push the first away, the first's pull it back.
    push = one.depth_mm[:, None] * one.normals
    pull = -two.depth_mm[:, None] * two.normals
    depths = np.concatenate([one.depth_mm, two.depth_mm])
    if len(depths) == 0:
        return Contact(0.0, np.zeros(3))
    mean_direction = np.concatenate([push, pull]).sum(0) / depths.sum()
    return Contact(float(depths.max()), mean_direction * float(depths.max()))


def _inside(solid: Solid, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Indices of the vertices in a box."""
    return np.flatnonzero(((solid.vertices_mm > low) & (solid.vertices_mm < high)).all(1))


@dataclass(frozen=True)
class _Overlap:
    """Vertices [N] of a bone below the surface of another: depth, and that surface's normals [N, 3]."""

    depth_mm: np.ndarray
    normals: np.ndarray


def _directed(points: Solid, use_points: np.ndarray, target: Solid, use_target: np.ndarray, clearance_mm: float) -> _Overlap:
    if len(use_points) == 0 or len(use_target) == 0:
        return _Overlap(np.zeros(0), np.zeros((0, 3)))
    surface, normals = target.vertices_mm[use_target], target.normals[use_target]
    candidates = points.vertices_mm[use_points]
    distance, index = cKDTree(surface).query(candidates, distance_upper_bound=_MAX_SEARCH_MM)
    found = np.isfinite(distance)
    index = index[found]
    signed = ((candidates[found] - surface[index]) * normals[index]).sum(1)
    # Beside a sharp rim the nearest vertex may face away: only a vertex in front of or behind the surface counts.
    aligned = np.abs(signed) > 0.5 * distance[found]
    hit = (signed < clearance_mm) & (aligned | (distance[found] < clearance_mm))
    return _Overlap(clearance_mm - signed[hit], normals[index[hit]])
