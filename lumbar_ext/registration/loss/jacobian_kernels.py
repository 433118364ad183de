"""Compiled loops of the analytic derivative of path length.

Where a surface point moves by `m`, the crossing of a ray with direction d moves along the ray by `n.m / n.d` (n:
outward normal), and since entries count negative, both an entry and an exit add `n.m / |n.d|` to the length inside.
Silhouettes need no extra
term: the length is continuous across them. Grazing triangles would dominate; `|n.d|` is kept above a floor.
"""

from __future__ import annotations

import math

import numpy as np

from lumbar_ext.compiled import compiled


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
def number_covered_blocks(own, u0, v0, block, row_of):
    """Numbers the blocks that a vertebra touches, in reading order; returns how many.

    Args:
        own: [rows, columns] float32 depth fractions of the vertebra in its window.
        u0, v0: column and row of the image at own[0, 0].
        block: edge of a block, px.
        row_of: [rows, columns] int32 of the blocks of the whole image, all -1: output.
    """
    for y in range(own.shape[0]):
        for x in range(own.shape[1]):
            if own[y, x] > 1e-7:  # rounding stays below
                row_of[(y + v0) // block, (x + u0) // block] = 0
    count = 0
    for y in range(row_of.shape[0]):
        for x in range(row_of.shape[1]):
            if row_of[y, x] == 0:
                row_of[y, x] = count
                count += 1
    return count


@compiled(fastmath=True)
def accumulate_jacobian(
    uvw, vertices, pinhole, triangles, normals, motions, floor, slope, own, u0, v0, block, row_of, out
):
    """Adds the derivative of the DRR's block means by each parameter to out [N, q], a row for each touched block.

    Args:
        uvw: [V, 3] projected vertices.
        vertices: [V, 3] and pinhole: [17], both in the vertebra frame; see `kernels.pinhole_from_vertebra`.
        triangles, normals: [M, 3].
        motions: [M, q] how far triangles move along their normals, see `rigid_motions` and `shape_motions`.
        floor: smallest `|n.d|`.
        slope: [rows, columns] float32 derivative of a block's mean by the path length in each pixel of the image, 1/mm.
        own: depth fractions of the vertebra in its window; u0, v0: column and row of the image at own[0, 0].
        block: edge of a block, px.
        row_of: [rows, columns] int32 of the blocks of the whole image, from `number_covered_blocks`.
        out: [N, q] float32, added to.
    """
    rows, columns = own.shape
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        va, vb, vc = uvw[a, 1] - v0, uvw[b, 1] - v0, uvw[c, 1] - v0
        first_row, end_row = max(0, math.ceil(min(va, vb, vc))), min(rows, math.ceil(max(va, vb, vc)))
        if first_row >= end_row:
            continue
        ua, ub, uc = uvw[a, 0] - u0, uvw[b, 0] - u0, uvw[c, 0] - u0
        first_column, end_column = max(0, math.ceil(min(ua, ub, uc))), min(columns, math.ceil(max(ua, ub, uc)))
        area = (ub - ua) * (vc - va) - (uc - ua) * (vb - va)
        if first_column >= end_column or area == 0.0:
            continue
        steepness = np.float32(_inverse_cosine(vertices, pinhole, uvw[a, 1], normals, a, t, floor))
        turn = 1.0 if area > 0.0 else -1.0
        for row in range(first_row, end_row):
            for column in range(first_column, end_column):
                inside_a = turn * ((uc - ub) * (row - vb) - (vc - vb) * (column - ub))
                inside_b = turn * ((ua - uc) * (row - vc) - (va - vc) * (column - uc))
                inside_c = turn * ((ub - ua) * (row - va) - (vb - va) * (column - ua))
                if own[row, column] > 1e-7 and inside_a >= 0.0 and inside_b >= 0.0 and inside_c >= 0.0:
                    target = row_of[(row + v0) // block, (column + u0) // block]
                    gain = steepness * slope[row + v0, column + u0]
                    for k in range(motions.shape[1]):
                        out[target, k] += gain * motions[t, k]


@compiled(fastmath=True)
def _inverse_cosine(vertices, pinhole, row, normals, corner, triangle, floor):
    """`1 / max(|n.d|, floor)` for the ray of a row to a corner of a triangle."""
    x = vertices[corner, 0] - pinhole[0] - row * pinhole[14]
    y = vertices[corner, 1] - pinhole[1] - row * pinhole[15]
    z = vertices[corner, 2] - pinhole[2] - row * pinhole[16]
    along = x * normals[triangle, 0] + y * normals[triangle, 1] + z * normals[triangle, 2]
    return 1.0 / max(abs(along) / math.sqrt(x * x + y * y + z * z), floor)
