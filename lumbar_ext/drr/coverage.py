"""Path lengths averaged over the area of each pixel, exactly, and their adjoint: what a smooth loss is made of.

A picture of single rays jumps wherever a silhouette passes a ray, and a sum over such pictures has a minimum every few
hundredths of a millimetre. Here every triangle is cut along the borders of the pixels. Each piece adds its area times the
depth of its centroid: plus where rays leave the solid, minus where they enter. The mean over a pixel is then as smooth as the
mesh, and its derivative needs no floor for grazing triangles: what they lack in area seen they have in slope.

Cuts of neighbours along their common edge agree to rounding in double precision, so nothing is left outside the silhouette.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from lumbar_ext.compiled import compiled
from lumbar_ext.drr.adjoint import plane_steepness

_CORNERS = 10
"""Room for the corners of a piece; a triangle cut by the four borders of a pixel has seven at most."""
_LEAST_AREA = 1e-12  # px^2: less is rounding
EDGE_ON = 1e-9
"""Smallest cosine between ray and normal: pieces need no floor (see above), only division by zero is kept away."""


@compiled(error_model="numpy")
def cover_pixels(uvw, triangles, orientation, u0, v0, depth):
    """Adds the depth fractions of a mesh, averaged over each pixel's area, to depth, and returns the pieces of its triangles.

    Args:
        uvw: [V, 3] from `lumbar_ext.drr.rasteriser.project_vertices`.
        triangles: [M, 3] counter-clockwise seen from outside.
        orientation: +1 for an image as seen from the source, -1 for a mirrored one.
        u0, v0: column and row of the image at depth[0, 0].
        depth: [rows, columns] float64, added to; pieces outside are left out.

    Returns:
        first: [M + 1] int64, the pieces of triangle t are those from `first[t]` to `first[t + 1]`.
        pixels: [P] int32 flat indices of the pieces' pixels in depth.
        areas: [P] float32, px^2.
        shares: [P, 2] float32, weights of the first and the second corner at the centroid of the piece on the detector.
    """
    rows, columns = depth.shape
    first = np.zeros(triangles.shape[0] + 1, np.int64)
    pixels = np.empty(4 * triangles.shape[0] + 64, np.int32)
    areas, shares = np.empty(len(pixels), np.float32), np.empty((len(pixels), 2), np.float32)
    polygons, left, other_left, strip, other_strip, piece = np.empty((5, _CORNERS, 2)), 0, 1, 2, 3, 4
    place, count, third = np.empty(3), 0, np.float32(1.0 / 3.0)
    for t in range(triangles.shape[0]):
        first[t] = count
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        # Pixel i lies between i and i + 1.
        xa, xb, xc = uvw[a, 0] + 0.5 - u0, uvw[b, 0] + 0.5 - u0, uvw[c, 0] + 0.5 - u0
        ya, yb, yc = uvw[a, 1] + 0.5 - v0, uvw[b, 1] + 0.5 - v0, uvw[c, 1] + 0.5 - v0
        double_area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
        low, high = min(ya, yb, yc), max(ya, yb, yc)
        if abs(double_area) < _LEAST_AREA or low >= rows or high <= 0.0:
            continue
        if count == len(pixels):
            pixels, areas, shares = _twice(pixels), _twice(areas), _twice(shares)
        sign = orientation if double_area > 0.0 else -orientation
        wa, wb, wc = uvw[a, 2], uvw[b, 2], uvw[c, 2]
        n_left, row, end_row = 3, math.floor(low), math.ceil(high)
        low, high = min(xa, xb, xc), max(xa, xb, xc)
        column = math.floor(low)
        if row + 1 >= end_row and column + 1 >= high and row >= 0 and 0 <= column < columns:
            # Most triangles of a fine mesh lie in one pixel.
            depth[row, column] += sign * 0.5 * abs(double_area) * 3.0 / (wa + wb + wc)
            pixels[count], areas[count] = row * columns + column, 0.5 * abs(double_area)
            shares[count, 0], shares[count, 1] = third, third
            count += 1
            continue
        polygons[left, 0, 0], polygons[left, 1, 0], polygons[left, 2, 0] = xa, xb, xc
        polygons[left, 0, 1], polygons[left, 1, 1], polygons[left, 2, 1] = ya, yb, yc
        if row < 0:
            _, n_left = _cut(polygons, left, n_left, 1, 0.0, piece, other_left)
            left, other_left = other_left, left
            row = 0
        for y in range(row, min(end_row, rows)):
            if y + 1 < end_row:
                n_strip, n_left = _cut(polygons, left, n_left, 1, y + 1.0, strip, other_left)
                left, other_left = other_left, left
            else:
                n_strip = _copied(polygons, left, n_left, strip)
            low, high = _range(polygons, strip, n_strip)
            column, end_column = math.floor(low), math.ceil(high)
            if column < 0:
                _, n_strip = _cut(polygons, strip, n_strip, 0, 0.0, piece, other_strip)
                strip, other_strip = other_strip, strip
                column = 0
            for x in range(column, min(end_column, columns)):
                if x + 1 < end_column:
                    n_piece, n_strip = _cut(polygons, strip, n_strip, 0, x + 1.0, piece, other_strip)
                    strip, other_strip = other_strip, strip
                    _measure(polygons, piece, n_piece, place)
                else:
                    _measure(polygons, strip, n_strip, place)
                if place[0] < _LEAST_AREA:
                    continue
                share_a = ((xb - place[1]) * (yc - place[2]) - (xc - place[1]) * (yb - place[2])) / double_area
                share_b = ((xc - place[1]) * (ya - place[2]) - (xa - place[1]) * (yc - place[2])) / double_area
                inverse = share_a * wa + share_b * wb + (1.0 - share_a - share_b) * wc
                depth[y, x] += sign * place[0] / inverse
                if count == len(pixels):
                    pixels, areas, shares = _twice(pixels), _twice(areas), _twice(shares)
                pixels[count], areas[count] = y * columns + x, place[0]
                shares[count, 0], shares[count, 1] = share_a, share_b
                count += 1
    first[triangles.shape[0]] = count
    return first, pixels[:count], areas[:count], shares[:count]


@numba.njit(inline="always")
def _twice(array):
    """The array with as much room again."""
    return np.concatenate((array, array))


@numba.njit(inline="always")
def _cut(polygons, polygon, count, axis, value, low, high):
    """Cuts a convex polygon at a coordinate into the parts below and above; returns their numbers of corners.

    Every corner and crossing is written to both parts and counted where it belongs: branches that depend on the data cost
    more than what is written in vain.

    Args:
        polygons: [n, corners, 2] room for polygons.
        polygon, count: the place of the one to be cut, and its number of corners.
        axis, value: 0 for a column, 1 for a row, and where it is cut.
        low, high: places of the parts.
    """
    n_low, n_high, across = 0, 0, 1 - axis
    before, before_across = polygons[polygon, count - 1, axis] - value, polygons[polygon, count - 1, across]
    for i in range(count):
        here, here_across = polygons[polygon, i, axis], polygons[polygon, i, across]
        beyond = here - value
        crossing = before_across + before / (before - beyond) * (here_across - before_across)
        crosses = before * beyond < 0.0
        polygons[low, n_low, axis], polygons[low, n_low, across] = value, crossing
        polygons[high, n_high, axis], polygons[high, n_high, across] = value, crossing
        n_low += crosses
        n_high += crosses
        polygons[low, n_low, axis], polygons[low, n_low, across] = here, here_across
        polygons[high, n_high, axis], polygons[high, n_high, across] = here, here_across
        n_low += beyond <= 0.0
        n_high += beyond >= 0.0
        before, before_across = beyond, here_across
    return n_low, n_high


@numba.njit(inline="always")
def _copied(polygons, polygon, count, target):
    """Copies a polygon to another place; returns its number of corners."""
    for i in range(count):
        polygons[target, i, 0], polygons[target, i, 1] = polygons[polygon, i, 0], polygons[polygon, i, 1]
    return count


@numba.njit(inline="always")
def _range(polygons, polygon, count):
    """The smallest and the largest column of a polygon."""
    low, high = np.inf, -np.inf
    for i in range(count):
        low, high = min(low, polygons[polygon, i, 0]), max(high, polygons[polygon, i, 0])
    return low, high


@numba.njit(inline="always")
def _measure(polygons, polygon, count, place):
    """Fills place [3] with the area of a convex polygon and its centroid."""
    doubled, x, y = 0.0, 0.0, 0.0
    x0, y0 = polygons[polygon, 0, 0], polygons[polygon, 0, 1]
    for i in range(1, count - 1):
        ax, ay = polygons[polygon, i, 0] - x0, polygons[polygon, i, 1] - y0
        bx, by = polygons[polygon, i + 1, 0] - x0, polygons[polygon, i + 1, 1] - y0
        part = ax * by - bx * ay
        doubled += part
        x += part * (ax + bx)
        y += part * (ay + by)
    place[0] = 0.5 * abs(doubled)
    if place[0] >= _LEAST_AREA:
        place[1], place[2] = x0 + x / (3.0 * doubled), y0 + y / (3.0 * doubled)


@compiled(error_model="numpy")
def accumulate_piece_gradient(
    uvw, vertices, source, source_step, triangles, first, pixels, areas, shares, depth_gradient, gradient
):
    """Adds to gradient [V, 3] the derivative of `sum(depth_gradient * depth)` by the vertices.

    Where the corners of a triangle move by `m_i`, the length inside the mesh changes by `n . sum_i w_i m_i / |n . d|` (n:
    outward normal, d: ray direction, w: weights of the corners at the meeting point). Edges need no term of their own: the
    length is continuous across them.

    Args:
        uvw, triangles, first, pixels, areas, shares: of `cover_pixels`.
        vertices: [V, 3], source: [3] while row 0 is exposed, and source_step: [3] how it moves from a row to the next; mm in
            one frame.
        depth_gradient: [rows, columns] by the depth fractions.
        gradient: [V, 3] float64, added to.
    """
    by_pixel = depth_gradient.ravel()
    normal = np.empty(3)
    for t in range(triangles.shape[0]):
        if first[t] == first[t + 1]:
            continue
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        wa, wb, wc = uvw[a, 2], uvw[b, 2], uvw[c, 2]
        sum_a, sum_b, sum_c = 0.0, 0.0, 0.0
        for p in range(first[t], first[t + 1]):
            share_a, share_b = shares[p, 0], shares[p, 1]
            share_c = 1.0 - share_a - share_b
            inverse = share_a * wa + share_b * wb + share_c * wc
            gain = by_pixel[pixels[p]] * areas[p] / (inverse * inverse)
            sum_a += gain * share_a
            sum_b += gain * share_b
            sum_c += gain * share_c
        row = (uvw[a, 1] + uvw[b, 1] + uvw[c, 1]) / 3.0
        steepness = plane_steepness(vertices, source, source_step, row, a, b, c, EDGE_ON, normal)
        for axis in range(3):
            gradient[a, axis] += steepness * wa * sum_a * normal[axis]
            gradient[b, axis] += steepness * wb * sum_b * normal[axis]
            gradient[c, axis] += steepness * wc * sum_c * normal[axis]
