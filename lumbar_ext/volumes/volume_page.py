"""One picture of a reconstructed volume: slices and surfaces beside the radiographs and what the volume would show of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lumbar_ext.anatomy import LEVELS, VERSE_LABELS, VIEWS
from lumbar_ext.mesh.rendering import ColouredMesh, render
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.report.overlay import LEVEL_COLOURS, stretched_radiograph
from lumbar_ext.report.volume_slices import laid, windowed
from lumbar_ext.transforms.field_views import FieldViews
from lumbar_ext.transforms.tissue import NOT_SEEN_LABEL, TISSUE_LABELS
from lumbar_ext.volumes.back_projection import BackProjection
from lumbar_ext.volumes.study_field import ReconstructedVolume

_PANEL_PX = 420  # side of a panel
_TITLE_PX = 26  # height of a row of titles
_OPACITY = 0.45  # of the labels' colours
_OTHER_COLOURS = {"sacrum": (213, 94, 0), "other_bone": (150, 150, 150)}
_NOT_SEEN_COLOUR = (40, 0, 60)  # red, green, blue
_RESIDUAL_RANGE = 3.0  # standard deviations, black to white
_VIEW_NAMES = {"ap": "AP", "lat": "lateral"}


def draw_page(
    volume: ReconstructedVolume,
    surfaces: Mapping[str, Surface],
    views: FieldViews,
    projections: Mapping[str, BackProjection],
) -> Image.Image:
    """The picture: radiographs, the volume projected, what it does not explain; three slices with labels, and the surfaces.

    Args:
        volume: the volume.
        surfaces: of the vertebrae found.
        views: the radiographs on the network's grid.
        projections: by view.
    """
    rows = [
        [(f"{_VIEW_NAMES[view]} radiograph", _grey(views.images[view])) for view in VIEWS]
        + [
            ("CT numbers, sagittal", _slice(volume, 1, labels=False)),
            ("CT numbers, coronal", _slice(volume, 0, labels=False)),
        ],
        [(f"the volume, {_VIEW_NAMES[view]}", _grey(projections[view].attenuation)) for view in VIEWS]
        + [("tissues, sagittal", _slice(volume, 1)), ("tissues, coronal", _slice(volume, 0))],
        [
            (
                f"unexplained, {_VIEW_NAMES[view]}: {projections[view].unexplained:.0%}",
                _signed(projections[view].residual),
            )
            for view in VIEWS
        ]
        + [("tissues, axial through L3", _slice(volume, 2)), ("vertebrae from the left front", _rendered(surfaces))],
    ]
    width = max(map(len, rows)) * _PANEL_PX
    sheet = Image.new("RGB", (width, len(rows) * (_PANEL_PX + _TITLE_PX)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=17)
    for r, row in enumerate(rows):
        for c, (title, picture) in enumerate(row):
            corner = (c * _PANEL_PX, r * (_PANEL_PX + _TITLE_PX))
            draw.text((corner[0] + 4, corner[1] + 2), title, fill="black", font=font)
            sheet.paste(_panel(picture), (corner[0], corner[1] + _TITLE_PX))
    return sheet


def _grey(image: np.ndarray) -> np.ndarray:
    return np.repeat(stretched_radiograph(image, image.shape[::-1])[..., None], 3, -1)


def _signed(residual: np.ndarray) -> np.ndarray:
    grey = np.clip(np.nan_to_num(residual) / (2 * _RESIDUAL_RANGE) + 0.5, 0, 1) * 255
    return np.repeat(grey[..., None], 3, -1)


def _slice(volume: ReconstructedVolume, axis: int, *, labels: bool = True) -> np.ndarray:
    """A slice [rows, columns, 3] through the middle of L3 (of all lumbar vertebrae, else of the box), head or front up."""
    index = _middle(volume)[axis]
    picture = windowed(np.take(volume.values_hu, index, axis))
    own = np.take(volume.labels, index, axis)
    picture[own == NOT_SEEN_LABEL] = _NOT_SEEN_COLOUR
    if labels:
        colours = {**{VERSE_LABELS[level]: LEVEL_COLOURS[level] for level in LEVELS}}
        colours |= {TISSUE_LABELS[name]: colour for name, colour in _OTHER_COLOURS.items()}
        for value, colour in colours.items():
            picture[own == value] = (1 - _OPACITY) * picture[own == value] + _OPACITY * np.array(colour)
    return laid(picture, axis)


def _middle(volume: ReconstructedVolume) -> np.ndarray:
    for wanted in ([VERSE_LABELS["L3"]], list(VERSE_LABELS.values())):
        found = np.argwhere(np.isin(volume.labels, wanted))
        if len(found):
            return np.median(found, axis=0).astype(int)
    return np.array(volume.grid.shape) // 2


def _rendered(surfaces: Mapping[str, Surface]) -> np.ndarray:
    if not surfaces:
        return np.full((_PANEL_PX, _PANEL_PX, 3), 255.0)
    meshes = [
        ColouredMesh(
            s.vertices_mm, s.triangles, np.broadcast_to(LEVEL_COLOURS[level], s.vertices_mm.shape).astype(float)
        )
        for level, s in surfaces.items()
    ]
    return render(meshes, np.array([1.0, 1.0, 0.3]), np.array([0.0, 0.0, 1.0]), (_PANEL_PX, _PANEL_PX))


def _panel(picture: np.ndarray) -> Image.Image:
    """The picture scaled into a black square."""
    image = Image.fromarray(np.ascontiguousarray(picture).round().astype(np.uint8))
    scale = _PANEL_PX / max(image.size)
    image = image.resize([max(1, round(n * scale)) for n in image.size], Image.Resampling.BILINEAR)
    panel = Image.new("RGB", (_PANEL_PX, _PANEL_PX))
    panel.paste(image, ((_PANEL_PX - image.width) // 2, (_PANEL_PX - image.height) // 2))
    return panel
