"""Overlap of closed surfaces on a voxel grid, so that results can be set beside those of voxel methods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice

from lumbar_ext.mesh.surface import Surface
from lumbar_ext.mesh.voxels import VoxelGrid, occupancy

VOXEL_MM = 1.0
"""Edge of the voxels, and the tolerance of the normalised surface distance."""
_MARGIN_VOXELS = 3  # around both meshes, so that their borders lie inside the grid


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
    grid = VoxelGrid(origin, VOXEL_MM, shape)
    solids = [occupancy(surface, grid) for surface in (found, truth)]
    ours, theirs = (torch.from_numpy(solid)[None, None] for solid in solids)
    shared = float((solids[0] & solids[1]).sum())
    settings = {"include_background": True, "spacing": VOXEL_MM}
    return VoxelScores(
        dice=2 * shared / max(float(solids[0].sum() + solids[1].sum()), 1.0),
        average_distance_mm=float(compute_average_surface_distance(ours, theirs, symmetric=True, **settings)),
        hausdorff95_mm=float(compute_hausdorff_distance(ours, theirs, percentile=95, **settings)),
        surface_dice=float(compute_surface_dice(ours, theirs, class_thresholds=[VOXEL_MM], **settings)),
    )
