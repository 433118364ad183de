"""Rigid transforms as values, and the least-squares rigid fit of two point sets.

Names follow `target_from_source`: `world_from_vertebra.apply(points in the vertebra frame)` gives world points, and products
read as names that cancel, `world_from_vertebra @ vertebra_from_body`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_ORTHONORMAL_TOLERANCE = 1e-6  # of R^T R from 1: rounding of single precision stays below


@dataclass(frozen=True)
class RigidTransform:
    """A proper rotation followed by a translation: `target = rotation @ source + translation_mm`.

    Args:
        rotation: [3, 3] orthonormal matrix of determinant +1.
        translation_mm: [3] translation in mm, in the target frame.

    Raises:
        ValueError: if a shape is wrong, a value is not finite, or `rotation` is not a proper rotation.
    """

    rotation: np.ndarray
    translation_mm: np.ndarray

    def __post_init__(self) -> None:
        rotation = np.array(self.rotation, dtype=np.float64)
        translation = np.array(self.translation_mm, dtype=np.float64)
        if rotation.shape != (3, 3) or translation.shape != (3,):
            raise ValueError(
                f"RigidTransform needs rotation [3, 3] and translation_mm [3], found {rotation.shape} and {translation.shape}"
            )
        if not (np.isfinite(rotation).all() and np.isfinite(translation).all()):
            raise ValueError("RigidTransform holds a value that is not finite")
        deviation = np.abs(rotation @ rotation.T - np.eye(3)).max()
        if deviation > _ORTHONORMAL_TOLERANCE or np.linalg.det(rotation) < 0:
            raise ValueError(
                f"rotation must be orthonormal with determinant +1, found a deviation of {deviation:.2g} "
                f"and determinant {np.linalg.det(rotation):.6f}"
            )
        object.__setattr__(self, "rotation", rotation)
        object.__setattr__(self, "translation_mm", translation)

    @classmethod
    def identity(cls) -> RigidTransform:
        """The transform that moves nothing."""
        return cls(np.eye(3), np.zeros(3))

    @classmethod
    def from_euler(
        cls, lateral_rad: float, flexion_rad: float, axial_rad: float, translation_mm: np.ndarray | None = None
    ) -> RigidTransform:
        """A rotation of `Rz(axial) @ Ry(flexion) @ Rx(lateral)` and a translation.

        Args:
            lateral_rad: lateral bend, about X (front).
            flexion_rad: flexion, about Y (left); positive leans forward.
            axial_rad: axial rotation, about Z (up); positive turns to the left.
            translation_mm: [3], zero when omitted.
        """
        translation = np.zeros(3) if translation_mm is None else translation_mm
        return cls(euler_rotation(lateral_rad, flexion_rad, axial_rad), translation)

    @classmethod
    def from_pose(cls, pose: np.ndarray) -> RigidTransform:
        """From the six pose parameters (tx, ty, tz in mm; lateral, flexion, axial in rad)."""
        return cls.from_euler(pose[3], pose[4], pose[5], np.asarray(pose[:3]))

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Maps points [..., 3] of the source frame to the target frame."""
        return np.asarray(points) @ self.rotation.T + self.translation_mm

    def inverse(self) -> RigidTransform:
        """The motion back: `source_from_target` of a `target_from_source`."""
        return RigidTransform(self.rotation.T, -self.rotation.T @ self.translation_mm)

    def __matmul__(self, other: RigidTransform) -> RigidTransform:
        return RigidTransform(
            _nearest_rotation(self.rotation @ other.rotation),
            self.rotation @ other.translation_mm + self.translation_mm,
        )

    def to_matrix(self) -> np.ndarray:
        """The homogeneous matrix [4, 4]."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.rotation
        matrix[:3, 3] = self.translation_mm
        return matrix

    def euler_rad(self) -> np.ndarray:
        """(lateral, flexion, axial) in rad, the inverse of `from_euler` for |flexion| < 90 deg."""
        r = self.rotation
        return np.array(
            [np.arctan2(r[2, 1], r[2, 2]), np.arcsin(np.clip(-r[2, 0], -1.0, 1.0)), np.arctan2(r[1, 0], r[0, 0])]
        )

    def angle_rad(self) -> float:
        """The rotation angle about the transform's own axis, in [0, pi]."""
        skew = self.rotation - self.rotation.T
        sine = np.linalg.norm([skew[2, 1], skew[0, 2], skew[1, 0]]) / 2
        return float(np.arctan2(sine, (np.trace(self.rotation) - 1) / 2))


def euler_rotation(lateral_rad: float, flexion_rad: float, axial_rad: float) -> np.ndarray:
    """The rotation matrix [3, 3] `Rz(axial) @ Ry(flexion) @ Rx(lateral)`."""
    cx, sx = np.cos(lateral_rad), np.sin(lateral_rad)
    cy, sy = np.cos(flexion_rad), np.sin(flexion_rad)
    cz, sz = np.cos(axial_rad), np.sin(axial_rad)
    return np.array(
        [
            [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
            [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
            [-sy, cy * sx, cy * cx],
        ]
    )


def fit_rigid(source: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None) -> RigidTransform:
    """The rigid transform that minimises `sum_i weights_i |target_i - T(source_i)|^2`; no scaling.

    Args:
        source: [N, 3] points, N >= 3.
        target: [N, 3] corresponding points.
        weights: [N] non-negative weights, equal when omitted.

    Returns:
        `target_from_source`.

    Raises:
        ValueError: for unequal shapes, fewer than three weighted points, or points on one line.

    References:
        Kabsch W. A discussion of the solution for the best rotation to relate two sets of vectors. Acta Cryst A34 (1978).
    """
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 3:
        raise ValueError(f"source and target must both be [N, 3], found {source.shape} and {target.shape}")
    weights = np.ones(len(source)) if weights is None else np.asarray(weights, dtype=np.float64)
    if (weights < 0).any() or np.count_nonzero(weights) < 3:
        raise ValueError("fit_rigid needs at least three points of positive weight and no negative weight")
    weights = weights / weights.sum()
    source_centre, target_centre = weights @ source, weights @ target
    covariance = (target - target_centre).T @ ((source - source_centre) * weights[:, None])
    u, singular_values, vt = np.linalg.svd(covariance)
    if singular_values[1] <= 1e-9 * max(singular_values[0], 1e-30):
        raise ValueError("fit_rigid cannot turn points that lie on one line: the rotation about it is undetermined")
    rotation = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    return RigidTransform(rotation, target_centre - rotation @ source_centre)


def _nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """Removes the rounding error that long products of rotations gather."""
    u, _, vt = np.linalg.svd(matrix)
    return u @ vt
