"""The adjoint of the rasteriser: what a change of every vertex does to a weighted sum of path lengths.

A ray meets a triangle at a point that is a mixture of its corners; where the corners move by `m_i`, the length inside the
mesh changes by `n . sum_i w_i m_i / |n . d|` (n: outward normal, d: ray direction, w: barycentric weights of the meeting
point). Silhouettes need no extra term: the length is continuous across them.
"""

from __future__ import annotations

import math

import numpy as np

from lumbar_ext.compiled import compiled

GRAZING_FLOOR = 0.001
"""Smallest cosine between ray and normal that a derivative believes in. Triangles seen from the edge give single pixels
large derivatives, but those are true: 0.05 took 6 % of the slope of poses away and 12 % of that of shape coefficients."""
_DEGENERATE = 1e-12  # twice the area of a triangle without a normal, mm^2


@compiled(error_model="numpy")
def accumulate_vertex_gradient(uvw, vertices_mm, source_mm, source_step_mm, triangles, depth_gradient, floor, gradient):
    """Adds to gradient [V, 3] the derivative of `sum(depth_gradient * depth fraction)` by the vertices.

    A path length is the depth fraction times the length of the pixel's ray, so what has the derivative `g` by path lengths
    has `g` times that length by depth fractions.

    Args:
        uvw: [V, 3] from `lumbar_ext.drr.rasteriser.project_vertices`.
        vertices_mm: [V, 3] world mm.
        source_mm, source_step_mm: [3] while row 0 is exposed, and how it moves from a row to the next.
        triangles: [M, 3] counter-clockwise seen from outside.
        depth_gradient: [rows, columns].
        floor: smallest `|n . d|`, taken at the first corner of a triangle.
        gradient: [V, 3] float64, added to.
    """
    rows, columns = depth_gradient.shape
    normal = np.empty(3)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        va, vb, vc = uvw[a, 1], uvw[b, 1], uvw[c, 1]
        first_row, end_row = max(0, math.ceil(min(va, vb, vc))), min(rows, math.ceil(max(va, vb, vc)))
        if first_row >= end_row:
            continue
        ua, ub, uc = uvw[a, 0], uvw[b, 0], uvw[c, 0]
        first_column, end_column = max(0, math.ceil(min(ua, ub, uc))), min(columns, math.ceil(max(ua, ub, uc)))
        area = (ub - ua) * (vc - va) - (uc - ua) * (vb - va)
        if first_column >= end_column or area == 0.0:
            continue
        # Shares of the opposite areas are affine in column and row.
        share = 1.0 / area
        a_column, a_row = (vb - vc) * share, (uc - ub) * share
        b_column, b_row = (vc - va) * share, (ua - uc) * share
        wa, wb, wc = uvw[a, 2], uvw[b, 2], uvw[c, 2]
        sum_a, sum_b, sum_c = 0.0, 0.0, 0.0
        for row in range(first_row, end_row):
            share_a = a_column * (first_column - ub) + a_row * (row - vb)
            share_b = b_column * (first_column - uc) + b_row * (row - vc)
            for column in range(first_column, end_column):
                share_c = 1.0 - share_a - share_b
                if share_a >= 0.0 and share_b >= 0.0 and share_c >= 0.0:
                    inverse = share_a * wa + share_b * wb + share_c * wc
                    gain = depth_gradient[row, column] / (inverse * inverse)
                    sum_a += gain * share_a
                    sum_b += gain * share_b
                    sum_c += gain * share_c
                share_a += a_column
                share_b += b_column
        if sum_a == 0.0 and sum_b == 0.0 and sum_c == 0.0:
            continue
        steepness = plane_steepness(
            vertices_mm, source_mm, source_step_mm, (va + vb + vc) / 3.0, a, b, c, floor, normal
        )
        for axis in range(3):
            gradient[a, axis] += steepness * wa * sum_a * normal[axis]
            gradient[b, axis] += steepness * wb * sum_b * normal[axis]
            gradient[c, axis] += steepness * wc * sum_c * normal[axis]


@compiled(error_model="numpy")
def plane_steepness(vertices, source, source_step, row, a, b, c, floor, normal):
    """One over the distance of the source, while a row is exposed, from a triangle's plane; 0 for a degenerate triangle.

    That distance over the distance of a point of the triangle from the source is `|n . d|`.

    Args:
        vertices: [V, 3], source: [3] while row 0 is exposed, and source_step: [3] how it moves from a row to the next; in one
            frame.
        row: the row.
        a, b, c: the triangle's corners.
        floor: smallest `|n . d|`, taken at the first corner.
        normal: [3], filled with the outward unit normal.
    """
    length = 0.0
    for axis in range(3):
        j, k = (axis + 1) % 3, (axis + 2) % 3
        normal[axis] = (vertices[b, j] - vertices[a, j]) * (vertices[c, k] - vertices[a, k]) - (
            vertices[b, k] - vertices[a, k]
        ) * (vertices[c, j] - vertices[a, j])
        length += normal[axis] ** 2
    length = math.sqrt(length)
    if length < _DEGENERATE:
        return 0.0
    along, squared = 0.0, 0.0
    for axis in range(3):
        normal[axis] /= length
        ray = vertices[a, axis] - source[axis] - row * source_step[axis]
        along += ray * normal[axis]
        squared += ray * ray
    return 1.0 / max(abs(along), floor * math.sqrt(squared))
