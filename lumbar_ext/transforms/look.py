"""What the second look sees: a crop of the radiograph beside DRRs of the current meshes, odd and even levels apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.drr import MeshProjector, drr_from_path_length
from lumbar_ext.geometry import Camera
from lumbar_ext.networks.look_network import LOOK_GROUPS, LOOK_STRIDE
from lumbar_ext.transforms.intensity import normalise_intensity

TRAINED_SIZE_PX = (352, 192)
"""Rows and columns of the crops that the network was trained on, pixels of 0.834 mm."""
_MARGIN_PX = 16  # around the vertebrae: far more than a first pass errs
_OUTLINE_POINTS = 200
"""So many vertices of each vertebra suffice to find the box of a spine."""


def group_of(level: str) -> int:
    """The picture in which a level is drawn: 0 for L1, L3, L5 (odd), 1 for L2, L4 (even)."""
    return LEVELS.index(level) % LOOK_GROUPS


def group_pictures(
    projector: MeshProjector, vertices_mm: Mapping[str, np.ndarray], triangles: np.ndarray
) -> np.ndarray:
    """DRRs [2, rows, columns] float32 of odd and even levels.

    Args:
        projector: of the picture's camera.
        vertices_mm: by level, [V, 3] in world mm.
        triangles: [M, 3] int32, those of every level.
    """
    lengths = np.zeros((LOOK_GROUPS, *projector.ray_length_mm.shape), np.float32)
    for level, vertices in vertices_mm.items():
        lengths[group_of(level)] += projector.path_length(vertices, triangles)
    return drr_from_path_length(lengths)


def total_picture(groups: np.ndarray) -> np.ndarray:
    """The DRR [..., rows, columns] of all levels, of pictures [..., 2, rows, columns]: transmissions multiply."""
    return 1 - (1 - groups[..., 0, :, :]) * (1 - groups[..., 1, :, :])


def look_planes(radiograph: np.ndarray, groups: np.ndarray, view: str) -> np.ndarray:
    """The network's input [4, rows, columns] float32.

    Args:
        radiograph: [rows, columns], bone bright; its own percentiles are brought to 0 and 1.
        groups: [2, rows, columns] DRRs in the same crop.
        view: "ap" or "lat".
    """
    seen_from = np.full_like(groups[0], VIEWS.index(view), dtype=np.float32)
    return np.concatenate([normalise_intensity(radiograph)[None], groups, seen_from[None]]).astype(np.float32)


@dataclass(frozen=True)
class Crop:
    """A rectangle of whole pixels, which may reach beyond the image.

    Args:
        u0, v0: first column and row.
        columns, rows: its size.
    """

    u0: int
    v0: int
    columns: int
    rows: int

    def camera(self, camera: Camera) -> Camera:
        """The camera that sees this rectangle alone of what `camera` sees."""
        origin_mm = camera.detector_point(np.array([self.u0, self.v0]))
        return camera.replace(detector_origin_mm=origin_mm, size_px=(self.columns, self.rows))

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The rectangle [rows, columns] of an image; beyond it, the image's smallest value."""
        result = np.full((self.rows, self.columns), image.min(), dtype=np.float32)
        inner, outer = self._overlap(image.shape)
        result[inner] = image[outer]
        return result

    def put(self, pictures: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Pictures [..., rows, columns] of the rectangle as those of the image's shape, zero elsewhere."""
        result = np.zeros((*pictures.shape[:-2], *shape), dtype=np.float32)
        inner, outer = self._overlap(shape)
        result[(..., *outer)] = pictures[(..., *inner)]
        return result

    def _overlap(self, shape: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Where rectangle and image overlap, in the rectangle and in the image."""
        inner, outer = [], []
        for start, count, size in ((self.v0, self.rows, shape[0]), (self.u0, self.columns, shape[1])):
            low, high = min(max(start, 0), size), max(min(start + count, size), 0)
            high = max(high, low)
            outer.append(slice(low, high))
            inner.append(slice(low - start, high - start))
        return tuple(inner), tuple(outer)


def crop_around(camera: Camera, vertices_mm: Iterable[np.ndarray], margin_px: int = _MARGIN_PX) -> Crop:
    """The crop that the second look sees: as large as in its training, larger where the vertebrae are.

    Args:
        camera: of the whole image.
        vertices_mm: [V, 3] world mm of each vertebra.
        margin_px: around their outlines at least.
    """
    outline = camera.project(np.concatenate([own[:: max(1, len(own) // _OUTLINE_POINTS)] for own in vertices_mm]))
    low, high = outline.min(axis=0), outline.max(axis=0)
    needed = np.ceil((high - low + 2 * margin_px) / LOOK_STRIDE) * LOOK_STRIDE
    columns, rows = np.maximum(needed, TRAINED_SIZE_PX[::-1]).astype(int)
    u0, v0 = np.round((low + high - (columns - 1, rows - 1)) / 2).astype(int)
    return Crop(int(u0), int(v0), int(columns), int(rows))
