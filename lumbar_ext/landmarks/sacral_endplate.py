"""The superior endplate of S1 in space, from its five landmarks in two views.

Each view alone hardly tells where along its rays a point lies, and the landmarks of one endplate belong together: so all ten
observations and what is known of the endplate's size and shape are brought together by least squares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from lumbar_ext.geometry import BiplanarGeometry

TEMPLATE_MM = np.array([[0, 0, -0.2], [14.5, 0, -2.3], [-14.5, 0, -2.3], [0, 25, 2.3], [0, -25, 2.3]], float)
"""[5, 3] `anatomy.S1_LANDMARKS` in the endplate's frame (`endplate_frame`): mean over 559 simulated training people."""

SPREAD_MM = np.array([[0.8, 0.8, 2.0], [3.5, 1.2, 1.4], [3.5, 1.2, 1.4], [2.0, 3.5, 1.4], [2.0, 3.5, 1.4]])
"""Standard deviations of the template: twice those of these people, whose sacra are one real bone in many proportions."""

_AXIS_SD_PER_SCALE = np.sqrt(3.0)
"""Standard deviation along one axis of a position whose distance from the truth has the density exp(-e / b) / (2 pi b^2):
the mean of e^2 is 6 b^2, half of it along each axis."""


@dataclass(frozen=True)
class SacralEndplate:
    """S1's superior endplate.

    Args:
        points_mm: [5, 3] `anatomy.S1_LANDMARKS`, world mm.
        covariance_mm2: [15, 15] of these numbers, if the scales of the observations are right.
        residual: root mean square of the observations' misfit in their own standard deviations.
    """

    points_mm: np.ndarray
    covariance_mm2: np.ndarray
    residual: float

    @property
    def depth_mm(self) -> float:
        """Distance of the front and the back edge."""
        return float(np.linalg.norm(self.points_mm[1] - self.points_mm[2]))

    @property
    def width_mm(self) -> float:
        """Distance of the left and the right edge."""
        return float(np.linalg.norm(self.points_mm[3] - self.points_mm[4]))


def endplate_frame(points_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Origin [..., 3] and rotation [..., 3, 3] (columns X front, Y left, Z up) of an endplate with five points [..., 5, 3].

    X runs from the back to the front edge, Z stands on it and on the line of the left and right edges; the origin is the
    mean of the four edges.
    """
    forward = points_mm[..., 1, :] - points_mm[..., 2, :]
    up = np.cross(forward, points_mm[..., 3, :] - points_mm[..., 4, :])
    front, up = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (forward, up))
    return points_mm[..., 1:, :].mean(-2), np.stack([front, np.cross(up, front), up], axis=-1)


def fit_sacral_endplate(
    geometry: BiplanarGeometry, positions_px: Mapping[str, np.ndarray], scales_px: Mapping[str, np.ndarray],
    start_mm: np.ndarray,
) -> SacralEndplate:  # fmt: skip
    """The endplate that explains the landmarks of both views best.

    Args:
        geometry: cameras of the images in which positions are given.
        positions_px: by view, [5, 2] (u, v).
        scales_px: by view, [5] scale b of each position's error (`networks.spine_packing`); infinite for one not seen.
        start_mm: [5, 3] where the search begins, such as the triangulated points.
    """
    weights = {view: 1 / (_AXIS_SD_PER_SCALE * scale[:, None]) for view, scale in scales_px.items()}

    def misfit(points_mm: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [((geometry[view].project(points_mm) - own) * weights[view]).ravel() for view, own in positions_px.items()]
        )

    def residuals(numbers: np.ndarray) -> np.ndarray:
        points_mm = numbers.reshape(-1, 3)
        origin, rotation = endplate_frame(points_mm)
        shape = ((points_mm - origin) @ rotation - TEMPLATE_MM) / SPREAD_MM
        return np.concatenate([misfit(points_mm), shape.ravel()])

    found = least_squares(residuals, start_mm.ravel(), x_scale=1.0)
    points_mm = found.x.reshape(-1, 3)
    misfits = misfit(points_mm)
    seen = np.concatenate([np.repeat(np.isfinite(scale), 2) for scale in scales_px.values()])
    residual = float(np.sqrt(np.mean(misfits[seen] ** 2)))
    return SacralEndplate(points_mm, np.linalg.pinv(found.jac.T @ found.jac), residual)
