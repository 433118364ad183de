"""The camera of a slot scanner: source and slit move together, and the image grows row by row.

Within a row the rays spread from the source as a cone beam's do; from row to row they stay parallel. So widths are magnified
with the depth and heights are not: of a point at (x, y, z) before the source, across and along the scan, `u = D x / z` and
`v = y`, with D the distance from the source to the plane in which the pixel spacing holds (Groisser, Geometry of the EOS
Radiographic Scanner, arXiv 1904.06711). There is no 3x4 matrix for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.geometry.camera import Camera

USUAL_MAGNIFICATION = 1.3
"""Of the cone beams that the networks were trained on, source to detector over source to person: 1.2 to 1.5."""


@dataclass(frozen=True)
class SlotScan(Camera):
    """A view that is scanned along v.

    Args:
        source_mm, detector_origin_mm, u_axis, v_axis, pixel_spacing_mm, size_px: as those of `Camera`. The plane of
            `detector_origin_mm` is any that is parallel to the detector: that in which du holds. dv is the way from a row
            to the next, in every plane. The part of `source_mm` along v_axis does not matter: the source is where the row is.
        source_isocentre_mm: distance from the source to where the person stands; that of the plane if omitted.

    Raises:
        InputError: as `Camera`, or if the isocentre is not before the source.
    """

    source_isocentre_mm: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        beyond_mm = float((self.source_mm - self.detector_origin_mm) @ self.v_axis)
        object.__setattr__(self, "source_mm", self.source_mm - beyond_mm * self.v_axis)
        distance = abs(self.source_distance_mm) if self.source_isocentre_mm is None else float(self.source_isocentre_mm)
        if not (np.isfinite(distance) and distance >= 1.0):
            raise InputError(f"source_isocentre_mm is {distance:g}, expected hundreds of mm")
        object.__setattr__(self, "source_isocentre_mm", distance)

    @property
    def source_step_mm(self) -> np.ndarray:
        """See `Camera`."""
        return self.pixel_spacing_mm[1] * self.v_axis

    def sources_mm(self, uv_px: np.ndarray) -> np.ndarray:
        """See `Camera`: [..., 3]."""
        return self.source_mm + np.asarray(uv_px, dtype=np.float64)[..., 1:] * self.source_step_mm

    def project(self, points_mm: np.ndarray) -> np.ndarray:
        """See `Camera`."""
        relative = np.asarray(points_mm, dtype=np.float64) - self.source_mm
        with np.errstate(divide="ignore", invalid="ignore"):
            across = relative @ self.u_axis * (self.source_distance_mm / (relative @ self.normal))
        uv_px = np.stack([across, relative @ self.v_axis], axis=-1) / self.pixel_spacing_mm
        return uv_px + np.array([self.principal_point_px[0], 0.0])

    def magnification(self, points_mm: np.ndarray) -> np.ndarray:
        """See `Camera`: 1 along v."""
        depth = (np.asarray(points_mm, dtype=np.float64) - self.source_mm) @ self.normal
        across = self.source_distance_mm / depth
        return np.stack([across, np.ones_like(across)], axis=-1)

    def grid_spacing_mm(self, spacing_mm: float) -> tuple[float, float]:
        """See `Camera`: square at the isocentre."""
        there_mm = spacing_mm / USUAL_MAGNIFICATION
        return there_mm * abs(self.source_distance_mm) / self.source_isocentre_mm, there_mm

    def transposed(self) -> SlotScan:
        """See `Camera`.

        Raises:
            InputError: always.
        """
        raise InputError("an image of a slot scan is turned by 90 deg, expected rows that are lines of the scan")
