"""An endplate as measurements see it: the plane of its rim, and the rim's points to the front, back, left and right."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from lumbar_ext.measurements.marks.vertebra_frame import Axes, unit
from lumbar_ext.measurements.marks.vertebra_marks import MarkedVertebra
from lumbar_ext.measurements.values.frames import dot, levelled_axes

Side = Literal["superior", "inferior"]


@dataclass(frozen=True)
class Endplate:
    """The rim of an endplate, world mm, leading axes for many shapes.

    Args:
        rim_mm: [..., 120, 3] by azimuth from the front over the left.
        anterior_mm, posterior_mm: [..., 3] the rim's midsagittal points.
        centre_mm: [..., 3] mean of the rim's points that were found.
        up: [..., 3] unit normal of the least-squares plane through these, on the side of the vertebra's head.
        left: [..., 3] the vertebra's Y in this plane.
    """

    rim_mm: np.ndarray
    anterior_mm: np.ndarray
    posterior_mm: np.ndarray
    centre_mm: np.ndarray
    up: np.ndarray
    left: np.ndarray

    @property
    def front(self) -> np.ndarray:
        """[..., 3] direction in the plane from back to front."""
        return np.cross(self.left, self.up)

    @property
    def depth_mm(self) -> np.ndarray:
        """Distance of the midsagittal anterior and posterior rim points."""
        return np.linalg.norm(self.anterior_mm - self.posterior_mm, axis=-1)

    @property
    def width_mm(self) -> np.ndarray:
        """Largest extent of the rim along Y."""
        return np.ptp(dot(self.rim_mm, self.left[..., None, :]), axis=-1)

    @property
    def area_mm2(self) -> np.ndarray:
        """Area inside the rim, projected onto its plane."""
        p = self.rim_mm - self.centre_mm[..., None, :]
        return np.abs(dot(np.cross(p, np.roll(p, -1, axis=-2)).sum(-2), self.up)) / 2


@lru_cache(maxsize=2 * 7)  # both of L1 to L6 and S1: some eighty values of a spine ask for the same ones
def endplate(vertebra: MarkedVertebra, side: Side) -> Endplate:
    """An endplate of a marked vertebra.

    Raises:
        NotMeasurableError: if no rim was found.
    """
    rim = vertebra[f"{side}_rim"]
    axes = vertebra.axes
    found = rim[..., vertebra.rim_found[side], :]
    centre = found.mean(-2)
    offsets = found - centre[..., None, :]
    normal = np.linalg.eigh(np.swapaxes(offsets, -1, -2) @ offsets)[1][..., :, 0]
    up = normal * np.where(dot(normal, axes.up) >= 0, 1.0, -1.0)[..., None]
    left = unit(axes.left - dot(axes.left, up)[..., None] * up)
    anterior, posterior = vertebra[f"{side}_anterior"][..., 0, :], vertebra[f"{side}_posterior"][..., 0, :]
    return Endplate(rim, anterior, posterior, centre, up, left)


def body_axes(vertebra: MarkedVertebra) -> Axes:
    """The vertebra frame with Z along the bisector of the endplates' normals, by which tilts are told.

    Stokes' Z, the line between two endplate centres 25 to 30 mm apart, turns by 2 deg for each millimetre that one of them is
    off, and where the middle of an endplate lies is hard to see; its plane rests on 120 points.

    Raises:
        NotMeasurableError: if an endplate's rim was not found.
    """
    superior, inferior = endplate(vertebra, "superior"), endplate(vertebra, "inferior")
    return levelled_axes(vertebra.axes, unit(superior.up + inferior.up))
