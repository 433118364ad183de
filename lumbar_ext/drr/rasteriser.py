"""The kernel: signed depths of closed triangle meshes, accumulated pixel by pixel.

Every triangle adds, to each pixel whose ray crosses it, the depth of the crossing: plus where the ray leaves the solid,
minus where it enters. Over a closed mesh the sum along a ray is the length inside, whatever the shape. Rows and columns
are half-open intervals between edges that neighbouring triangles compute from the same numbers, so each pixel centre
belongs to exactly one of two neighbours and the sum outside the silhouette is exactly zero.

Depths are fractions of the source-detector distance: inside a triangle the inverse depth is affine in (u, v), which
makes the kernel one division a pixel.
"""

from __future__ import annotations

import math

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def project_vertices(vertices_mm, source_mm, u_row, v_row, depth_row, principal_u, principal_v, uvw):
    """Fills uvw [V, 3] with column, row and inverse depth of each vertex; returns the smallest depth.

    Args:
        vertices_mm: [V, 3] world mm.
        source_mm: [3].
        u_row, v_row: [3] detector axes over the pixel spacing, px/mm.
        depth_row: [3] viewing direction over the source-detector distance: depth 1 is the detector.
        principal_u, principal_v: principal point, px.
        uvw: [V, 3] float64 output.
    """
    smallest = np.inf
    for i in range(vertices_mm.shape[0]):
        x = vertices_mm[i, 0] - source_mm[0]
        y = vertices_mm[i, 1] - source_mm[1]
        z = vertices_mm[i, 2] - source_mm[2]
        depth = depth_row[0] * x + depth_row[1] * y + depth_row[2] * z
        smallest = min(smallest, depth)
        inverse = 1.0 / depth
        uvw[i, 0] = (u_row[0] * x + u_row[1] * y + u_row[2] * z) * inverse + principal_u
        uvw[i, 1] = (v_row[0] * x + v_row[1] * y + v_row[2] * z) * inverse + principal_v
        uvw[i, 2] = inverse
    return smallest


@numba.njit(nogil=True, cache=True)
def accumulate_signed_depth(uvw, triangles, orientation, u_offset, v_offset, out):
    """Adds the signed depth fractions of a mesh to out [rows, columns].

    Args:
        uvw: [V, 3] from `project_vertices`.
        triangles: [M, 3] vertex indices, counter-clockwise seen from outside.
        orientation: +1 for an image as seen from the source, -1 for a mirrored one.
        u_offset, v_offset: column and row of out[0, 0].
        out: [rows, columns] float32, added to in place; triangles outside are clipped.
    """
    rows, columns = out.shape
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        va, vb, vc = uvw[a, 1] - v_offset, uvw[b, 1] - v_offset, uvw[c, 1] - v_offset
        first_row = max(0, math.ceil(min(va, vb, vc)))
        last_row = min(rows, math.ceil(max(va, vb, vc)))
        if first_row >= last_row:
            continue
        ua, ub, uc = uvw[a, 0] - u_offset, uvw[b, 0] - u_offset, uvw[c, 0] - u_offset
        if math.ceil(min(ua, ub, uc)) >= math.ceil(max(ua, ub, uc)):
            continue
        area = (ub - ua) * (vc - va) - (uc - ua) * (vb - va)
        if area == 0.0:
            continue
        wa, wb, wc = uvw[a, 2], uvw[b, 2], uvw[c, 2]
        # Seen from the source with v down, a front face (entry) runs counter-clockwise in the world, so its area is
        # negative.
        sign = orientation if area > 0.0 else -orientation
        unsloped = True
        slope_u, slope_v, lowest, highest = 0.0, 0.0, 0.0, 0.0
        # Sorted by row (a, b, c from the top), so that both triangles at an edge walk it the same way.
        if vb < va:
            ua, va, ub, vb = ub, vb, ua, va
            wa, wb = wb, wa
        if vc < vb:
            ub, vb, uc, vc = uc, vc, ub, vb
            wb, wc = wc, wb
            if vb < va:
                ua, va, ub, vb = ub, vb, ua, va
                wa, wb = wb, wa
        sorted_area = (ub - ua) * (vc - va) - (uc - ua) * (vb - va)
        long_slope = (uc - ua) / (vc - va)
        upper_slope = (ub - ua) / (vb - va) if vb > va else 0.0
        lower_slope = (uc - ub) / (vc - vb) if vc > vb else 0.0
        for row in range(first_row, last_row):
            u_long = ua + (row - va) * long_slope
            u_short = ua + (row - va) * upper_slope if row < vb else ub + (row - vb) * lower_slope
            first = max(0, math.ceil(min(u_long, u_short)))
            last = min(columns, math.ceil(max(u_long, u_short)))
            if first < last and unsloped:
                # Most triangles of a fine mesh hold no pixel centre, so this waits for the first that does.
                unsloped = False
                slope_u = ((wb - wa) * (vc - va) - (wc - wa) * (vb - va)) / sorted_area
                slope_v = ((ub - ua) * (wc - wa) - (uc - ua) * (wb - wa)) / sorted_area
                lowest, highest = min(wa, wb, wc), max(wa, wb, wc)
            for column in range(first, last):
                inverse = wa + slope_u * (column - ua) + slope_v * (row - va)
                # Grazing triangles: rounding may not leave the depths of the corners.
                inverse = min(max(inverse, lowest), highest)
                out[row, column] += np.float32(sign / inverse)
