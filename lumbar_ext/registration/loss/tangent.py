"""How points of a vertebra move with its parameters: between pose parameters and the vertebra's own moving frame."""

from __future__ import annotations

import numpy as np

from lumbar_ext.geometry import Camera
from lumbar_ext.registration.parameters import POSE_SIZE


def tangent_from_pose(pose: np.ndarray) -> np.ndarray:
    """[6, 6]: what a change of pose parameters [6] is as translation and rotation in the moved vertebra's own frame.

    With `R = Rz Ry Rx`, translation turns by `R^T` and the rotation axes seen from the moved frame are x, `Rx^T y` and
    `(Ry Rx)^T z`.
    """
    cx, cy, cz = np.cos(pose[3:POSE_SIZE])
    sx, sy, sz = np.sin(pose[3:POSE_SIZE])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    tangent = np.zeros((POSE_SIZE, POSE_SIZE))
    tangent[:3, :3] = (about_z @ about_y @ about_x).T
    tangent[3:, 3] = (1, 0, 0)
    tangent[3:, 4] = about_x.T @ (0, 1, 0)
    tangent[3:, 5] = (about_y @ about_x).T @ (0, 0, 1)
    return tangent


def point_motions(points_mm: np.ndarray, modes_mm: np.ndarray) -> np.ndarray:
    """Derivative [N, 3, 6 + K] of points [N, 3] by translation, rotation (own frame) and coefficients of modes [K,
    N, 3].
    """
    x, y, z = points_mm.T
    zero = np.zeros(len(points_mm))
    shift = np.broadcast_to(np.eye(3), (len(points_mm), 3, 3))
    turn = np.array([[zero, z, -y], [-z, zero, x], [y, -x, zero]]).transpose(2, 0, 1)
    return np.concatenate([shift, turn, np.moveaxis(modes_mm, 0, -1)], axis=-1)


class DetectorProjection:
    """A camera's projection to mm on the detector, prepared for being called often.

    Args:
        camera: the camera.
    """

    def __init__(self, camera: Camera) -> None:
        self._source, self._normal = camera.source_mm, camera.normal
        self._axes = np.stack([camera.u_axis, camera.v_axis])
        self._distance = camera.source_distance_mm
        self._foot = camera.principal_point_px * camera.pixel_spacing_mm
        # Along v a source that moves with the row sees what lies before it at its own height, whatever the depth.
        self._by_depth = np.array([1.0, 0.0 if camera.source_moves else 1.0])

    def project_mm(self, points_mm: np.ndarray) -> np.ndarray:
        """Where world points [..., 3] are seen: [..., 2], (u, v) times the pixel spacing."""
        relative = points_mm - self._source
        return relative @ self._axes.T * self._scales(relative) + self._foot

    def derivative(self, points_mm: np.ndarray) -> np.ndarray:
        """Derivative [N, 2, 3] of `project_mm` by the points."""
        relative = points_mm - self._source
        slopes = self._by_depth * (relative @ self._axes.T) / (relative @ self._normal)[:, None]
        return self._scales(relative)[:, :, None] * (self._axes - slopes[:, :, None] * self._normal)

    def _scales(self, relative: np.ndarray) -> np.ndarray:
        """Mm on the detector per mm at points [..., 3] relative to the source, along u and v [..., 2]."""
        return (self._distance / (relative @ self._normal))[..., None] ** self._by_depth
