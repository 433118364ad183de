"""Two radiographs as a field network sees them, and where points of space lie in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.geometry import BiplanarGeometry
from lumbar_ext.geometry.triangulation import triangulate
from lumbar_ext.transforms.canonical import CanonicalView, size_on_grid, to_network_grid
from lumbar_ext.transforms.intensity import normalise_intensity

FIELD_SPACING_MM = 1.668
"""Pixels of a field network's pictures, on the detector of a usual cone beam: twice those of the network of landmarks."""
FIELD_SIZE_PX = 256
"""Their least side: 427 mm."""
FIELD_STRIDE = 32
"""Rows and columns are multiples of this."""
POSITION_MM = 150.0
"""What is 1 in the positions that a field network is told."""


@dataclass(frozen=True)
class FieldViews:
    """Both pictures and their cameras.

    Args:
        images: by view, float32 [rows, columns], normalised.
        seen: by view, how the radiograph was brought to the grid; its camera is that of the picture.
        middle_mm: [3] the point nearest to both middle rays, of which positions are told.
    """

    images: Mapping[str, np.ndarray]
    seen: Mapping[str, CanonicalView]
    middle_mm: np.ndarray

    @classmethod
    def of(
        cls, pixels: Mapping[str, np.ndarray], geometry: BiplanarGeometry, *, size_px: int | None = None
    ) -> FieldViews:
        """Brings two radiographs to the grid.

        Args:
            pixels: by view, [rows, columns], bone bright.
            geometry: their cameras.
            size_px: rows and columns; those that hold the whole film if omitted.
        """
        seen = {}
        for view in VIEWS:
            size = size_px or _whole_film_px(geometry, view)
            seen[view] = to_network_grid(pixels[view], geometry[view], view, size_px=size, spacing_mm=FIELD_SPACING_MM)
        images = {view: normalise_intensity(seen[view].pixels) for view in VIEWS}
        middle = triangulate(*(geometry[view] for view in VIEWS), *(geometry[view].centre_px for view in VIEWS))
        return cls(images, seen, middle.points_mm)

    def places(self, points_mm: np.ndarray) -> np.ndarray:
        """Where points [N, 3] lie in both pictures: float32 [N, 2, 2], view by view (u, v), -1 and 1 at the pictures' edges."""
        places = np.empty((len(points_mm), len(VIEWS), 2), np.float32)
        for index, view in enumerate(VIEWS):
            camera = self.seen[view].camera
            places[:, index] = (2 * camera.project(points_mm) + 1) / camera.size_px - 1
        return places

    def positions(self, points_mm: np.ndarray) -> np.ndarray:
        """Points [N, 3] as a field network is told them: float32 [N, 3] from the middle, see `POSITION_MM`."""
        return ((points_mm - self.middle_mm) / POSITION_MM).astype(np.float32)

    def shown(self, places: np.ndarray) -> np.ndarray:
        """bool [N], whether both films show the points that lie at `places` [N, 2, 2]."""
        shown = np.ones(len(places), bool)
        for index, view in enumerate(VIEWS):
            inside = self.seen[view].inside
            size = np.array(inside.shape[::-1])
            pixel = np.floor((places[:, index] + 1) / 2 * size)
            within = ((pixel >= 0) & (pixel < size)).all(axis=1)
            column, row = np.where(within[:, None], pixel, 0).astype(int).T
            shown &= within & inside[row, column]
        return shown


def _whole_film_px(geometry: BiplanarGeometry, view: str) -> tuple[int, int]:
    size = np.maximum(size_on_grid(geometry[view], view, FIELD_SPACING_MM), FIELD_SIZE_PX)
    columns, rows = (-(-size // FIELD_STRIDE) * FIELD_STRIDE).tolist()
    return columns, rows
