"""Compiled inner loops: one posed vertebra's path length in its own window, and what it changes in the loss of a
view.
"""

from __future__ import annotations

import math

import numpy as np

from lumbar_ext.compiled import compiled
from lumbar_ext.drr.rasteriser import accumulate_signed_depth, project_vertices


@compiled()
def covered_window(uvw, columns, rows):
    """The pixels (first column, first row, end column, end row) whose centres a projected mesh can cover inside the image."""
    low_u, low_v, high_u, high_v = _projected_box(uvw)
    first_u = math.ceil(min(max(low_u, 0.0), columns))
    first_v = math.ceil(min(max(low_v, 0.0), rows))
    return first_u, first_v, _window_end(high_u, first_u, columns), _window_end(high_v, first_v, rows)


@compiled()
def touched_window(uvw, columns, rows):
    """The pixels (first column, first row, end column, end row) whose area a projected mesh can touch inside the image."""
    low_u, low_v, high_u, high_v = _projected_box(uvw)
    first_u = math.floor(min(max(low_u + 0.5, 0.0), columns))
    first_v = math.floor(min(max(low_v + 0.5, 0.0), rows))
    return first_u, first_v, _window_end(high_u + 0.5, first_u, columns), _window_end(high_v + 0.5, first_v, rows)


@compiled()
def _projected_box(uvw):
    """Smallest column and row, largest column and row of projected vertices [V, 3]."""
    low_u, low_v, high_u, high_v = np.inf, np.inf, -np.inf, -np.inf
    for i in range(uvw.shape[0]):
        low_u, high_u = min(low_u, uvw[i, 0]), max(high_u, uvw[i, 0])
        low_v, high_v = min(low_v, uvw[i, 1]), max(high_v, uvw[i, 1])
    return low_u, low_v, high_u, high_v


@compiled()
def _window_end(high, first, size):
    return math.ceil(min(max(high, first), size))


@compiled()
def penalty(residual, code, scale):
    """The penalty of one pixel; see `lumbar_ext.registration.terms.similarity`."""
    if code == 0:
        return abs(residual)
    if code == 1:
        return residual * residual
    size = abs(residual)
    return size * size / (2.0 * scale) if size <= scale else size - 0.5 * scale


@compiled()
def reweighting(residual, code, scale):
    """`penalty'(r) / r` of one pixel; see `lumbar_ext.registration.terms.similarity`."""
    if code == 0:
        return 1.0 / max(abs(residual), 1e-3)
    if code == 1:
        return 2.0
    return 1.0 / max(abs(residual), scale)


@compiled()
def view_penalty(prediction, target, weight, code, scale):
    """The summed weighted penalty of a predicted picture."""
    total = 0.0
    for y in range(target.shape[0]):
        for x in range(target.shape[1]):
            total += weight[y, x] * penalty(prediction[y, x] - target[y, x], code, scale)
    return total


@compiled()
def weighted_view(bones, gain, background, target, weight, code, scale, slope, residual):
    """Turns the penalty of a picture into least squares: fills slope and residual, returns the summed penalty.

    Args:
        bones: [rows, columns] DRR of the vertebrae.
        gain, background: the same shape, or [1, 1] for the same everywhere; `gain * bones + background` is predicted.
        target, weight: [rows, columns].
        code, scale: the similarity.
        slope: output, weighted derivative of the prediction by the DRR.
        residual: output, weighted difference.
    """
    total = 0.0
    varies = gain.size > 1
    for y in range(target.shape[0]):
        for x in range(target.shape[1]):
            factor = gain[y, x] if varies else gain[0, 0]
            offset = background[y, x] if varies else background[0, 0]
            difference = factor * bones[y, x] + offset - target[y, x]
            root = math.sqrt(weight[y, x] * reweighting(difference, code, scale))
            slope[y, x] = root * factor
            residual[y, x] = root * difference
            total += weight[y, x] * penalty(difference, code, scale)
    return total


@compiled()
def pinhole_from_vertebra(pinhole, rotation, translation, pose, moved):
    """Writes to moved [17] the camera seen from a vertebra's frame: that saves transforming every vertex.

    Args:
        pinhole: [17] the camera in world: source 0-2, u row 3-5, v row 6-8, depth row 9-11 (see
            `lumbar_ext.drr.rasteriser.project_vertices`), principal point 12-13, step of the source from row to row 14-16.
        rotation, translation: [3, 3] and [3] of the initial world_from_vertebra.
        pose: [6 or more] pose parameters in the vertebra frame.
        moved: [17] output.
    """
    cx, sx = math.cos(pose[3]), math.sin(pose[3])
    cy, sy = math.cos(pose[4]), math.sin(pose[4])
    cz, sz = math.cos(pose[5]), math.sin(pose[5])
    turn = np.empty((3, 3))
    turn[0, 0], turn[0, 1], turn[0, 2] = cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx
    turn[1, 0], turn[1, 1], turn[1, 2] = sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx
    turn[2, 0], turn[2, 1], turn[2, 2] = -sy, cy * sx, cy * cx
    for row in range(5):
        first = 3 * row if row < 4 else 14
        for j in range(3):
            total = 0.0
            for k in range(3):
                # world -> initial vertebra frame
                inner = 0.0
                for m in range(3):
                    value = pinhole[first + m] - (translation[m] if row == 0 else 0.0)
                    inner += rotation[m, k] * value
                # initial -> moved vertebra frame
                total += turn[k, j] * (inner - (pose[k] if row == 0 else 0.0))
            moved[first + j] = total
    moved[12], moved[13] = pinhole[12], pinhole[13]


@compiled()
def project_by_pinhole(vertices, pinhole, uvw):
    """`lumbar_ext.drr.rasteriser.project_vertices` with a pinhole [17] in the frame of the vertices."""
    moves = pinhole[14] != 0.0 or pinhole[15] != 0.0 or pinhole[16] != 0.0
    return project_vertices(
        vertices, pinhole[0:3], pinhole[3:6], pinhole[6:9], pinhole[9:12], pinhole[12], pinhole[13], moves, uvw
    )


@compiled()
def render_window(vertices, pinhole, orientation, triangles, columns, rows, uvw, scratch):
    """Renders depth fractions of one vertebra into the smallest window that holds it.

    Args:
        vertices: [V, 3] mm in the vertebra frame.
        pinhole: [17] the camera seen from the vertebra frame, from `pinhole_from_vertebra`.
        orientation: +1, or -1 for a mirrored image.
        triangles: [M, 3].
        columns, rows: image size.
        uvw: [V, 3] float64 output: projected vertices.
        scratch: [rows * columns] float32 output; its first pixels, [height, width] in C order, are the window.

    Returns:
        First column, first row, end column, end row; (-1, -1, -1, -1) where a vertex is not in front of the source.
    """
    smallest = project_by_pinhole(vertices, pinhole, uvw)
    if not smallest > 1e-6:
        return -1, -1, -1, -1
    u0, v0, u1, v1 = covered_window(uvw, columns, rows)
    depth = scratch[: (v1 - v0) * (u1 - u0)].reshape((v1 - v0, u1 - u0))
    depth[:] = 0.0
    accumulate_signed_depth(uvw, triangles, orientation, u0, v0, depth)
    return u0, v0, u1, v1


@compiled()
def loss_change(vertices, pinhole, orientation, triangles, image, code, scale, mu, uvw, scratch):
    """How much the summed penalty of a view changes when a vertebra is put into the scene.

    Args:
        vertices, pinhole, orientation, triangles, uvw, scratch: see `render_window`.
        image: [4, rows, columns] float32 stack: ray length mm, transmission of the other vertebrae, target, weight.
        code, scale: the similarity.
        mu: attenuation, 1/mm.

    Returns:
        The change; NaN where a vertex is not in front of the source.
    """
    rows, columns = image.shape[1], image.shape[2]
    u0, v0, u1, v1 = render_window(vertices, pinhole, orientation, triangles, columns, rows, uvw, scratch)
    if u0 < 0:
        return np.nan
    total, i = 0.0, 0
    for y in range(v0, v1):
        for x in range(u0, u1):
            fraction = scratch[i]
            i += 1
            if fraction > 1e-7:
                behind, target = image[1, y, x], image[2, y, x]
                without = 1.0 - behind - target
                present = 1.0 - behind * math.exp(-mu * fraction * image[0, y, x]) - target
                total += image[3, y, x] * (penalty(present, code, scale) - penalty(without, code, scale))
    return total
