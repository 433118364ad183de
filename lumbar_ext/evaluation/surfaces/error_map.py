"""Where on a vertebra the errors lie, as a picture like Fig. 10 of Yu et al. (arXiv 2503.14573)."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import nn

from lumbar_ext.anatomy import LEVELS

LARGEST_MM = 3.0
"""The end of the colour scale."""
_PX_PER_MM = 2.1  # a lumbar vertebra, up to 100 mm wide, fills a cell
_CELL_PX = (270, 200)  # width and height of a vertebra's cell
_HEAD_PX = 64  # height of the legend above the cells
_VIEWS = {"from above": (1, 0, 2, 1), "from behind": (1, 2, 0, -1), "from the left": (0, 2, 1, 1)}
"""By name: horizontal axis, vertical axis, axis towards the viewer and its sign, in the vertebra frame."""
_COLOURS = np.array([(49, 54, 149), (116, 173, 209), (224, 243, 248), (254, 224, 144), (244, 109, 67), (165, 0, 38)])
"""Blue to red of ColorBrewer's RdYlBu, which colour-blind readers can tell apart."""


class ErrorMap:
    """Mean distances of the vertices of every level.

    Args:
        shape_model: on whose mean shape they are shown.
    """

    def __init__(self, shape_model: nn.Module) -> None:
        self._means = shape_model.mean.cpu().numpy()
        self._triangles = shape_model.triangles.cpu().numpy()
        self._sums = np.zeros(self._means.shape[:2])
        self._counts = np.zeros(len(LEVELS), dtype=int)

    def add(self, level: str, distances_mm: np.ndarray) -> None:
        """Adds the distances [V] of one vertebra."""
        self._sums[LEVELS.index(level)] += distances_mm
        self._counts[LEVELS.index(level)] += 1

    def mean_mm(self, level: str) -> np.ndarray:
        """[V] mean distance of each vertex; NaN where no vertebra was added."""
        index = LEVELS.index(level)
        return self._sums[index] / self._counts[index] if self._counts[index] else np.full(self._sums.shape[1], np.nan)

    def draw(self, title: str) -> Image.Image:
        """A picture: one row a level, one column a direction of view, with its colour scale."""
        width, height = _CELL_PX
        picture = Image.new("RGB", (width * len(_VIEWS), height * len(LEVELS) + _HEAD_PX), "white")
        draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=14)
        draw.text((8, 6), f"mean distance to the true surface: {title}", fill=0, font=font)
        for x in range(240):
            draw.line([(8 + x, 30), (8 + x, 44)], fill=tuple(colours(np.array([x / 239 * LARGEST_MM]))[0]))
        draw.text((256, 30), f"0 to {LARGEST_MM:g} mm and more", fill=0, font=font)
        for row, level in enumerate(LEVELS):
            for column, (name, axes) in enumerate(_VIEWS.items()):
                origin = (column * width, _HEAD_PX + row * height)
                self._paint(draw, level, axes, origin)
                draw.text((origin[0] + 6, origin[1] + 4), f"{level} {name}", fill=(90, 90, 90), font=font)
        return picture

    def _paint(
        self, draw: ImageDraw.ImageDraw, level: str, axes: tuple[int, int, int, int], origin: tuple[int, int]
    ) -> None:
        """Paints the triangles of a level that face the viewer, far ones first."""
        right, up, toward, sign = axes
        vertices, errors = self._means[LEVELS.index(level)], self.mean_mm(level)
        if not np.isfinite(errors).all():
            return
        # Seen from behind the left side is on the left: looking along an axis or against it mirrors the picture.
        mirror = sign * np.linalg.det(np.eye(3)[[right, up, toward]])
        flat = np.stack([mirror * vertices[:, right], -vertices[:, up]], axis=1)
        middle = (flat.min(0) + flat.max(0)) / 2
        flat = (flat - middle) * _PX_PER_MM + np.array(origin) + np.array(_CELL_PX) / 2
        corners = vertices[self._triangles]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        facing = np.flatnonzero(sign * normals[:, toward] > 0)
        order = facing[np.argsort(sign * corners[facing][:, :, toward].mean(1))]
        shade = 0.55 + 0.45 * sign * normals[:, toward]
        painted = colours(errors[self._triangles].mean(1)) * shade[:, None]
        for triangle in order:
            points = [tuple(point) for point in flat[self._triangles[triangle]]]
            draw.polygon(points, fill=tuple(int(c) for c in painted[triangle]))


def colours(distances_mm: np.ndarray) -> np.ndarray:
    """RGB [N, 3] uint8 of distances [N]."""
    place = np.clip(distances_mm / LARGEST_MM, 0, 1) * (len(_COLOURS) - 1)
    channels = [np.interp(place, np.arange(len(_COLOURS)), _COLOURS[:, i]) for i in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)
