"""Cone-beam cameras as values: a point source and a flat detector, both in world mm.

Pixel coordinates are (u, v): u grows along a row (column index), v along a column (row index); the centre of pixel (0, 0) is
`detector_origin_mm`. An image array is indexed `image[v, u]`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lumbar_ext.errors import InputError

_AXIS_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Rays:
    """Half-lines from one source.

    Args:
        origin_mm: [3] the source.
        directions: [..., 3] unit vectors.
    """

    origin_mm: np.ndarray
    directions: np.ndarray


@dataclass(frozen=True)
class Camera:
    """One calibrated view.

    Args:
        source_mm: [3] X-ray focal spot, world mm.
        detector_origin_mm: [3] centre of pixel (0, 0), world mm.
        u_axis: [3] unit vector along a row, the way the column index grows.
        v_axis: [3] unit vector along a column, the way the row index grows; orthogonal to `u_axis`.
        pixel_spacing_mm: (du, dv), distance between pixel centres along u and v.
        size_px: (columns, rows).

    Raises:
        InputError: if an axis is not a unit vector, the axes are not orthogonal (tolerance 1e-3), a spacing or size is not
            positive, a value is not finite, or the source lies in the detector plane.
    """

    source_mm: np.ndarray
    detector_origin_mm: np.ndarray
    u_axis: np.ndarray
    v_axis: np.ndarray
    pixel_spacing_mm: tuple[float, float]
    size_px: tuple[int, int]

    def __post_init__(self) -> None:
        for name in ("source_mm", "detector_origin_mm", "u_axis", "v_axis"):
            value = np.array(getattr(self, name), dtype=np.float64)
            if value.shape != (3,) or not np.isfinite(value).all():
                raise InputError(f"{name} must hold three finite numbers, found {getattr(self, name)!r}")
            object.__setattr__(self, name, value)
        self._check_axes()
        self._check_grid()
        if abs(self.source_distance_mm) < 1.0:
            raise InputError(
                f"source_mm lies in the detector plane (distance {self.source_distance_mm:.3f} mm); expected hundreds of mm"
            )

    def _check_axes(self) -> None:
        for name in ("u_axis", "v_axis"):
            length = np.linalg.norm(getattr(self, name))
            if abs(length - 1) > _AXIS_TOLERANCE:
                raise InputError(f"{name} must be a unit vector, found length {length:.4f}")
        cosine = float(self.u_axis @ self.v_axis)
        if abs(cosine) > _AXIS_TOLERANCE:
            raise InputError(
                f"u_axis and v_axis must be orthogonal, found an angle of {np.degrees(np.arccos(cosine)):.2f} deg"
            )
        # The tolerated deviation is removed, so that all later arithmetic may rely on an orthonormal pair.
        u_axis = self.u_axis / np.linalg.norm(self.u_axis)
        v_axis = self.v_axis - (self.v_axis @ u_axis) * u_axis
        object.__setattr__(self, "u_axis", u_axis)
        object.__setattr__(self, "v_axis", v_axis / np.linalg.norm(v_axis))

    def _check_grid(self) -> None:
        spacing = tuple(float(s) for s in self.pixel_spacing_mm)
        if len(spacing) != 2 or not all(np.isfinite(s) and s > 0 for s in spacing):
            raise InputError(f"pixel_spacing_mm must be two positive numbers [du, dv], found {self.pixel_spacing_mm!r}")
        if len(self.size_px) != 2 or any(int(n) != n or n < 1 for n in self.size_px):
            raise InputError(f"size_px must be two positive integers [columns, rows], found {self.size_px!r}")
        object.__setattr__(self, "pixel_spacing_mm", spacing)
        object.__setattr__(self, "size_px", tuple(int(n) for n in self.size_px))

    @cached_property
    def normal(self) -> np.ndarray:
        """`u_axis x v_axis`: unit normal of the detector. It points away from the source unless the image is mirrored."""
        return np.cross(self.u_axis, self.v_axis)

    @cached_property
    def source_distance_mm(self) -> float:
        """Signed distance from the source to the detector plane along `normal`; negative for a mirrored image."""
        return float(self.normal @ (self.detector_origin_mm - self.source_mm))

    @cached_property
    def principal_point_px(self) -> np.ndarray:
        """(u, v) of the foot of the perpendicular from the source."""
        foot = self.source_mm - self.detector_origin_mm
        return np.array([foot @ self.u_axis, foot @ self.v_axis]) / self.pixel_spacing_mm

    @property
    def centre_px(self) -> np.ndarray:
        """(u, v) of the middle of the image."""
        return (np.array(self.size_px) - 1) / 2

    @property
    def central_direction(self) -> np.ndarray:
        """Unit vector from the source to the middle of the detector."""
        return self.backproject(self.centre_px).directions

    def detector_point(self, uv_px: np.ndarray) -> np.ndarray:
        """World position [..., 3] in mm of detector points uv [..., 2] in px."""
        offset_mm = np.asarray(uv_px, dtype=np.float64) * self.pixel_spacing_mm
        return self.detector_origin_mm + offset_mm[..., :1] * self.u_axis + offset_mm[..., 1:] * self.v_axis

    def project(self, points_mm: np.ndarray) -> np.ndarray:
        """Pixel coordinates uv [..., 2] of world points [..., 3] in mm.

        A point in the source's own plane parallel to the detector has no projection and gives infinities.
        """
        relative = np.asarray(points_mm, dtype=np.float64) - self.source_mm
        axes = np.stack([self.u_axis, self.v_axis, self.normal], axis=-1)
        along = relative @ axes
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = self.source_distance_mm / along[..., 2:]
        return along[..., :2] * scale / self.pixel_spacing_mm + self.principal_point_px

    def backproject(self, uv_px: np.ndarray) -> Rays:
        """The rays from the source through pixel coordinates uv [..., 2]."""
        directions = self.detector_point(uv_px) - self.source_mm
        return Rays(self.source_mm, directions / np.linalg.norm(directions, axis=-1, keepdims=True))

    def magnification(self, points_mm: np.ndarray) -> np.ndarray:
        """Detector mm per object mm [...] for small objects at world points [..., 3] facing the detector."""
        depth = (np.asarray(points_mm, dtype=np.float64) - self.source_mm) @ self.normal
        return self.source_distance_mm / depth

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
    ) -> Camera:
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
        if abs(u_axis @ v_axis) > _AXIS_TOLERANCE:
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

    def replace(self, **changes) -> Camera:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def resampled(
        self, *, size_px: tuple[int, int], pixel_spacing_mm: tuple[float, float], centre_uv_px: np.ndarray | None = None
    ) -> Camera:
        """The same detector read on another grid.

        Args:
            size_px: (columns, rows) of the new grid.
            pixel_spacing_mm: (du, dv) of the new grid.
            centre_uv_px: [2] old pixel coordinates on which the new grid is centred, the middle of the image by default.
        """
        centre = self.centre_px if centre_uv_px is None else np.asarray(centre_uv_px, dtype=np.float64)
        half_mm = (np.array(size_px) - 1) / 2 * pixel_spacing_mm
        origin = self.detector_point(centre) - half_mm[0] * self.u_axis - half_mm[1] * self.v_axis
        return self.replace(detector_origin_mm=origin, pixel_spacing_mm=pixel_spacing_mm, size_px=size_px)

    def flipped_u(self) -> Camera:
        """The camera of `image[:, ::-1]`."""
        return self.replace(detector_origin_mm=self.detector_point([self.size_px[0] - 1, 0]), u_axis=-self.u_axis)

    def flipped_v(self) -> Camera:
        """The camera of `image[::-1, :]`."""
        return self.replace(detector_origin_mm=self.detector_point([0, self.size_px[1] - 1]), v_axis=-self.v_axis)

    def transposed(self) -> Camera:
        """The camera of `image.T`."""
        return self.replace(
            u_axis=self.v_axis,
            v_axis=self.u_axis,
            pixel_spacing_mm=self.pixel_spacing_mm[::-1],
            size_px=self.size_px[::-1],
        )


def _sign_facing_the_scene(matrix: np.ndarray, depth_scale: float) -> float:
    """The sign that makes depths positive in front of the camera: a projection matrix is defined up to any factor.

    A patient stands near the world origin ("origin anywhere near"), so the side that holds the origin is the front; for a
    source within 1 mm of the origin's plane the rule of an unmirrored image (positive determinant) decides.
    """
    origin_depth_mm = matrix[2, 3] / depth_scale
    return np.sign(origin_depth_mm) if abs(origin_depth_mm) > 1.0 else np.sign(np.linalg.det(matrix[:, :3]))
