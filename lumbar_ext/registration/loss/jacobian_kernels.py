"""Compiled loops of the derivative of pictures by every parameter of a vertebra, for the second derivative of the loss.

Where a surface point moves by `m`, the crossing of a ray with direction d moves along the ray by `n.m / n.d` (n: outward
normal), and since entries count negative, both an entry and an exit add `n.m / |n.d|` to the length inside. Here a triangle
moves as its centre does, and counts by the area that a pixel sees of it (`lumbar_ext.drr.coverage`).
"""

from __future__ import annotations

import math

import numpy as np

from lumbar_ext.compiled import compiled
from lumbar_ext.drr.adjoint import plane_steepness
from lumbar_ext.drr.coverage import EDGE_ON


@compiled(fastmath=True)
def rigid_motions(vertices, triangles, normals, motions):
    """Normals, and how far each triangle's centre moves along its normal with the vertebra.

    Args:
        vertices: [V, 3] in the vertebra frame.
        triangles: [M, 3].
        normals: [M, 3] float32 output, unit, zero for degenerate triangles.
        motions: [M, 6 or more] float32 output: per mm along and per rad about the vertebra's axes.
    """
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        e1x, e1y, e1z = (
            vertices[b, 0] - vertices[a, 0],
            vertices[b, 1] - vertices[a, 1],
            vertices[b, 2] - vertices[a, 2],
        )
        e2x, e2y, e2z = (
            vertices[c, 0] - vertices[a, 0],
            vertices[c, 1] - vertices[a, 1],
            vertices[c, 2] - vertices[a, 2],
        )
        nx, ny, nz = e1y * e2z - e1z * e2y, e1z * e2x - e1x * e2z, e1x * e2y - e1y * e2x
        length = math.sqrt(nx * nx + ny * ny + nz * nz)
        inverse = 1.0 / length if length > 1e-12 else 0.0
        nx, ny, nz = nx * inverse, ny * inverse, nz * inverse
        normals[t, 0], normals[t, 1], normals[t, 2] = nx, ny, nz
        x = (vertices[a, 0] + vertices[b, 0] + vertices[c, 0]) / 3.0
        y = (vertices[a, 1] + vertices[b, 1] + vertices[c, 1]) / 3.0
        z = (vertices[a, 2] + vertices[b, 2] + vertices[c, 2]) / 3.0
        motions[t, 0], motions[t, 1], motions[t, 2] = nx, ny, nz
        motions[t, 3], motions[t, 4], motions[t, 5] = y * nz - z * ny, z * nx - x * nz, x * ny - y * nx


@compiled(fastmath=True)
def shape_motions(triangles, normals, displacements, fields, motions):
    """How far each triangle's centre moves along its normal with the shape coefficients.

    Args:
        triangles, normals: [M, 3].
        displacements: [V, 3, K] displacement of each vertex per coefficient of the model.
        fields: [V, F] free-form fields, each moving along all three axes.
        motions: [M, 6 + K + 3 F] float32 output, from column 6 on; those before belong to `rigid_motions`.
    """
    n_modes = displacements.shape[2]
    third = np.float32(1.0 / 3.0)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        nx, ny, nz = normals[t, 0] * third, normals[t, 1] * third, normals[t, 2] * third
        for k in range(n_modes):
            motions[t, 6 + k] = (
                nx * (displacements[a, 0, k] + displacements[b, 0, k] + displacements[c, 0, k])
                + ny * (displacements[a, 1, k] + displacements[b, 1, k] + displacements[c, 1, k])
                + nz * (displacements[a, 2, k] + displacements[b, 2, k] + displacements[c, 2, k])
            )
        for f in range(fields.shape[1]):
            mean = fields[a, f] + fields[b, f] + fields[c, f]
            motions[t, 6 + n_modes + 3 * f] = nx * mean
            motions[t, 7 + n_modes + 3 * f] = ny * mean
            motions[t, 8 + n_modes + 3 * f] = nz * mean


@compiled()
def number_covered_pixels(own, u0, v0, row_of):
    """Numbers the pixels that a vertebra touches, in reading order; returns how many.

    Args:
        own: [rows, columns] depth fractions of the vertebra in its window.
        u0, v0: column and row of the image at own[0, 0].
        row_of: [rows, columns] int32 of the whole image, all -1: output.
    """
    count = 0
    for y in range(own.shape[0]):
        for x in range(own.shape[1]):
            if own[y, x] > 1e-7:  # rounding stays below
                row_of[y + v0, x + u0] = count
                count += 1
    return count


@compiled(fastmath=True)
def accumulate_jacobian(
    uvw, vertices, source, source_step, triangles, first, pixels, areas, motions, slope, row_of, out
):
    """Adds the derivative of pixels of the DRR by each parameter to out [N, q], a row for each touched pixel.

    Args:
        uvw, triangles, first, pixels, areas: of `lumbar_ext.drr.coverage.cover_pixels`.
        vertices: [V, 3], source: [3] while row 0 is exposed, and source_step: [3] how it moves from a row to the next; all
            in the vertebra frame.
        motions: [M, q] how far triangles move along their normals, see `rigid_motions` and `shape_motions`.
        slope: [rows, columns] float32 derivative of the DRR by the depth fractions in the window.
        row_of: [rows, columns] int32 of the pixels of the window, from `number_covered_pixels`.
        out: [N, q] float32, added to.
    """
    by_pixel, rows, normal = slope.ravel(), row_of.ravel(), np.empty(3)
    for t in range(triangles.shape[0]):
        if first[t] == first[t + 1]:
            continue
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        inverse = (uvw[a, 2] + uvw[b, 2] + uvw[c, 2]) / 3.0
        row = (uvw[a, 1] + uvw[b, 1] + uvw[c, 1]) / 3.0
        steepness = plane_steepness(vertices, source, source_step, row, a, b, c, EDGE_ON, normal) / inverse
        for p in range(first[t], first[t + 1]):
            target = rows[pixels[p]]
            if target < 0:
                continue
            gain = np.float32(steepness * areas[p] * by_pixel[pixels[p]])
            for k in range(motions.shape[1]):
                out[target, k] += gain * motions[t, k]
