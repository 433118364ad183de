"""Ellipsoids of gas, fat and organs, rendered by the closed form of a chord."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from lumbar_ext.geometry import Camera, RigidTransform


@dataclass(frozen=True)
class Ellipsoids:
    """N ellipsoids, each changing the attenuation inside it.

    Args:
        centres_mm: [N, 3].
        axes_mm: [N, 3, 3], rows are the semi-axes as vectors.
        contrast: [N] weight of the path length: what is added to the attenuation of the surroundings.
    """

    centres_mm: np.ndarray
    axes_mm: np.ndarray
    contrast: np.ndarray

    def moved(self, target_from_source: RigidTransform) -> Ellipsoids:
        """The ellipsoids in another frame."""
        axes = self.axes_mm @ target_from_source.rotation.T
        return Ellipsoids(target_from_source.apply(self.centres_mm), axes, self.contrast)

    @classmethod
    def concatenated(cls, parts: list[Ellipsoids]) -> Ellipsoids:
        """All ellipsoids of several sets."""
        fields = ("centres_mm", "axes_mm", "contrast")
        return cls(*(np.concatenate([getattr(part, field) for part in parts]) for field in fields))


def weighted_path_length(ellipsoids: Ellipsoids, camera: Camera) -> np.ndarray:
    """Sum of contrast times chord length in mm, float32 [rows, columns].

    In the coordinates that map an ellipsoid to the unit ball, a ray `o + s d` has the chord `2 sqrt(b^2 - a c) / a` with
    `a = |d|^2, b = o.d, c = |o|^2 - 1`.
    """
    columns, rows = camera.size_px
    total = np.zeros((rows, columns), dtype=np.float32)
    if len(ellipsoids.contrast) == 0:
        return total
    squared = (ellipsoids.axes_mm**2).sum(-1)
    ball_from_world = ellipsoids.axes_mm / squared[..., None]
    reach = np.sqrt(squared.max(-1))
    magnification = np.abs(camera.magnification(ellipsoids.centres_mm))
    centres_px = camera.project(ellipsoids.centres_mm)
    # 15 % more than the sphere around it: off the axis a sphere's image is an ellipse.
    reach_px = 1.15 * (reach * magnification)[:, None] / np.array(camera.pixel_spacing_mm) + 2
    low = np.clip(np.floor(centres_px - reach_px), 0, camera.size_px).astype(np.int64)
    high = np.clip(np.ceil(centres_px + reach_px) + 1, 0, camera.size_px).astype(np.int64)
    step_u = camera.u_axis * camera.pixel_spacing_mm[0]
    step_v = camera.v_axis * camera.pixel_spacing_mm[1]
    first = camera.detector_origin_mm - camera.source_mm
    _accumulate(
        ball_from_world, camera.source_mm - ellipsoids.centres_mm, ellipsoids.contrast, first, step_u, step_v, low, high, total
    )
    return total


@numba.njit(nogil=True, cache=True)
def _accumulate(ball_from_world, source_offset, contrast, first, step_u, step_v, low, high, total):
    for n in range(contrast.shape[0]):
        matrix = np.ascontiguousarray(ball_from_world[n])
        o, d0, du, dv = matrix @ source_offset[n], matrix @ first, matrix @ step_u, matrix @ step_v
        c = (o * o).sum() - 1.0
        for row in range(low[n, 1], high[n, 1]):
            rx, ry, rz = d0[0] + row * dv[0], d0[1] + row * dv[1], d0[2] + row * dv[2]
            wx, wy, wz = first[0] + row * step_v[0], first[1] + row * step_v[1], first[2] + row * step_v[2]
            for column in range(low[n, 0], high[n, 0]):
                x, y, z = rx + column * du[0], ry + column * du[1], rz + column * du[2]
                a = x * x + y * y + z * z
                b = o[0] * x + o[1] * y + o[2] * z
                discriminant = b * b - a * c
                if discriminant > 0.0:
                    px, py, pz = wx + column * step_u[0], wy + column * step_u[1], wz + column * step_u[2]
                    ray = np.sqrt(px * px + py * py + pz * pz)
                    total[row, column] += np.float32(contrast[n] * 2.0 * np.sqrt(discriminant) / a * ray)
