"""The overlay picture: silhouettes of the reconstructed vertebrae drawn on the radiograph."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from lumbar_ext.drr import MeshProjector
from lumbar_ext.geometry import Camera
from lumbar_ext.report.film_marks import SCALE_MM, film_marks

LEVEL_COLOURS = {
    "L1": (86, 180, 233),
    "L2": (230, 159, 0),
    "L3": (0, 158, 115),
    "L4": (240, 228, 66),
    "L5": (204, 121, 167),
    "S1": (213, 94, 0),
    "T12": (0, 114, 178),
}
"""One colour a level from the colour-blind-safe palette of Okabe and Ito (2008)."""

_LONG_SIDE_PX = 1024  # of the picture
_LINE_PX = 2.0  # thickness of an outline
_AROUND_PX = 4.0  # beyond a silhouette: room for half its line, blended


def draw_overlay(
    radiograph: np.ndarray,
    camera: Camera,
    meshes_mm: dict[str, np.ndarray],
    triangles: np.ndarray,
    sacral_rim_mm: np.ndarray | None = None,
) -> Image.Image:
    """Draws the outline and the name of each vertebra on a radiograph, the rim of S1, the letters of the person's sides and a
    scale.

    Args:
        radiograph: [rows, columns], bone bright, any range; contrast is stretched between the 1st and 99th percentile.
        camera: the view of `radiograph`.
        meshes_mm: level name to vertices [V, 3], world mm.
        triangles: [M, 3], shared by all meshes.
        sacral_rim_mm: [N, 3] rim of S1's superior endplate, world mm; None where it is unknown.

    Returns:
        An RGB picture in the radiograph's own orientation, its longer side 1024 px.
    """
    scale = _LONG_SIDE_PX / max(camera.size_px)
    size_px = tuple(max(1, round(n * scale)) for n in camera.size_px)
    spacing_mm = tuple(s * n / m for s, n, m in zip(camera.pixel_spacing_mm, camera.size_px, size_px, strict=True))
    picture = np.repeat(stretched_radiograph(radiograph, size_px)[..., None], 3, axis=-1)
    view = camera.resampled(size_px=size_px, pixel_spacing_mm=spacing_mm)
    projector, centres = MeshProjector(view), {}
    for level, vertices_mm in meshes_mm.items():
        window = projector.window_of(vertices_mm, _AROUND_PX)
        silhouette = projector.path_length(vertices_mm, triangles, window) > 0
        if silhouette.any():
            _paint_outline(picture[window.slices], silhouette, LEVEL_COLOURS[level])
            row, column = ndimage.center_of_mass(silhouette)
            centres[level] = row + window.v0, column + window.u0
    image = Image.fromarray(picture.round().astype(np.uint8))
    if sacral_rim_mm is not None:
        rim_px = view.project(sacral_rim_mm)
        draw_rim(image, rim_px, round(_LINE_PX))
        centres["S1"] = tuple(rim_px.mean(0)[::-1])
    _write_labels(image, centres)
    if meshes_mm:
        marks = film_marks(view, meshes_mm)
        write_sides(image, marks.sides)
        write_scale(image, marks.scale_px)
    return image


def draw_rim(image: Image.Image, rim_px: np.ndarray, width_px: int) -> None:
    """Draws the rim of S1's endplate [N, 2] (u, v) as a closed line."""
    points = [tuple(point) for point in rim_px.tolist()]
    ImageDraw.Draw(image).line([*points, points[0]], fill=LEVEL_COLOURS["S1"], width=width_px, joint="curve")


def stretched_radiograph(radiograph: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """The radiograph as float32 [rows, columns] in 0..255 at another size, area-averaged."""
    low, high = np.percentile(radiograph, (1, 99))
    grey = np.clip((radiograph - low) / max(high - low, 1e-12), 0, 1) * 255
    return np.asarray(Image.fromarray(grey.astype(np.float32), mode="F").resize(size_px, Image.Resampling.BOX))


def _paint_outline(picture: np.ndarray, silhouette: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Blends an anti-aliased line along the border of a mask into picture [rows, columns, 3], in place."""
    distance = ndimage.distance_transform_edt(silhouette) - ndimage.distance_transform_edt(~silhouette)
    # Pixel centres beside the border are 1 px away by this measure, half a pixel in truth.
    opacity = np.clip(_LINE_PX / 2 + 1 - np.abs(distance), 0, 1)[..., None]
    picture *= 1 - opacity
    picture += opacity * np.array(colour, dtype=np.float32)


def write_sides(image: Image.Image, sides: tuple[str, str]) -> None:
    """Writes which side of the person is at the left and the right edge."""
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=30)
    for letter, place, anchor in zip(sides, (14, image.width - 14), ("la", "ra"), strict=True):
        draw.text((place, 14), letter, fill="white", font=font, anchor=anchor, stroke_width=2, stroke_fill=0)


def write_scale(image: Image.Image, scale_px: float) -> None:
    """Draws how long `film_marks.SCALE_MM` are at the spine into the lower left corner."""
    draw, rows, end = ImageDraw.Draw(image), image.height, 14 + scale_px
    bar = [(14, rows - 22), (14, rows - 14), (end, rows - 14), (end, rows - 22)]
    draw.line(bar, fill=(0, 0, 0), width=7)
    draw.line(bar, fill=(255, 255, 255), width=3)
    text = f"{SCALE_MM:.0f} mm at the spine"
    draw.text((14, rows - 28), text, fill="white", font_size=22, anchor="ld", stroke_width=2, stroke_fill=0)


def _write_labels(image: Image.Image, centres: dict[str, tuple[float, float]]) -> None:
    """Writes level names beside the spine: at the right margin, or at the lower one if the spine lies along the rows.

    Args:
        image: to draw on.
        centres: level name to (row, column).
    """
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=22)
    rows, columns = np.ptp(list(centres.values()), axis=0) if centres else (0, 0)
    for level, (row, column) in centres.items():
        place = (image.width - 36, row) if rows >= columns else (column, image.height - 24)
        draw.text(place, level, fill=LEVEL_COLOURS[level], font=font, anchor="mm", stroke_width=2, stroke_fill=0)
