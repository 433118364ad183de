"""The pair of calibrated views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.geometry.camera import Camera

_MIN_ANGLE_DEG = 30.0  # between both beams: nearer ones say little about depth


@dataclass(frozen=True)
class BiplanarGeometry:
    """The calibration of a study: the AP and the lateral camera in one world frame.

    Raises:
        InputError: if the views are swapped, or closer than 30 deg to each other: depth cannot be had from parallel views.
    """

    ap: Camera
    lat: Camera

    def __post_init__(self) -> None:
        ap, lat = self.ap.central_direction, self.lat.central_direction
        if abs(ap[1]) > abs(ap[0]) and abs(lat[0]) > abs(lat[1]):
            raise InputError(
                "the views look swapped: 'ap' is taken from the side (along Y) and 'lat' from the front or back (along X); "
                "expected the reverse (X points to the person's front, Y to the left)"
            )
        if self.angle_deg < _MIN_ANGLE_DEG:
            raise InputError(
                f"the views are parallel or nearly so: {self.angle_deg:.1f} deg between the central rays, "
                f"expected at least {_MIN_ANGLE_DEG:.0f}"
            )

    @property
    def angle_deg(self) -> float:
        """Angle between the central rays, in [0, 90] deg."""
        cosine = abs(float(self.ap.central_direction @ self.lat.central_direction))
        return float(np.degrees(np.arccos(min(cosine, 1.0))))

    def __getitem__(self, view: str) -> Camera:
        return {"ap": self.ap, "lat": self.lat}[view]
