"""Two radiographs as a field network sees them, and where points of space lie in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lumbar_ext.anatomy import LANDMARKS, LEVELS, VIEWS
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
GUIDE_MM = 50.0
"""What is 1 in the ways to landmarks that it is told."""
GUIDES = len(LEVELS) * 4 + len(LANDMARKS) * 3
"""Numbers of `FieldViews.guides`."""
_FAR = 4.0  # longer ways are told as this long
_ENDPLATES = (0, 1)  # their places in `anatomy.LANDMARKS`


def no_landmarks() -> np.ndarray:
    """[5, 7, 3] of NaN: nothing is known."""
    return np.full((len(LEVELS), len(LANDMARKS), 3), np.nan)


@dataclass(frozen=True)
class FieldViews:
    """Both pictures and their cameras.

    Args:
        images: by view, float32 [rows, columns], normalised.
        seen: by view, how the radiograph was brought to the grid; its camera is that of the picture.
        middle_mm: [3] the point nearest to both middle rays, of which positions are told.
        landmarks_mm: [5, 7, 3] what is known of the landmarks, NaN where nothing is.
    """

    images: Mapping[str, np.ndarray]
    seen: Mapping[str, CanonicalView]
    middle_mm: np.ndarray
    landmarks_mm: np.ndarray = field(default_factory=no_landmarks)

    @classmethod
    def of(
        cls,
        pixels: Mapping[str, np.ndarray],
        geometry: BiplanarGeometry,
        *,
        size_px: int | None = None,
        landmarks_mm: np.ndarray | None = None,
    ) -> FieldViews:
        """Brings two radiographs to the grid.

        Args:
            pixels: by view, [rows, columns], bone bright.
            geometry: their cameras.
            size_px: rows and columns; those that hold the whole film if omitted.
            landmarks_mm: [5, 7, 3] in the world, NaN where unknown; none is known if omitted.
        """
        seen = {}
        for view in VIEWS:
            size = size_px or _whole_film_px(geometry, view)
            seen[view] = to_network_grid(pixels[view], geometry[view], view, size_px=size, spacing_mm=FIELD_SPACING_MM)
        images = {view: normalise_intensity(seen[view].pixels) for view in VIEWS}
        middle = triangulate(*(geometry[view] for view in VIEWS), *(geometry[view].centre_px for view in VIEWS))
        return cls(images, seen, middle.points_mm, no_landmarks() if landmarks_mm is None else landmarks_mm)

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

    def guides(self, points_mm: np.ndarray) -> np.ndarray:
        """How points [N, 3] lie to the landmarks: float32 [N, 41].

        The ways to the centres of L1 to L5 (15 numbers, see `GUIDE_MM`), whether each is known (5), and the ways to the seven
        landmarks of the vertebra that has the nearest one (21). So a vertebra's shape can be learnt in its own frame, once for
        all levels and postures. Unknown ways are 0.
        """
        landmarks = self.landmarks_mm.astype(np.float32)
        points = points_mm.astype(np.float32)
        centres = landmarks[:, list(_ENDPLATES)].mean(axis=1)
        known = np.isfinite(centres).all(axis=-1)
        guides = np.zeros((len(points), GUIDES), np.float32)
        if not known.any():
            return guides
        count = len(LEVELS)
        guides[:, : 3 * count] = _ways(points, centres)
        guides[:, 3 * count : 4 * count] = known
        distance = np.stack([_nearest(points, own) for own in landmarks], axis=1)
        nearest = np.where(known, distance, np.inf).argmin(axis=1)
        for level in np.flatnonzero(known):
            own = nearest == level
            guides[own, 4 * count :] = _ways(points[own], landmarks[level])
        return guides

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


def _ways(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """[N, 3 T] the ways from points [N, 3] to targets [T, 3], 0 to unknown ones."""
    ways = np.clip((targets[None] - points[:, None]) / GUIDE_MM, -_FAR, _FAR)
    return np.nan_to_num(ways, nan=0.0).reshape(len(points), 3 * len(targets))


def _nearest(points: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """[N] distance of points [N, 3] to the nearest known landmark of a vertebra [7, 3]; infinite without one."""
    known = landmarks[np.isfinite(landmarks).all(axis=1)]
    squares = [((points - own) ** 2).sum(axis=1) for own in known]
    return np.sqrt(np.min(squares, axis=0)) if squares else np.full(len(points), np.inf, np.float32)


def _whole_film_px(geometry: BiplanarGeometry, view: str) -> tuple[int, int]:
    size = np.maximum(size_on_grid(geometry[view], view, FIELD_SPACING_MM), FIELD_SIZE_PX)
    columns, rows = (-(-size // FIELD_STRIDE) * FIELD_STRIDE).tolist()
    return columns, rows
