"""The overlay picture: silhouettes of the reconstructed vertebrae drawn on the radiograph."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from lumbar_ext.drr import path_length
from lumbar_ext.geometry import Camera

LEVEL_COLOURS = {
    "L1": (86, 180, 233),
    "L2": (230, 159, 0),
    "L3": (0, 158, 115),
    "L4": (240, 228, 66),
    "L5": (204, 121, 167),
}
"""One colour a level from the colour-blind-safe palette of Okabe and Ito (2008)."""

_LONG_SIDE_PX = 1024
_LINE_PX = 2.0


def draw_overlay(
    radiograph: np.ndarray, camera: Camera, meshes_mm: dict[str, np.ndarray], triangles: np.ndarray
) -> Image.Image:
    """Draws the outline and the name of each vertebra on a radiograph.

    Args:
        radiograph: [rows, columns], bone bright, any range; contrast is stretched between the 1st and 99th percentile.
        camera: the view of `radiograph`.
        meshes_mm: level name to vertices [V, 3], world mm.
        triangles: [M, 3], shared by all meshes.

    Returns:
        An RGB picture in the radiograph's own orientation, its longer side 1024 px.
    """
    scale = _LONG_SIDE_PX / max(camera.size_px)
    size_px = tuple(max(1, round(n * scale)) for n in camera.size_px)
    spacing_mm = tuple(s * n / m for s, n, m in zip(camera.pixel_spacing_mm, camera.size_px, size_px, strict=True))
    picture = np.repeat(_stretched(radiograph, size_px)[..., None], 3, axis=-1)
    view = camera.resampled(size_px=size_px, pixel_spacing_mm=spacing_mm)
    labels = []
    for level, vertices_mm in meshes_mm.items():
        silhouette = path_length(vertices_mm, triangles, view) > 0
        if silhouette.any():
            _paint_outline(picture, silhouette, LEVEL_COLOURS[level])
            labels.append((level, ndimage.center_of_mass(silhouette)))
    image = Image.fromarray(picture.round().astype(np.uint8))
    _write_labels(image, labels)
    return image


def _stretched(radiograph: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """The radiograph as float32 [rows, columns] in 0..255 at another size, area-averaged."""
    low, high = np.percentile(radiograph, (1, 99))
    grey = np.clip((radiograph - low) / max(high - low, 1e-12), 0, 1) * 255
    return np.asarray(Image.fromarray(grey.astype(np.float32), mode="F").resize(size_px, Image.Resampling.BOX))


def _paint_outline(picture: np.ndarray, silhouette: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Blends an anti-aliased line along the border of a mask into picture [rows, columns, 3], in place."""
    distance = np.minimum(ndimage.distance_transform_edt(silhouette), _LINE_PX + 1)
    distance -= np.minimum(ndimage.distance_transform_edt(~silhouette), _LINE_PX + 1)
    opacity = np.clip(_LINE_PX / 2 + 0.5 - np.abs(distance), 0, 1)[..., None]
    picture *= 1 - opacity
    picture += opacity * np.array(colour, dtype=np.float32)


def _write_labels(image: Image.Image, labels: list[tuple[str, tuple[float, float]]]) -> None:
    """Writes level names in a column right of the vertebrae, so that they hide no bone."""
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=22)
    for level, (row, _) in labels:
        draw.text((image.width - 48, row), level, fill=LEVEL_COLOURS[level], font=font, anchor="lm", stroke_width=2, stroke_fill=0)
