"""Overlap of closed surfaces on a voxel grid, so that results can be set beside those of voxel methods."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice

from lumbar_ext.mesh.surface import Surface

VOXEL_MM = 1.0
"""Edge of the voxels, and the tolerance of the normalised surface distance."""
_MARGIN_VOXELS = 3


@dataclass(frozen=True)
class VoxelScores:
    """How well two solids agree on the voxel grid.

    Args:
        dice: overlap, 1 for equal solids.
        average_distance_mm: mean distance of the boundary voxels, both ways.
        hausdorff95_mm: 95th percentile of the distance of the boundary voxels, the larger of both ways.
        surface_dice: part of the boundary voxels within a voxel of the other boundary (normalised surface distance).
    """

    dice: float
    average_distance_mm: float
    hausdorff95_mm: float
    surface_dice: float


def voxel_scores(found: Surface, truth: Surface) -> VoxelScores:
    """Compares two closed surfaces, both in the same frame, mm."""
    both = np.concatenate([found.vertices_mm, truth.vertices_mm])
    origin = np.floor(both.min(0) / VOXEL_MM - _MARGIN_VOXELS) * VOXEL_MM
    shape = tuple(np.ceil((both.max(0) - origin) / VOXEL_MM).astype(int) + _MARGIN_VOXELS)
    solids = [occupancy(surface, origin, shape) for surface in (found, truth)]
    ours, theirs = (torch.from_numpy(solid)[None, None] for solid in solids)
    shared = float((solids[0] & solids[1]).sum())
    settings = {"include_background": True, "spacing": VOXEL_MM}
    return VoxelScores(
        dice=2 * shared / max(float(solids[0].sum() + solids[1].sum()), 1.0),
        average_distance_mm=float(compute_average_surface_distance(ours, theirs, symmetric=True, **settings)),
        hausdorff95_mm=float(compute_hausdorff_distance(ours, theirs, percentile=95, **settings)),
        surface_dice=float(compute_surface_dice(ours, theirs, class_thresholds=[VOXEL_MM], **settings)),
    )


def occupancy(surface: Surface, origin_mm: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The voxels [x, y, z] bool whose centres lie inside a closed surface.

    Args:
        surface: closed, mm.
        origin_mm: [3] centre of the first voxel.
        shape: number of voxels.
    """
    crossings = np.zeros((*shape[:2], shape[2] + 1), dtype=np.int32)
    _add_crossings((surface.vertices_mm - origin_mm) / VOXEL_MM, surface.triangles, crossings)
    return np.cumsum(crossings, axis=2)[..., :-1] > 0


@numba.njit(nogil=True, cache=True)
def _add_crossings(vertices, triangles, crossings):
    """Adds, to each column of voxels, +1 where a line upward enters the solid and -1 where it leaves.

    Args:
        vertices: [V, 3] in voxels.
        triangles: [M, 3] counter-clockwise seen from outside.
        crossings: [X, Y, Z + 1], added to.
    """
    columns, rows, levels = crossings.shape
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        xa, ya, xb, yb, xc, yc = (
            vertices[a, 0],
            vertices[a, 1],
            vertices[b, 0],
            vertices[b, 1],
            vertices[c, 0],
            vertices[c, 1],
        )
        area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
        if area == 0.0:
            continue
        step = -1 if area > 0.0 else 1
        for y in range(max(0, math.ceil(min(ya, yb, yc))), min(rows, math.ceil(max(ya, yb, yc)))):
            # Half-open in y and x from numbers that neighbouring triangles share: every column is crossed once.
            low, high = np.inf, -np.inf
            for x0, y0, x1, y1 in ((xa, ya, xb, yb), (xb, yb, xc, yc), (xc, yc, xa, ya)):
                if y1 < y0:
                    x0, y0, x1, y1 = x1, y1, x0, y0
                if y0 <= y < y1:
                    x = x0 + (y - y0) / (y1 - y0) * (x1 - x0)
                    low, high = min(low, x), max(high, x)
            if low > high:
                continue
            for x in range(max(0, math.ceil(low)), min(columns, math.ceil(high))):
                share_b = ((x - xa) * (yc - ya) - (xc - xa) * (y - ya)) / area
                share_c = ((xb - xa) * (y - ya) - (x - xa) * (yb - ya)) / area
                z = vertices[a, 2] + share_b * (vertices[b, 2] - vertices[a, 2])
                z += share_c * (vertices[c, 2] - vertices[a, 2])
                crossings[x, y, min(max(math.ceil(z), 0), levels - 1)] += step
