"""The camera of a flat detector and a source that stands still."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.geometry.camera import AXIS_TOLERANCE, Camera


@dataclass(frozen=True)
class ConeBeam(Camera):
    """A view that is exposed at once: all rays meet in the source. Arguments as those of `Camera`."""

    @property
    def source_step_mm(self) -> np.ndarray:
        """See `Camera`."""
        return np.zeros(3)

    def sources_mm(self, uv_px: np.ndarray) -> np.ndarray:
        """See `Camera`: [3]."""
        return self.source_mm

    def project(self, points_mm: np.ndarray) -> np.ndarray:
        """See `Camera`."""
        relative = np.asarray(points_mm, dtype=np.float64) - self.source_mm
        axes = np.stack([self.u_axis, self.v_axis, self.normal], axis=-1)
        along = relative @ axes
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = self.source_distance_mm / along[..., 2:]
        return along[..., :2] * scale / self.pixel_spacing_mm + self.principal_point_px

    def magnification(self, points_mm: np.ndarray) -> np.ndarray:
        """See `Camera`: the same along u and v."""
        depth = (np.asarray(points_mm, dtype=np.float64) - self.source_mm) @ self.normal
        scale = self.source_distance_mm / depth
        return np.stack([scale, scale], axis=-1)

    def grid_spacing_mm(self, spacing_mm: float) -> tuple[float, float]:
        """See `Camera`: what is asked for."""
        return spacing_mm, spacing_mm

    def transposed(self) -> ConeBeam:
        """The camera that sees `image.T`, in which rows and columns have changed places."""
        return self.replace(
            u_axis=self.v_axis,
            v_axis=self.u_axis,
            pixel_spacing_mm=self.pixel_spacing_mm[::-1],
            size_px=self.size_px[::-1],
        )

    def projection_matrix(self) -> np.ndarray:
        """The 3x4 matrix P with `(u w, v w, w) = P (x, y, z, 1)`, scaled so that w is the depth in mm (OpenCV convention)."""
        du, dv = self.pixel_spacing_mm
        distance = abs(self.source_distance_mm)
        u0, v0 = self.principal_point_px
        depth_axis = self.normal * np.sign(self.source_distance_mm)
        intrinsic = np.array([[distance / du, 0, u0], [0, distance / dv, v0], [0, 0, 1.0]])
        rotation = np.stack([self.u_axis, self.v_axis, depth_axis])
        return intrinsic @ np.hstack([rotation, -(rotation @ self.source_mm)[:, None]])

    @classmethod
    def from_projection_matrix(
        cls, matrix: np.ndarray, *, size_px: tuple[int, int], pixel_spacing_mm: tuple[float, float]
    ) -> ConeBeam:
        """The camera of a 3x4 projection matrix of world mm to pixels (OpenCV convention: u right, v down, depth positive).

        A projection matrix fixes the rays but not where along them the detector stands; `pixel_spacing_mm` settles that.

        Args:
            matrix: [3, 4], of any non-zero scale.
            size_px: (columns, rows).
            pixel_spacing_mm: (du, dv) on the detector.

        Raises:
            InputError: for a wrong shape, a singular matrix, skewed pixels, or a spacing that contradicts the pixel aspect.
        """
        matrix = np.asarray(matrix, dtype=np.float64)
        if matrix.shape != (3, 4) or not np.isfinite(matrix).all():
            raise InputError(f"projection_matrix must hold 3 rows of 4 finite numbers, found shape {matrix.shape}")
        left = matrix[:, :3]
        depth_scale = np.linalg.norm(left[2])
        if depth_scale < 1e-12 or abs(np.linalg.det(left / depth_scale)) < 1e-9:
            raise InputError(
                "projection_matrix is singular: its left 3x3 block has no inverse, expected a cone-beam camera"
            )
        source = -np.linalg.solve(left, matrix[:, 3])
        rows = left / (depth_scale * _sign_facing_the_scene(matrix, depth_scale))
        depth_axis = rows[2]
        principal = np.array([rows[0] @ depth_axis, rows[1] @ depth_axis])
        focal_u_axis, focal_v_axis = (rows[i] - principal[i] * depth_axis for i in range(2))
        focal_px = np.array([np.linalg.norm(focal_u_axis), np.linalg.norm(focal_v_axis)])
        u_axis, v_axis = focal_u_axis / focal_px[0], focal_v_axis / focal_px[1]
        if abs(u_axis @ v_axis) > AXIS_TOLERANCE:
            raise InputError(
                f"projection_matrix has skewed pixels (cosine {u_axis @ v_axis:.4f}); expected rectangular ones"
            )
        distances_mm = focal_px * pixel_spacing_mm
        if abs(distances_mm[0] / distances_mm[1] - 1) > 0.01:
            raise InputError(
                f"pixel_spacing_mm {tuple(pixel_spacing_mm)} contradicts projection_matrix: its focal lengths "
                f"{focal_px[0]:.1f} and {focal_px[1]:.1f} px give source distances of {distances_mm[0]:.1f} and "
                f"{distances_mm[1]:.1f} mm, expected the same within 1 %"
            )
        foot = source + depth_axis * distances_mm.mean()
        principal_mm = principal * pixel_spacing_mm
        return cls(
            source,
            foot - principal_mm[0] * u_axis - principal_mm[1] * v_axis,
            u_axis,
            v_axis,
            pixel_spacing_mm,
            size_px,
        )


def _sign_facing_the_scene(matrix: np.ndarray, depth_scale: float) -> float:
    """The sign that makes depths positive in front of the camera: a projection matrix is defined up to any factor.

    A patient stands near the world origin ("origin anywhere near"), so the side that holds the origin is the front; for a
    source within 1 mm of the origin's plane the rule of an unmirrored image (positive determinant) decides.
    """
    origin_depth_mm = matrix[2, 3] / depth_scale
    return np.sign(origin_depth_mm) if abs(origin_depth_mm) > 1.0 else np.sign(np.linalg.det(matrix[:, :3]))
