"""Two-ray triangulation: 3D points from their pixels in the two views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.geometry.camera import Camera

_PARALLEL_SINE = 1e-6  # of the angle between two rays: their nearest points are then rounding


@dataclass(frozen=True)
class Triangulation:
    """3D points and how well the two views agree on each.

    Args:
        points_mm: [..., 3] world mm, midpoints of the common perpendiculars.
        gap_mm: [...] length of the common perpendicular; NaN rays give NaN.
    """

    points_mm: np.ndarray
    gap_mm: np.ndarray


def triangulate(camera_a: Camera, camera_b: Camera, uv_a_px: np.ndarray, uv_b_px: np.ndarray) -> Triangulation:
    """The midpoints of the common perpendiculars of corresponding rays.

    With rays `O_a + s d_a` and `O_b + t d_b`, `s` and `t` solve the least-squares system `[d_a, -d_b] (s, t) = O_b - O_a`
    (the correct reading of equation 8 of Yu et al., arXiv 2503.14573); the point is the mean of both feet.

    Args:
        camera_a, camera_b: the two views.
        uv_a_px, uv_b_px: [..., 2] pixel coordinates of the same points; NaN where a view does not show the point.

    Raises:
        ValueError: for unequal shapes, or if some pair of rays is parallel.
    """
    uv_a_px, uv_b_px = np.asarray(uv_a_px, dtype=np.float64), np.asarray(uv_b_px, dtype=np.float64)
    if uv_a_px.shape != uv_b_px.shape or uv_a_px.shape[-1:] != (2,):
        raise ValueError(f"uv_a_px and uv_b_px must both be [..., 2], found {uv_a_px.shape} and {uv_b_px.shape}")
    rays_a, rays_b = camera_a.backproject(uv_a_px), camera_b.backproject(uv_b_px)
    cosine = (rays_a.directions * rays_b.directions).sum(-1)
    squared_sine = 1 - cosine**2
    if (squared_sine < _PARALLEL_SINE**2).any():
        raise ValueError("the rays of the two views are parallel: no point can be triangulated")
    baseline = rays_b.origin_mm - rays_a.origin_mm
    along_a, along_b = ((rays.directions * baseline).sum(-1) for rays in (rays_a, rays_b))
    s = (along_a - cosine * along_b) / squared_sine
    t = (cosine * along_a - along_b) / squared_sine
    foot_a = rays_a.origin_mm + s[..., None] * rays_a.directions
    foot_b = rays_b.origin_mm + t[..., None] * rays_b.directions
    return Triangulation((foot_a + foot_b) / 2, np.linalg.norm(foot_a - foot_b, axis=-1))
