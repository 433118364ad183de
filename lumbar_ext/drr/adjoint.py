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


@compiled()
def accumulate_vertex_gradient(uvw, vertices_mm, source_mm, source_step_mm, triangles, image_gradient, floor, gradient):
    """Adds to gradient [V, 3] the derivative of `sum(image_gradient * path_length)` by the vertices.

    Args:
        uvw: [V, 3] from `lumbar_ext.drr.rasteriser.project_vertices`.
        vertices_mm: [V, 3] world mm.
        source_mm, source_step_mm: [3] while row 0 is exposed, and how it moves from a row to the next.
        triangles: [M, 3] counter-clockwise seen from outside.
        image_gradient: [rows, columns].
        floor: smallest `|n . d|`.
        gradient: [V, 3] float64, added to.
    """
    rows, columns = image_gradient.shape
    normal, weights, source = np.empty(3), np.empty(3), np.empty(3)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        va, vb, vc = uvw[a, 1], uvw[b, 1], uvw[c, 1]
        first_row, end_row = max(0, math.ceil(min(va, vb, vc))), min(rows, math.ceil(max(va, vb, vc)))
        ua, ub, uc = uvw[a, 0], uvw[b, 0], uvw[c, 0]
        first_column, end_column = max(0, math.ceil(min(ua, ub, uc))), min(columns, math.ceil(max(ua, ub, uc)))
        area = (ub - ua) * (vc - va) - (uc - ua) * (vb - va)
        if first_row >= end_row or first_column >= end_column or area == 0.0:
            continue
        if not _unit_normal(vertices_mm, a, b, c, normal):
            continue
        for row in range(first_row, end_row):
            for axis in range(3):
                source[axis] = source_mm[axis] + row * source_step_mm[axis]
            for column in range(first_column, end_column):
                # Shares of the opposite areas, then of the inverse depths: weights on the triangle, not on the detector.
                weights[0] = ((uc - ub) * (row - vb) - (vc - vb) * (column - ub)) / area
                weights[1] = ((ua - uc) * (row - vc) - (va - vc) * (column - uc)) / area
                weights[2] = 1.0 - weights[0] - weights[1]
                if weights[0] < 0.0 or weights[1] < 0.0 or weights[2] < 0.0:
                    continue
                weights[0] *= uvw[a, 2]
                weights[1] *= uvw[b, 2]
                weights[2] *= uvw[c, 2]
                total = weights[0] + weights[1] + weights[2]
                along, squared = 0.0, 0.0
                for axis in range(3):
                    point = weights[0] * vertices_mm[a, axis] + weights[1] * vertices_mm[b, axis]
                    ray = (point + weights[2] * vertices_mm[c, axis]) / total - source[axis]
                    along += ray * normal[axis]
                    squared += ray * ray
                gain = image_gradient[row, column] / max(abs(along) / math.sqrt(squared), floor) / total
                for axis in range(3):
                    gradient[a, axis] += gain * weights[0] * normal[axis]
                    gradient[b, axis] += gain * weights[1] * normal[axis]
                    gradient[c, axis] += gain * weights[2] * normal[axis]


@compiled()
def _unit_normal(vertices, a, b, c, normal):
    """Fills the outward unit normal of a triangle; False for a degenerate one."""
    length = 0.0
    for axis in range(3):
        j, k = (axis + 1) % 3, (axis + 2) % 3
        normal[axis] = (vertices[b, j] - vertices[a, j]) * (vertices[c, k] - vertices[a, k]) - (
            vertices[b, k] - vertices[a, k]
        ) * (vertices[c, j] - vertices[a, j])
        length += normal[axis] ** 2
    length = math.sqrt(length)
    if length < 1e-12:
        return False
    for axis in range(3):
        normal[axis] /= length
    return True
