"""The outline of the trunk: a closed stack of superelliptic sections around the skeleton."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d, minimum_filter1d

from lumbar_ext.mesh.surface import Surface, tube
from lumbar_ext.simulation.ranges import TrunkParameters

_SECTIONS = 48  # along the trunk, 14 mm apart
_POINTS = 72  # of a section
_HALF_LENGTH_MM = 340.0  # from L3 to both ends, beyond every field of view
_SMOOTHING_SECTIONS = 2.5  # standard deviation, 36 mm
_PELVIS_MARGIN_MM = 18.0  # of flesh beside the pelvis, at least


@dataclass(frozen=True)
class Sections:
    """Superelliptic sections of the trunk in the person's frame, at N heights.

    Args:
        z_mm: [N] heights, increasing.
        back_mm: [N] x of the back.
        middle_y_mm: [N] y of the middle.
        half_depth_mm, half_width_mm: [N].
        exponent: of the superellipse; 2 is an ellipse.
        furrow: relative depth of the hollow along the spine.
        obese: whether the person is.
    """

    z_mm: np.ndarray
    back_mm: np.ndarray
    middle_y_mm: np.ndarray
    half_depth_mm: np.ndarray
    half_width_mm: np.ndarray
    exponent: float
    furrow: float
    obese: bool = False

    def at(self, z_mm: float) -> tuple[np.ndarray, np.ndarray]:
        """Centre (x, y) and half sizes (depth, width) at one height."""
        back, middle, depth, width = (
            float(np.interp(z_mm, self.z_mm, values))
            for values in (self.back_mm, self.middle_y_mm, self.half_depth_mm, self.half_width_mm)
        )
        return np.array([back + depth, middle]), np.array([depth, width])

    def inset(self, fat_mm: float) -> Sections:
        """The sections inside a layer of fat, thinner over the back than at the flanks."""
        return replace(
            self,
            back_mm=self.back_mm + 0.8 * fat_mm,
            half_depth_mm=self.half_depth_mm - 0.9 * fat_mm,
            half_width_mm=self.half_width_mm - 1.2 * fat_mm,
        )

    def surface(self) -> Surface:
        """The closed surface through all sections."""
        angle = np.linspace(0, 2 * np.pi, _POINTS, endpoint=False)
        cosine, sine = np.cos(angle), np.sin(angle)
        power = 2 / self.exponent
        x = np.sign(cosine) * np.abs(cosine) ** power
        x = x + self.furrow * np.exp(-((sine / 0.2) ** 2)) * (cosine < 0)
        y = np.sign(sine) * np.abs(sine) ** power
        rings = np.empty((len(self.z_mm), _POINTS, 3))
        rings[..., 0] = (self.back_mm + self.half_depth_mm)[:, None] + self.half_depth_mm[:, None] * x
        rings[..., 1] = self.middle_y_mm[:, None] + self.half_width_mm[:, None] * y
        rings[..., 2] = self.z_mm[:, None]
        return tube(rings)


def sample_sections(
    rng: np.random.Generator, bones_mm: np.ndarray, spine_mm: np.ndarray, size_ratio: float, parameters: TrunkParameters
) -> Sections:
    """Draws an outline that covers the bones.

    Args:
        rng: the source of randomness.
        bones_mm: [M, 3] points on vertebrae, sacrum and pelvis, person's frame.
        spine_mm: [N, 3] body centres.
        size_ratio: of the skeleton against the mean.
        parameters: ranges.
    """
    z = np.linspace(-_HALF_LENGTH_MM, _HALF_LENGTH_MM, _SECTIONS)
    obese = bool(rng.random() < parameters.obese_share)
    widths, ratios, depths, covers = (
        getattr(parameters, f"obese_{name}" if obese else name)
        for name in ("width_mm", "depth_ratio", "depth_mm", "back_cover_mm")
    )
    half_width = rng.uniform(*widths) / 2 * size_ratio
    half_depth = np.clip(half_width * rng.uniform(*ratios), *(np.array(depths) / 2))
    middle_x, middle_y = _spine_course(z, spine_mm)
    hip, chest = rng.uniform(*parameters.hip_ratio), rng.uniform(*parameters.chest_ratio)
    width = half_width * np.interp(z, (-340, -150, 10, 160, 340), (hip, hip, 1.0, chest, chest))
    belly, thorax = rng.uniform(0.9, 1.15), rng.uniform(0.95, 1.15)
    depth = half_depth * np.interp(z, (-340, -140, -30, 60, 180, 340), (1.05, 1.05, belly, 1.0, thorax, 1.1))
    width = np.maximum(
        width, _reach(z, np.abs(bones_mm[:, 1] - np.interp(bones_mm[:, 2], z, middle_y)), bones_mm[:, 2])
    )
    back = middle_x - _hindmost(z, bones_mm, middle_x) - rng.uniform(*covers)
    back, width, depth = (
        gaussian_filter1d(values, _SMOOTHING_SECTIONS, mode="nearest") for values in (back, width, depth)
    )
    return Sections(z, back, middle_y, depth, width, rng.uniform(2.3, 3.1), rng.uniform(0.02, 0.08), obese)


def _spine_course(z: np.ndarray, spine_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the spine at heights z, straight beyond its ends."""
    spine = spine_mm[np.argsort(spine_mm[:, 2])]
    slope = np.polyfit(spine[:, 2], spine[:, :2], 1)[0]
    beyond = z - np.clip(z, spine[0, 2], spine[-1, 2])
    x, y = (np.interp(z, spine[:, 2], spine[:, axis]) + beyond * slope[axis] for axis in range(2))
    return x, gaussian_filter1d(y, _SMOOTHING_SECTIONS, mode="nearest")


def _hindmost(z: np.ndarray, bones_mm: np.ndarray, middle_x: np.ndarray) -> np.ndarray:
    """How far bones reach behind the spine's course at heights z, nowhere less than over most of the column."""
    behind = np.interp(bones_mm[:, 2], z, middle_x) - bones_mm[:, 0]
    reach = _reach(z, behind, bones_mm[:, 2])
    floor = np.percentile(reach[reach > 0], 40)
    return -minimum_filter1d(-np.maximum(reach, floor), 3, mode="nearest")


def _reach(z: np.ndarray, values: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """The largest value among points near each height, plus a margin; 0 where there is none."""
    index = np.clip(np.searchsorted(z, heights), 1, len(z) - 1)
    reach = np.zeros(len(z))
    for shift in (-1, 0):
        np.maximum.at(reach, index + shift, values)
    return np.where(reach > 0, reach + _PELVIS_MARGIN_MM, 0.0) if values.min() >= 0 else reach
