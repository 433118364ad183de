"""Where on a vertebra the errors lie, as a picture like Fig. 10 of Yu et al. (arXiv 2503.14573)."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import nn

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.mesh.rendering import ColouredMesh, Framing, render, tiled

LARGEST_MM = 3.0
"""The end of the colour scale."""
_PX_PER_MM = 2.1  # a lumbar vertebra, up to 100 mm wide, fills a cell
_CELL_PX = (270, 200)  # width and height of a vertebra's cell
_HEAD_PX = 64  # height of the legend above the cells
_VIEWS = {
    "from above": ((0, 0, 1), (1, 0, 0)),
    "from behind": ((-1, 0, 0), (0, 0, 1)),
    "from the left": ((0, 1, 0), (0, 0, 1)),
}
"""By name: direction to the viewer and what is up, in the vertebra frame."""
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
        cells = tiled([[self._cell(level, name) for name in _VIEWS] for level in LEVELS])
        picture = Image.new("RGB", (cells.width, cells.height + _HEAD_PX), "white")
        picture.paste(cells, (0, _HEAD_PX))
        draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=14)
        draw.text((8, 6), f"mean distance to the true surface: {title}", fill=0, font=font)
        for x in range(240):
            draw.line([(8 + x, 30), (8 + x, 44)], fill=tuple(colours(np.array([x / 239 * LARGEST_MM]))[0]))
        draw.text((256, 30), f"0 to {LARGEST_MM:g} mm and more", fill=0, font=font)
        return picture

    def _cell(self, level: str, view: str) -> tuple[str, np.ndarray]:
        """Title and picture of a level; white where no vertebra was added."""
        vertices, errors = self._means[LEVELS.index(level)], self.mean_mm(level)
        if not np.isfinite(errors).all():
            return f"{level} {view}", np.full((*_CELL_PX[::-1], 3), 255, dtype=np.uint8)
        middle = tuple((vertices.min(0) + vertices.max(0)) / 2)
        mesh = ColouredMesh(vertices, self._triangles, colours(errors))
        return f"{level} {view}", render([mesh], *_VIEWS[view], _CELL_PX, Framing(middle, _PX_PER_MM))


def colours(distances_mm: np.ndarray) -> np.ndarray:
    """RGB [N, 3] uint8 of distances [N]."""
    place = np.clip(distances_mm / LARGEST_MM, 0, 1) * (len(_COLOURS) - 1)
    channels = [np.interp(place, np.arange(len(_COLOURS)), _COLOURS[:, i]) for i in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)
