"""Ellipsoids of gas, fat and organs, rendered by the closed form of a chord."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.compiled import compiled
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

    In the coordinates that map an ellipsoid to the unit ball, a ray `o + s d` is inside between the roots of
    `a s^2 + 2 b s + c` with `a = |d|^2, b = o.d, c = |o|^2 - 1`.
    """
    nothing = Ellipsoids(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros(0))
    return carved_path_length(ellipsoids, nothing, camera)


def carved_path_length(ellipsoids: Ellipsoids, holes: Ellipsoids, camera: Camera) -> np.ndarray:
    """As `weighted_path_length`, without the part of the n-th ellipsoid that lies inside the n-th hole.

    Args:
        ellipsoids: N ellipsoids.
        holes: at most N ellipsoids; those without a hole stay whole.
        camera: the view.
    """
    return _accumulated(ellipsoids, holes, camera, 1)


def union_path_length(ellipsoids: Ellipsoids, camera: Camera) -> np.ndarray:
    """As `weighted_path_length`, but overlapping ellipsoids of positive contrast merge instead of adding up.

    The 4-norm of their path lengths stands for the union: the longest wins, and the rims of merged ones fade.
    """
    nothing = Ellipsoids(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros(0))
    return np.sqrt(np.sqrt(_accumulated(ellipsoids, nothing, camera, 4)))


def _accumulated(ellipsoids: Ellipsoids, holes: Ellipsoids, camera: Camera, power: int) -> np.ndarray:
    """Sum of the powers of weighted path lengths."""
    columns, rows = camera.size_px
    total = np.zeros((rows, columns), dtype=np.float32)
    if len(ellipsoids.contrast) == 0:
        return total
    reach = np.sqrt((ellipsoids.axes_mm**2).sum(-1).max(-1))
    magnification = np.abs(camera.magnification(ellipsoids.centres_mm))
    # 15 % more than the sphere around it: off the axis a sphere's image is an ellipse.
    reach_px = 1.15 * reach[:, None] * magnification / np.array(camera.pixel_spacing_mm) + 2
    centres_px = camera.project(ellipsoids.centres_mm)
    low = np.clip(np.floor(centres_px - reach_px), 0, camera.size_px).astype(np.int64)
    high = np.clip(np.ceil(centres_px + reach_px) + 1, 0, camera.size_px).astype(np.int64)
    rays = np.stack(
        [
            camera.detector_origin_mm - camera.source_mm,
            camera.u_axis * camera.pixel_spacing_mm[0],
            camera.v_axis * camera.pixel_spacing_mm[1] - camera.source_step_mm,
        ]
    )
    _accumulate(
        _ball_coordinates(ellipsoids, camera, rays),
        _ball_coordinates(holes, camera, rays),
        ellipsoids.contrast,
        rays,
        low,
        high,
        power,
        total,
    )
    return total


def _ball_coordinates(ellipsoids: Ellipsoids, camera: Camera, rays: np.ndarray) -> np.ndarray:
    """[N, 5, 3] source, first ray, ray steps along u and v and steps of the source along v, where each ellipsoid is the
    unit ball.
    """
    ball_from_world = ellipsoids.axes_mm / (ellipsoids.axes_mm**2).sum(-1)[..., None]
    source = np.einsum("nij,nj->ni", ball_from_world, camera.source_mm - ellipsoids.centres_mm)
    directions = np.einsum("nij,kj->nki", ball_from_world, np.concatenate([rays, camera.source_step_mm[None]]))
    return np.concatenate([source[:, None], directions], axis=1)


@compiled()
def _interval(ball, row, column):
    """Half length and middle of the part of a ray inside a unit ball, in units of the ray; no length for a miss."""
    x = ball[1, 0] + column * ball[2, 0] + row * ball[3, 0]
    y = ball[1, 1] + column * ball[2, 1] + row * ball[3, 1]
    z = ball[1, 2] + column * ball[2, 2] + row * ball[3, 2]
    a = x * x + y * y + z * z
    from_x = ball[0, 0] + row * ball[4, 0]
    from_y = ball[0, 1] + row * ball[4, 1]
    from_z = ball[0, 2] + row * ball[4, 2]
    b = from_x * x + from_y * y + from_z * z
    c = from_x**2 + from_y**2 + from_z**2 - 1.0
    discriminant = b * b - a * c
    if discriminant <= 0.0:
        return 0.0, 0.0
    return np.sqrt(discriminant) / a, -b / a


@compiled()
def _accumulate(balls, holes, contrast, rays, low, high, power, total):
    for n in range(contrast.shape[0]):
        for row in range(low[n, 1], high[n, 1]):
            for column in range(low[n, 0], high[n, 0]):
                half, middle = _interval(balls[n], row, column)
                if half == 0.0:
                    continue
                inside = 2.0 * half
                if n < holes.shape[0]:
                    hole_half, hole_middle = _interval(holes[n], row, column)
                    first = max(middle - half, hole_middle - hole_half)
                    last = min(middle + half, hole_middle + hole_half)
                    inside -= max(last - first, 0.0)
                x = rays[0, 0] + column * rays[1, 0] + row * rays[2, 0]
                y = rays[0, 1] + column * rays[1, 1] + row * rays[2, 1]
                z = rays[0, 2] + column * rays[1, 2] + row * rays[2, 2]
                value = contrast[n] * inside * np.sqrt(x * x + y * y + z * z)
                if power == 4:
                    value = value * value * value * value
                total[row, column] += np.float32(value)
