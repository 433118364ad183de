"""The kernel: signed depths of closed triangle meshes, accumulated pixel by pixel.

Every triangle adds, to each pixel whose ray crosses it, the depth of the crossing: plus where the ray leaves the solid,
minus where it enters. Over a closed mesh the sum along a ray is the length inside, whatever the shape.

Whether a pixel lies in a triangle, and from which side it is seen, is decided by its winding number: each edge that
spans the pixel's row (a half-open interval) and crosses it left of the pixel counts +1 upward and -1 downward. Both
triangles at an edge compute the same crossing and count it with opposite signs, so every pixel inside a silhouette
belongs to exactly one of two neighbours, and the sum outside the silhouette is exactly zero.

Depths are fractions of the source-detector distance: inside a triangle the inverse depth is affine in (u, v), which
makes the kernel one division a pixel.

Most triangles of a fine mesh touch no more than 2 x 2 pixel centres. They are taken in batches through a loop without
branches, which the compiler turns into vector instructions; larger ones, and those at the image border, one by one.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from lumbar_ext.compiled import compiled

_BATCH = 256
"""Triangles a batch: the arrays of a batch stay in the first cache."""


@compiled()
def project_vertices(vertices_mm, source_mm, u_row, v_row, depth_row, principal_u, principal_v, moves, uvw):
    """Fills uvw [V, 3] with column, row and inverse depth of each vertex; returns the smallest depth.

    With a source that moves from row to row straight edges become slightly curved ones, and the inverse depth slightly
    uneven: over an edge of s mm at a depth of d by less than s^2 / 4d, a thousandth of a mm for meshes of bones. They are
    rasterised as if straight, so that neighbours share their edges.

    Args:
        vertices_mm: [V, 3] world mm.
        source_mm: [3].
        u_row, v_row: [3] detector axes over the pixel spacing, px/mm.
        depth_row: [3] viewing direction over the source-detector distance: depth 1 is the detector.
        principal_u, principal_v: principal point, px.
        moves: whether the source moves with the row: rows then do not depend on the depth.
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
        uvw[i, 1] = (v_row[0] * x + v_row[1] * y + v_row[2] * z) * (1.0 if moves else inverse) + principal_v
        uvw[i, 2] = inverse
    return smallest


@compiled(error_model="numpy")
def accumulate_signed_depth(uvw, triangles, orientation, u_offset, v_offset, out):
    """Adds the signed depth fractions of a mesh to out [rows, columns].

    Args:
        uvw: [V, 3] from `project_vertices`.
        triangles: [M, 3] vertex indices, counter-clockwise seen from outside.
        orientation: +1 for an image as seen from the source, -1 for a mirrored one.
        u_offset, v_offset: column and row of out[0, 0].
        out: [rows, columns] float32, contiguous, added to in place; triangles outside are clipped.
    """
    rows, columns = out.shape
    pixels = out.reshape(rows * columns)
    corners = np.empty((uvw.shape[0], 4), np.float32)  # the fourth keeps a corner in one cache line
    for i in range(uvw.shape[0]):
        corners[i, 0], corners[i, 1], corners[i, 2] = uvw[i, 0] - u_offset, uvw[i, 1] - v_offset, uvw[i, 2]
    batch, place = np.zeros((9, _BATCH), np.float32), np.empty(_BATCH, np.int32)
    block = np.empty((4, _BATCH), np.float32)
    sign = np.float32(orientation)
    for start in range(0, triangles.shape[0], _BATCH):
        count = min(_BATCH, triangles.shape[0] - start)
        _load(corners, triangles, start, count, batch)
        _cover_blocks(batch, np.float32(columns), np.float32(rows), sign, place, block[0], block[1], block[2], block[3])
        for i in range(count):
            if place[i] < 0:
                _add_triangle(batch[:, i], sign, out)
                continue
            pixel = np.uint32(place[i])
            pixels[pixel] += block[0, i]
            pixels[pixel + np.uint32(1)] += block[1, i]
            pixel += np.uint32(columns)
            pixels[pixel] += block[2, i]
            pixels[pixel + np.uint32(1)] += block[3, i]


@compiled()
def _load(corners, triangles, start, count, batch):
    """Fills batch [9, N] with u, v and inverse depth of the three corners of some triangles."""
    for i in range(count):
        for corner in range(3):
            vertex = np.uint32(triangles[start + i, corner])
            batch[3 * corner, i] = corners[vertex, 0]
            batch[3 * corner + 1, i] = corners[vertex, 1]
            batch[3 * corner + 2, i] = corners[vertex, 2]


@compiled(error_model="numpy")
def _cover_blocks(batch, columns, rows, sign, place, upper_left, upper_right, lower_left, lower_right):
    """What each triangle of a batch adds to the 2 x 2 pixels that it can touch.

    Args:
        batch: [9, N] float32 from `_load`.
        columns, rows: image size, float32.
        sign: orientation of the image, float32.
        place: [N] int32 output: index of the first of the four pixels, negative for triangles that need more pixels, or
            reach the border of the image.
        upper_left, upper_right, lower_left, lower_right: [N] float32 outputs.
    """
    zero, one, two = np.float32(0.0), np.float32(1.0), np.float32(2.0)
    # Plain arrays and local scalars: the vectoriser gives up on more.
    all_ua, all_va, all_wa, all_ub, all_vb, all_wb = batch[0], batch[1], batch[2], batch[3], batch[4], batch[5]
    all_uc, all_vc, all_wc = batch[6], batch[7], batch[8]
    for i in range(place.shape[0]):
        ua, va, wa, ub, vb, wb = all_ua[i], all_va[i], all_wa[i], all_ub[i], all_vb[i], all_wb[i]
        uc, vc, wc = all_uc[i], all_vc[i], all_wc[i]
        left, top = _smaller(_smaller(ua, ub), uc), _smaller(_smaller(va, vb), vc)
        right, bottom = _larger(_larger(ua, ub), uc), _larger(_larger(va, vb), vc)
        column, row = _ceil(left), _ceil(top)
        inside = (left >= zero) & (top >= zero) & (right <= columns - two) & (bottom <= rows - two)
        small = (right <= column + two) & (bottom <= row + two)
        place[i] = np.int32(row) * np.int32(columns) + np.int32(column) if inside & small else np.int32(-1)
        slope_u, slope_v = _slopes(ua, va, wa, ub, vb, wb, uc, vc, wc)
        near, far = _larger(_larger(wa, wb), wc), _smaller(_smaller(wa, wb), wc)
        first = _crossings(row, ua, va, ub, vb, uc, vc)
        second = _crossings(row + one, ua, va, ub, vb, uc, vc)
        start = wa + slope_u * (column - ua) + slope_v * (row - va)
        upper_left[i] = sign * _winding(column, first) / _within(start, far, near)
        upper_right[i] = sign * _winding(column + one, first) / _within(start + slope_u, far, near)
        lower_left[i] = sign * _winding(column, second) / _within(start + slope_v, far, near)
        lower_right[i] = sign * _winding(column + one, second) / _within(start + slope_u + slope_v, far, near)


@compiled(error_model="numpy")
def _add_triangle(corners, sign, out):
    """Adds one triangle of any size, corners [9] as in `_load`, to out [rows, columns]."""
    rows, columns = out.shape
    ua, va, wa, ub, vb, wb, uc, vc, wc = corners
    first_row, end_row = _clipped(min(va, vb, vc), rows), _clipped(max(va, vb, vc), rows)
    first_column, end_column = _clipped(min(ua, ub, uc), columns), _clipped(max(ua, ub, uc), columns)
    if first_row >= end_row or first_column >= end_column:
        return
    slope_u, slope_v = _slopes(ua, va, wa, ub, vb, wb, uc, vc, wc)
    near, far = max(wa, wb, wc), min(wa, wb, wc)
    for y in range(first_row, end_row):
        row = np.float32(y)
        crossings = _crossings(row, ua, va, ub, vb, uc, vc)
        for x in range(first_column, end_column):
            column = np.float32(x)
            winding = _winding(column, crossings)
            if winding != 0:
                inverse = wa + slope_u * (column - ua) + slope_v * (row - va)
                out[y, x] += sign * winding / _within(inverse, far, near)


@numba.njit(inline="always", error_model="numpy")
def _crossings(row, ua, va, ub, vb, uc, vc):
    """Where the three edges cross a row, and which of them span it: +1 upward, -1 downward, 0 not."""
    zero, one = np.float32(0.0), np.float32(1.0)
    above_a = one if va <= row else zero
    above_b = one if vb <= row else zero
    above_c = one if vc <= row else zero
    return (
        _crossing(row, ua, va, ub, vb),
        _crossing(row, ub, vb, uc, vc),
        _crossing(row, uc, vc, ua, va),
        above_b - above_a,
        above_c - above_b,
        above_a - above_c,
    )


@numba.njit(inline="always", error_model="numpy")
def _crossing(row, ua, va, ub, vb):
    """The column where an edge meets a row: the same number for both directions, never beyond its ends."""
    slope = (ub - ua) / (vb - va)
    u, v = (ua if va < vb else ub), (va if va < vb else vb)
    return _within(u + (row - v) * slope, _smaller(ua, ub), _larger(ua, ub))


@numba.njit(inline="always")
def _winding(column, crossings):
    """The winding number of a triangle around a pixel of the row of its crossings, float32: -1, 0 or 1."""
    zero = np.float32(0.0)
    first, second, third, up_first, up_second, up_third = crossings
    return (
        (up_first if first <= column else zero)
        + (up_second if second <= column else zero)
        + (up_third if third <= column else zero)
    )


@numba.njit(inline="always", error_model="numpy")
def _slopes(ua, va, wa, ub, vb, wb, uc, vc, wc):
    """The change of the inverse depth from a column to the next and from a row to the next."""
    share = np.float32(1.0) / ((ub - ua) * (vc - va) - (uc - ua) * (vb - va))
    return (
        ((wb - wa) * (vc - va) - (wc - wa) * (vb - va)) * share,
        ((ub - ua) * (wc - wa) - (uc - ua) * (wb - wa)) * share,
    )


# Unlike `min` and `max` these are single instructions: they need not care about NaN.


@numba.njit(inline="always")
def _smaller(a, b):
    return a if a < b else b


@numba.njit(inline="always")
def _larger(a, b):
    return a if a > b else b


@numba.njit(inline="always")
def _within(value, low, high):
    """A value held between limits; grazing triangles: rounding may not leave the depths of the corners."""
    return _smaller(_larger(value, low), high)


@numba.njit(inline="always")
def _ceil(value):
    """The smallest whole float32 not below a value of moderate size."""
    whole = np.float32(np.int32(value))
    return whole + np.float32(1.0) if whole < value else whole


@numba.njit(inline="always")
def _clipped(value, size):
    """The first whole number from a value on, from 0 to size."""
    return math.ceil(min(max(value, np.float32(0.0)), np.float32(size)))
