"""Rays through a volume of CT numbers: path lengths in each material.

A ray is followed from plane to plane of the grid axis it runs along most; in each plane the CT number is read between the
four voxels around it (Joseph 1982), split into materials, and weighted with the way to the next plane. Outside the grid
is air.
"""

from __future__ import annotations

import math

import numpy as np

from lumbar_ext.compiled import compiled
from lumbar_ext.geometry import Camera
from lumbar_ext.io.volume import Volume
from lumbar_ext.simulation.body.materials import MATERIALS
from lumbar_ext.simulation.ct.ct_materials import AIR_HU, NODE_MATERIALS, NODES_HU, mixture


def ct_paths(ct: Volume, camera: Camera) -> np.ndarray:
    """Path lengths in `MATERIALS`, float32 [4, rows, columns] mm.

    Args:
        ct: CT numbers; any orientation of the grid.
        camera: the view, in the volume's world.
    """
    columns, rows = camera.size_px
    voxel_from_world = np.linalg.inv(ct.world_from_voxel)
    source = voxel_from_world[:3, :3] @ camera.source_mm + voxel_from_world[:3, 3]
    step = voxel_from_world[:3, :3] @ camera.source_step_mm
    du, dv = camera.pixel_spacing_mm
    down_mm = dv * camera.v_axis - camera.source_step_mm
    rays_mm = np.stack([camera.detector_origin_mm - camera.source_mm, du * camera.u_axis, down_mm])
    paths = np.zeros((len(MATERIALS), rows, columns), dtype=np.float32)
    values = np.ascontiguousarray(ct.values, dtype=np.float32)
    _cast(values, source, step, rays_mm @ voxel_from_world[:3, :3].T, rays_mm, NODES_HU, NODE_MATERIALS, paths)
    return paths


@compiled()
def _cast(values, first_source, source_step, rays, rays_mm, nodes_hu, node_materials, paths):
    """Adds path lengths in mm to paths [4, rows, columns].

    Args:
        values: [I, J, K] CT numbers.
        first_source, source_step: [3] the source of row 0 and how it moves from a row to the next, in voxels.
        rays, rays_mm: [3, 3] the ray from the source to pixel (0, 0) and its steps along u and v, in voxels and in mm.
        nodes_hu, node_materials: see `ct_materials`.
        paths: output.
    """
    direction, at, source = np.empty(3), np.empty(3), np.empty(3)
    # Rows inside: neighbours along a column of pixels read neighbours in memory where K runs up the person.
    for column in range(paths.shape[2]):
        for row in range(paths.shape[1]):
            length, axis = 0.0, 0
            for n in range(3):
                source[n] = first_source[n] + row * source_step[n]
                direction[n] = rays[0, n] + column * rays[1, n] + row * rays[2, n]
                length += (rays_mm[0, n] + column * rays_mm[1, n] + row * rays_mm[2, n]) ** 2
                if abs(direction[n]) > abs(direction[axis]):
                    axis = n
            first, last = _crossed_planes(values.shape, source, direction, axis)
            step_mm = math.sqrt(length) / abs(direction[axis])
            for plane in range(first, last + 1):
                along = (plane - source[axis]) / direction[axis]
                for n in range(3):
                    at[n] = source[n] + along * direction[n]
                value = _read(values, axis, plane, at)
                lower, share = mixture(value, nodes_hu)
                if share > 0.0:
                    paths[node_materials[lower + 1], row, column] += np.float32(share * step_mm)
                if lower > 0 and share < 1.0:
                    paths[node_materials[lower], row, column] += np.float32((1.0 - share) * step_mm)


@compiled()
def _crossed_planes(shape, source, direction, axis):
    """First and last plane along an axis, between source and detector, where a ray passes within a voxel of the grid."""
    ends = (-source[axis] / direction[axis], (shape[axis] - 1 - source[axis]) / direction[axis])
    low, high = max(min(ends[0], ends[1]), 0.0), min(max(ends[0], ends[1]), 1.0)
    for n in range(3):
        if n == axis:
            continue
        if direction[n] == 0.0:
            if source[n] <= -1.0 or source[n] >= shape[n]:
                return 0, -1
            continue
        enter, leave = (-1.0 - source[n]) / direction[n], (shape[n] - source[n]) / direction[n]
        low, high = max(low, min(enter, leave)), min(high, max(enter, leave))
    if low > high:
        return 0, -1
    a, b = source[axis] + low * direction[axis], source[axis] + high * direction[axis]
    # A rounding error must not lose the outermost plane; reading clips.
    return max(math.ceil(min(a, b) - 1e-9), 0), min(math.floor(max(a, b) + 1e-9), shape[axis] - 1)


@compiled()
def _read(values, axis, plane, at):
    """The value in a plane of the grid between the four voxels around a point; air beyond the edge."""
    p, q = (1 if axis == 0 else 0), (1 if axis == 2 else 2)
    i, j = math.floor(at[p]), math.floor(at[q])
    a, b = at[p] - i, at[q] - j
    if i < 0 or j < 0 or i + 1 >= values.shape[p] or j + 1 >= values.shape[q]:
        total = 0.0
        for di in range(2):
            for dj in range(2):
                weight = (a if di else 1.0 - a) * (b if dj else 1.0 - b)
                inside = 0 <= i + di < values.shape[p] and 0 <= j + dj < values.shape[q]
                total += weight * (_at(values, axis, plane, i + di, j + dj) if inside else AIR_HU)
        return total
    near = _at(values, axis, plane, i, j) * (1.0 - b) + _at(values, axis, plane, i, j + 1) * b
    far = _at(values, axis, plane, i + 1, j) * (1.0 - b) + _at(values, axis, plane, i + 1, j + 1) * b
    return near * (1.0 - a) + far * a


@compiled()
def _at(values, axis, plane, i, j):
    if axis == 0:
        return values[plane, i, j]
    if axis == 1:
        return values[i, plane, j]
    return values[i, j, plane]
