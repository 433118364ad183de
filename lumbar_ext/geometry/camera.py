"""Cameras as values: a protocol, `Camera`, of which a cone beam and a slot scan are the two kinds.

All else in the package asks a camera only what stands here: where it sees points and along which rays, and what it is after its
image was cut, mirrored or resampled. Two numbers make the difference between the kinds: the source stands still or moves from
row to row (`source_step_mm`), and the rows' scale depends on the depth or does not.

Pixel coordinates are (u, v): u grows along a row (column index), v along a column (row index); the centre of pixel (0, 0) is
`detector_origin_mm`. An image array is indexed `image[v, u]`.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from lumbar_ext.errors import InputError

AXIS_TOLERANCE = 1e-3
"""By which axes may differ from unit vectors, and from being orthogonal."""


@dataclass(frozen=True)
class Rays:
    """Half-lines, each from the source that makes it.

    Args:
        origin_mm: [3] the source of all, or [..., 3] that of each.
        directions: [..., 3] unit vectors.
    """

    origin_mm: np.ndarray
    directions: np.ndarray


@dataclass(frozen=True)
class Camera(ABC):
    """One calibrated view: `ConeBeam` or `SlotScan`.

    Args:
        source_mm: [3] X-ray focal spot while row 0 is exposed, world mm.
        detector_origin_mm: [3] centre of pixel (0, 0), world mm.
        u_axis: [3] unit vector along a row, the way the column index grows.
        v_axis: [3] unit vector along a column, the way the row index grows; orthogonal to `u_axis`.
        pixel_spacing_mm: (du, dv), distance between pixel centres along u and v, in the plane of `detector_origin_mm`.
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
            if abs(length - 1) > AXIS_TOLERANCE:
                raise InputError(f"{name} must be a unit vector, found length {length:.4f}")
        cosine = float(self.u_axis @ self.v_axis)
        if abs(cosine) > AXIS_TOLERANCE:
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

    @property
    @abstractmethod
    def source_step_mm(self) -> np.ndarray:
        """[3] how the source moves from a row to the next; zero where it stands still."""

    @property
    def source_moves(self) -> bool:
        """Whether the source moves with the row; heights are then the same at every depth."""
        return bool(self.source_step_mm.any())

    @abstractmethod
    def project(self, points_mm: np.ndarray) -> np.ndarray:
        """Pixel coordinates uv [..., 2] of world points [..., 3] in mm.

        A point in the source's own plane parallel to the detector has no projection and gives infinities.
        """

    @abstractmethod
    def sources_mm(self, uv_px: np.ndarray) -> np.ndarray:
        """The source that exposes pixel coordinates uv [..., 2]: [3] where it is the same for all, else [..., 3]."""

    @abstractmethod
    def magnification(self, points_mm: np.ndarray) -> np.ndarray:
        """Mm in the detector's plane per object mm along u and v [..., 2], of small objects at world points [..., 3] facing
        the detector.
        """

    @abstractmethod
    def grid_spacing_mm(self, spacing_mm: float) -> tuple[float, float]:
        """(du, dv) of the pixels that show a person as large as pixels of `spacing_mm` on the detector of a usual cone beam."""

    @abstractmethod
    def transposed(self) -> Self:
        """The camera of `image.T`.

        Raises:
            InputError: for a slot scan, whose rows are lines of the scan.
        """

    def backproject(self, uv_px: np.ndarray) -> Rays:
        """The rays from the source through pixel coordinates uv [..., 2]."""
        sources = self.sources_mm(uv_px)
        directions = self.detector_point(uv_px) - sources
        return Rays(sources, directions / np.linalg.norm(directions, axis=-1, keepdims=True))

    def replace(self, **changes) -> Self:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def resampled(
        self, *, size_px: tuple[int, int], pixel_spacing_mm: tuple[float, float], centre_uv_px: np.ndarray | None = None
    ) -> Self:
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

    def flipped_u(self) -> Self:
        """The camera of `image[:, ::-1]`."""
        return self.replace(detector_origin_mm=self.detector_point([self.size_px[0] - 1, 0]), u_axis=-self.u_axis)

    def flipped_v(self) -> Self:
        """The camera of `image[::-1, :]`."""
        return self.replace(detector_origin_mm=self.detector_point([0, self.size_px[1] - 1]), v_axis=-self.v_axis)
