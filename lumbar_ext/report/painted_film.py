"""A radiograph figure as one picture, for paper: outlines, lines and values painted on the film."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw

from lumbar_ext.measurements.values.lumbar_alignment import LineKind
from lumbar_ext.report.film_marks import FilmLine
from lumbar_ext.report.overlay import LEVEL_COLOURS, write_scale, write_sides
from lumbar_ext.report.radiograph_figure import RadiographFigure

_LINE_PX = 3  # thickness of an outline
_VALUE_PX = 30  # of letters
_UNDER_PX = 2  # of darkness around a white line
_DASHES_PX = {LineKind.DIRECTION: (18.0, 10.0), LineKind.VERTICAL: (5.0, 9.0), LineKind.OFFSET: None}
"""Length of dashes and of the gaps between; a line without them is drawn through."""
_DOT_PX = 6


def painted_film(figure: RadiographFigure, values: Mapping[str, str]) -> np.ndarray:
    """The picture, uint8 [rows, columns, 3].

    Args:
        figure: of a view.
        values: by name of a line, what is written beside it.
    """
    image = Image.open(io.BytesIO(figure.jpeg)).convert("RGB")
    draw = ImageDraw.Draw(image)
    for level, loops in figure.outlines.items():
        for loop in loops:
            points = [(float(u), float(v)) for u, v in loop]
            draw.line([*points, points[0]], fill=LEVEL_COLOURS[level], width=_LINE_PX)
    for line in figure.marks.lines:
        _draw_line(draw, line)
    for line in figure.marks.lines:
        _write_value(draw, line, values.get(line.name, ""), image.width)
    write_sides(image, figure.marks.sides)
    write_scale(image, figure.marks.scale_px)
    for level, place in figure.label_places.items():
        draw.text(place, level, fill=LEVEL_COLOURS[level], font_size=22, anchor="mm", stroke_width=2, stroke_fill=0)
    return np.asarray(image)


def _draw_line(draw: ImageDraw.ImageDraw, line: FilmLine) -> None:
    first, last = line.ends_px
    for ends in _dashes(first, last, _DASHES_PX[line.kind]):
        draw.line(ends, fill=(0, 0, 0), width=_LINE_PX + 2 * _UNDER_PX)
        draw.line(ends, fill=(255, 255, 255), width=_LINE_PX)
    if line.kind is LineKind.OFFSET:
        draw.circle(tuple(first), _DOT_PX, fill=(255, 255, 255), outline=(0, 0, 0))


def _dashes(
    first: np.ndarray, last: np.ndarray, pattern: tuple[float, float] | None
) -> list[list[tuple[float, float]]]:
    """Both ends of every dash of a line from `first` [2] to `last`."""
    length = float(np.linalg.norm(last - first))
    if pattern is None or length == 0:
        return [[tuple(first.tolist()), tuple(last.tolist())]]
    dash, gap = pattern
    starts = np.arange(0, length, dash + gap)
    pairs = zip(starts, np.minimum(starts + dash, length), strict=True)
    return [[tuple((first + place / length * (last - first)).tolist()) for place in pair] for pair in pairs]


def _write_value(draw: ImageDraw.ImageDraw, line: FilmLine, text: str, columns: int) -> None:
    """Writes a value at its place, or as near as the picture's edge leaves room."""
    if not text:
        return
    # The font knows no minus sign but the hyphen.
    text = text.replace("\N{MINUS SIGN}", "-")
    (u, v), room = line.value_px, draw.textlength(text, font_size=_VALUE_PX) + 6
    place = (max(u, room) if line.value_ends else min(u, columns - room), v)
    anchor = "rm" if line.value_ends else "lm"
    draw.text(place, text, fill="white", font_size=_VALUE_PX, anchor=anchor, stroke_width=2, stroke_fill=0)
