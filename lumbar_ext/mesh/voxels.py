"""Closed meshes on voxels: how much of every voxel one fills, and which voxels' centres lie inside.

Each voxel is pierced by a few lines along the last axis of the grid; along a line the surface is met at exact heights. Where
a line leaves the solid, everything below is filled; where it enters, everything below is emptied again. As in
`drr.rasteriser`, neighbouring triangles share their edges to the last bit, so no line leaks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lumbar_ext.compiled import compiled
from lumbar_ext.mesh.surface import Surface

LINES = 3
"""Lines through a voxel along each of the first two axes."""


@dataclass(frozen=True)
class VoxelGrid:
    """Cubic voxels along the axes of the world.

    Args:
        origin_mm: [3] centre of the first voxel, world frame.
        voxel_mm: edge of a voxel.
        shape: voxels along X, Y, Z.
    """

    origin_mm: np.ndarray
    voxel_mm: float
    shape: tuple[int, int, int]

    @classmethod
    def around(cls, low_mm: np.ndarray, high_mm: np.ndarray, voxel_mm: float) -> VoxelGrid:
        """The smallest grid from `low_mm` [3] on that covers `high_mm` [3], world frame; at least two voxels an axis."""
        shape = np.maximum(np.ceil((high_mm - low_mm) / voxel_mm), 2).astype(int)
        return cls(np.asarray(low_mm) + voxel_mm / 2, voxel_mm, tuple(shape.tolist()))

    @property
    def world_from_voxel(self) -> np.ndarray:
        """[4, 4] voxel index to world mm."""
        affine = np.diag([self.voxel_mm] * 3 + [1.0])
        affine[:3, 3] = self.origin_mm
        return affine

    def part(self, slices: tuple[slice, slice, slice]) -> VoxelGrid:
        """The grid of a part of this one, whose voxels lie where they lie here."""
        start = np.array([s.start for s in slices])
        shape = tuple(s.stop - s.start for s in slices)
        return VoxelGrid(self.origin_mm + start * self.voxel_mm, self.voxel_mm, shape)

    def slices_around(self, points_mm: np.ndarray) -> tuple[slice, slice, slice]:
        """The part that holds points [N, 3]; empty along an axis on which they lie outside."""
        low = np.floor((points_mm.min(0) - self.origin_mm) / self.voxel_mm).astype(int)
        high = np.ceil((points_mm.max(0) - self.origin_mm) / self.voxel_mm).astype(int) + 1
        ends = zip(np.clip(low, 0, self.shape), np.clip(high, 0, self.shape), strict=True)
        return tuple(slice(int(first), int(last)) for first, last in ends)

    def coarser(self, factor: int) -> VoxelGrid:
        """The grid of voxels `factor` times as large that covers this one and starts where it does."""
        shape = tuple(-(-n // factor) for n in self.shape)
        return VoxelGrid(self.origin_mm + (factor - 1) / 2 * self.voxel_mm, factor * self.voxel_mm, shape)


def coverage(solid: Surface, grid: VoxelGrid, lines: int = LINES) -> np.ndarray:
    """The filled share of every voxel, float32 in [0, 1] of the grid's shape.

    Args:
        solid: a closed mesh, world frame.
        grid: the voxels; the mesh may reach beyond them.
        lines: lines through a voxel along each of the first two axes.
    """
    filled = _filled(solid, grid, lines, whole=False)
    return np.clip(filled, 0.0, 1.0, out=filled)


def occupancy(surface: Surface, grid: VoxelGrid) -> np.ndarray:
    """The voxels whose centres lie inside a closed mesh, bool of the grid's shape.

    Args:
        surface: a closed mesh, world frame.
        grid: the voxels; the mesh may reach beyond them.
    """
    return _filled(surface, grid, lines=1, whole=True) > 0.5


def _filled(surface: Surface, grid: VoxelGrid, lines: int, *, whole: bool) -> np.ndarray:
    index = (surface.vertices_mm - grid.origin_mm) / grid.voxel_mm
    # Lines lie at whole numbers of x and y; z counts voxels from the lower face of the first.
    points = np.stack([*((index[:, :2] + 0.5) * lines - 0.5).T, index[:, 2] + 0.5], axis=1)
    filled = np.zeros(grid.shape, dtype=np.float32)
    _fill_below(points, surface.triangles, lines, whole, filled)
    _cumulate_downwards(filled)
    return filled


@compiled()
def _fill_below(points, triangles, lines, whole, change):
    """Adds to change [I, J, K] what every meeting of a line and the surface adds below it.

    A meeting at height z in voxel k fills the part of k below z and all voxels under k: in the sum from the top down, that
    is the part at k and the rest of one at k - 1. With `whole` a voxel whose centre lies below z is filled to its top, any
    other not at all.
    """
    rows, columns, top = change.shape[0] * lines, change.shape[1] * lines, change.shape[2]
    share = 1.0 / (lines * lines)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        area = (points[b, 0] - points[a, 0]) * (points[c, 1] - points[a, 1])
        area -= (points[c, 0] - points[a, 0]) * (points[b, 1] - points[a, 1])
        if area == 0.0:
            continue
        # Seen from above, a face whose normal points up runs counter-clockwise: there the line leaves the solid.
        sign = share if area > 0.0 else -share
        # Sorted by x, so that both triangles at an edge walk it the same way.
        if points[b, 0] < points[a, 0]:
            a, b = b, a
        if points[c, 0] < points[b, 0]:
            b, c = c, b
            if points[b, 0] < points[a, 0]:
                a, b = b, a
        xa, ya, za = points[a, 0], points[a, 1], points[a, 2]
        xb, yb, zb = points[b, 0], points[b, 1], points[b, 2]
        xc, yc, zc = points[c, 0], points[c, 1], points[c, 2]
        area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
        slope_x = ((zb - za) * (yc - ya) - (zc - za) * (yb - ya)) / area
        slope_y = ((xb - xa) * (zc - za) - (xc - xa) * (zb - za)) / area
        lowest, highest = min(za, zb, zc), max(za, zb, zc)
        for row in range(max(0, math.ceil(xa)), min(rows, math.ceil(xc))):
            y_long = ya + (row - xa) * ((yc - ya) / (xc - xa))
            if row < xb:
                y_short = ya + (row - xa) * ((yb - ya) / (xb - xa))
            else:
                y_short = yb + (row - xb) * ((yc - yb) / (xc - xb)) if xc > xb else yb
            for column in range(max(0, math.ceil(min(y_long, y_short))), min(columns, math.ceil(max(y_long, y_short)))):
                z = min(max(za + slope_x * (row - xa) + slope_y * (column - ya), lowest), highest)
                if whole:
                    z = math.ceil(z - 0.5) * 1.0
                if z <= 0.0:
                    continue
                k = int(z)
                i, j = row // lines, column // lines
                if k >= top:
                    change[i, j, top - 1] += np.float32(sign)
                    continue
                change[i, j, k] += np.float32(sign * (z - k))
                if k > 0:
                    change[i, j, k - 1] += np.float32(sign * (1.0 - z + k))


@compiled()
def _cumulate_downwards(change):
    """Sums along the last axis from its end, in place."""
    for i in range(change.shape[0]):
        for j in range(change.shape[1]):
            total = 0.0
            for k in range(change.shape[2] - 1, -1, -1):
                total += change[i, j, k]
                change[i, j, k] = np.float32(total)
