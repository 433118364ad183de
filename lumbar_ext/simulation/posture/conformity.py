"""Fits the articular surfaces of neighbours to each other, as growth and cartilage do in a living joint.

Shapes that were sampled independently do not fit: their facets overlap a little. Where vertices of a bone lie inside
its neighbour, both surfaces give way, together with the bone around them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.compiled import compiled
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.simulation.bones.contact import ContactBody, Hits, bounds, find_hits

_JOINT_GAP_MM = 0.3  # of cartilage that is left between articular processes
_TOLERATED_MM = 0.25  # of overlap: below the meshes' edges by far
_ROUNDS = 6  # of pushing both bones apart
_SMOOTHING_MM = 2.0  # of the weights with which a vertex follows hits around it
_FALLOFF_MM = 3.5  # of a push beside its hit
_REGION_MARGIN_MM = 6.0  # around the overlap of both boxes: what can be pushed


@dataclass(frozen=True)
class Compliance:
    """How readily the surface of a bone gives way to a neighbour's.

    Args:
        weight: two neighbours share an overlap in proportion to their weights.
        max_change_mm: greatest change along an axis.
    """

    weight: float = 1.0
    max_change_mm: float = 2.0


@dataclass(frozen=True)
class FittedPair:
    """Two neighbours, each in its own frame, that no longer overlap."""

    first: Surface
    second: Surface


def fitted_pair(
    first: Surface,
    second: Surface,
    first_from_second: RigidTransform,
    compliances: tuple[Compliance, Compliance] = (Compliance(), Compliance()),
) -> FittedPair | None:
    """Reshapes two overlapping bones.

    Args:
        first, second: the bones, each in its own frame.
        first_from_second: pose of the second in the frame of the first.
        compliances: of the first and the second.

    Returns:
        The bones without overlap, or None if that takes more change than they may take.
    """
    originals = first.vertices_mm, second.vertices_mm
    second_from_first = first_from_second.inverse()
    parts = _common_region(first, second, first_from_second), _common_region(second, first, second_from_first)
    if not all(len(part) for part in parts):
        return FittedPair(first, second)
    share = compliances[0].weight / (compliances[0].weight + compliances[1].weight)
    for _ in range(_ROUNDS):
        bodies = ContactBody(first, parts[0]), ContactBody(second, parts[1])
        into_first = find_hits(*bodies, first_from_second, clearance_mm=_JOINT_GAP_MM)
        into_second = find_hits(*bodies[::-1], second_from_first, clearance_mm=_JOINT_GAP_MM)
        if max(hits.depth_mm.max(initial=0.0) for hits in (into_first, into_second)) <= _TOLERATED_MM:
            return FittedPair(first, second)
        first = _yielded(first, into_second, first_from_second.rotation, share)
        second = _yielded(second, into_first, second_from_first.rotation, 1 - share)
        if _largest_change_mm(first.vertices_mm, originals[0]) > compliances[0].max_change_mm:
            return None
        if _largest_change_mm(second.vertices_mm, originals[1]) > compliances[1].max_change_mm:
            return None
    return None


def _common_region(solid: Surface, other: Surface, own_from_other: RigidTransform) -> np.ndarray:
    """Indices of the vertices in or near the box that both bones share."""
    low, high = bounds(other.vertices_mm, own_from_other.rotation, own_from_other.translation_mm)
    return _within(solid.vertices_mm, low - _REGION_MARGIN_MM, high + _REGION_MARGIN_MM)


def _yielded(solid: Surface, hits: Hits, own_from_other: np.ndarray, share: float) -> Surface:
    """The mesh with its hit vertices moved out by a share of their depths, smoothed, and the surroundings drawn along."""
    if len(hits.index) == 0 or share == 0.0:
        return solid
    push = share * hits.depth_mm[:, None] * (hits.normals @ own_from_other.T)
    return solid.with_vertices(_drawn_along(solid.vertices_mm, hits.index, push))


@compiled()
def _within(vertices_mm, low_mm, high_mm):
    """Indices of the vertices [V, 3] inside a box."""
    index = np.empty(vertices_mm.shape[0], np.int64)
    found = 0
    for i in range(vertices_mm.shape[0]):
        # Height first: neighbours lie above each other, so it discards most vertices.
        if low_mm[2] < vertices_mm[i, 2] < high_mm[2] and low_mm[0] < vertices_mm[i, 0] < high_mm[0]:
            if low_mm[1] < vertices_mm[i, 1] < high_mm[1]:
                index[found] = i
                found += 1
    return index[:found]


@compiled()
def _largest_change_mm(new_mm, old_mm):
    """Greatest absolute difference of two vertex arrays [V, 3]."""
    largest = 0.0
    for i in range(new_mm.shape[0]):
        for axis in range(3):
            largest = max(largest, abs(new_mm[i, axis] - old_mm[i, axis]))
    return largest


@compiled()
def _drawn_along(vertices_mm, hit, push_mm):
    """Vertices [V, 3] of which some, `hit` [N], are pushed [N, 3]: a smooth field that falls off with the distance."""
    reach = 2 * _FALLOFF_MM
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for n in range(hit.shape[0]):
        for axis in range(3):
            low[axis] = min(low[axis], vertices_mm[hit[n], axis] - reach)
            high[axis] = max(high[axis], vertices_mm[hit[n], axis] + reach)
    moved = vertices_mm.copy()
    squared = np.empty(hit.shape[0])
    for i in range(vertices_mm.shape[0]):
        x, y, z = vertices_mm[i, 0], vertices_mm[i, 1], vertices_mm[i, 2]
        if not (low[2] < z < high[2] and low[1] < y < high[1] and low[0] < x < high[0]):
            continue
        nearest = np.inf
        for n in range(hit.shape[0]):
            j = hit[n]
            dx, dy, dz = x - vertices_mm[j, 0], y - vertices_mm[j, 1], z - vertices_mm[j, 2]
            squared[n] = dx * dx + dy * dy + dz * dz
            nearest = min(nearest, squared[n])
        if nearest >= reach * reach:
            continue
        total, mx, my, mz = 0.0, 0.0, 0.0, 0.0
        for n in range(hit.shape[0]):
            excess = (squared[n] - nearest) / (2 * _SMOOTHING_MM * _SMOOTHING_MM)
            if excess < 8.0:
                weight = np.exp(-excess)
                total += weight
                mx += weight * push_mm[n, 0]
                my += weight * push_mm[n, 1]
                mz += weight * push_mm[n, 2]
        scale = np.exp(-nearest / (_FALLOFF_MM * _FALLOFF_MM)) / total
        moved[i, 0] += scale * mx
        moved[i, 1] += scale * my
        moved[i, 2] += scale * mz
    return moved
