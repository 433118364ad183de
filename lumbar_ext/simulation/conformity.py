"""Fits the articular surfaces of neighbours to each other, as growth and cartilage do in a living joint.

Shapes that were sampled independently do not fit: their facets overlap a little. Where vertices of a bone lie inside
its neighbour, both surfaces give way by half of the depth, together with the bone around them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.simulation.contact import ContactBody, Hits, find_hits
from lumbar_ext.simulation.solid import Solid

_JOINT_GAP_MM = 0.3
_TOLERATED_MM = 0.25
_MAX_CHANGE_MM = 2.0
_ROUNDS = 6
_SMOOTHING_MM = 2.0
_FALLOFF_MM = 3.0
_NEIGHBOURS = 8
_REGION_MARGIN_MM = 6.0


@dataclass(frozen=True)
class FittedPair:
    """Two neighbours, each in its own frame, that no longer overlap."""

    first: Solid
    second: Solid


def fitted_pair(first: Solid, second: Solid, first_from_second: RigidTransform) -> FittedPair | None:
    """Reshapes two overlapping bones.

    Args:
        first, second: the bones, each in its own frame.
        first_from_second: pose of the second in the frame of the first.

    Returns:
        The bones without overlap, or None if that takes more than a small change of shape.
    """
    originals = first, second
    second_from_first = first_from_second.inverse()
    parts = _common_region(first, second, first_from_second), _common_region(second, first, second_from_first)
    if not all(len(part) for part in parts):
        return FittedPair(first, second)
    for _ in range(_ROUNDS):
        bodies = ContactBody(first, parts[0]), ContactBody(second, parts[1])
        into_first = find_hits(*bodies, first_from_second, clearance_mm=_JOINT_GAP_MM)
        into_second = find_hits(*bodies[::-1], second_from_first, clearance_mm=_JOINT_GAP_MM)
        if max(hits.depth_mm.max(initial=0.0) for hits in (into_first, into_second)) <= _TOLERATED_MM:
            return FittedPair(first, second)
        first = _yielded(first, into_second, first_from_second.rotation)
        second = _yielded(second, into_first, second_from_first.rotation)
        changes = (
            np.abs(new.vertices_mm - old.vertices_mm).max() for new, old in zip((first, second), originals, strict=True)
        )
        if max(changes) > _MAX_CHANGE_MM:
            return None
    return None


def _common_region(solid: Solid, other: Solid, own_from_other: RigidTransform) -> np.ndarray:
    """Indices of the vertices in or near the box that both bones share."""
    corners = own_from_other.apply(other.vertices_mm)
    low, high = corners.min(0) - _REGION_MARGIN_MM, corners.max(0) + _REGION_MARGIN_MM
    return np.flatnonzero(((solid.vertices_mm > low) & (solid.vertices_mm < high)).all(1))


def _yielded(solid: Solid, hits: Hits, own_from_other: np.ndarray) -> Solid:
    """The mesh with its hit vertices moved out by half of their depths, smoothed, and the surroundings drawn along."""
    if len(hits.index) == 0:
        return solid
    push = hits.depth_mm[:, None] / 2 * hits.normals @ own_from_other.T
    hit = solid.vertices_mm[hits.index]
    reach = 2 * _FALLOFF_MM
    near = np.flatnonzero(((solid.vertices_mm > hit.min(0) - reach) & (solid.vertices_mm < hit.max(0) + reach)).all(1))
    count = min(_NEIGHBOURS, len(hit))
    distance, nearest = cKDTree(hit).query(solid.vertices_mm[near], k=count)
    distance, nearest = distance.reshape(len(near), count), nearest.reshape(len(near), count)
    weights = np.exp(-(distance**2 - distance[:, :1] ** 2) / (2 * _SMOOTHING_MM**2))
    mean_push = (weights[..., None] * push[nearest]).sum(1) / weights.sum(1, keepdims=True)
    vertices = solid.vertices_mm.copy()
    vertices[near] += np.exp(-((distance[:, :1] / _FALLOFF_MM) ** 2)) * mean_push
    return solid.with_vertices(vertices)
