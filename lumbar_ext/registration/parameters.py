"""The parameters of a vertebra: six of its pose, then its shape coefficients; and how far they may go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

POSE_SIZE = 6
"""Pose parameters of a vertebra: tx, ty, tz in mm, lateral, flexion, axial in rad."""

POSE_NAMES = ("tx", "ty", "tz", "lateral", "flexion", "axial")

_AT_BOUND = 0.995
"""Part of its limit from which on a parameter stands on it: optimisers end within a step of a bound, not on it."""


@dataclass(frozen=True)
class Bounds:
    """How far parameters may go; the defaults are those of Yu et al. (arXiv 2503.14573)."""

    translation_mm: float = 10.0
    tilt_deg: float = 15.0
    axial_deg: float = 30.0
    shape_sd: float = 3.0

    def __post_init__(self) -> None:
        if not all(limit > 0 for limit in (self.translation_mm, self.tilt_deg, self.axial_deg, self.shape_sd)):
            raise ValueError(f"bounds must be positive, found {self}")

    def limits(self, n_modes: int) -> np.ndarray:
        """The largest absolute value [6 + n_modes] of each parameter."""
        tilt, axial = np.radians([self.tilt_deg, self.axial_deg])
        return np.array([self.translation_mm] * 3 + [tilt, tilt, axial] + [self.shape_sd] * n_modes)

    def reached(self, parameters: np.ndarray) -> np.ndarray:
        """Which parameters [6 + k] stand on their bounds, bool."""
        return np.abs(parameters) >= _AT_BOUND * self.limits(len(parameters) - POSE_SIZE)
