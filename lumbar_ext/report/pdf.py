"""The report on paper: the content of the page as an A4 PDF, without a browser."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from fpdf import FPDF
from fpdf.enums import TableBordersLayout, XPos, YPos
from fpdf.fonts import FontFace
from PIL import Image

from lumbar_ext.report.content import MISSING, Cell, ReportContent, Table
from lumbar_ext.report.html import Pictures
from lumbar_ext.report.painted_film import painted_film

_MARGIN_MM = 14  # of the page, left and right
_FONT = "Helvetica"
_HEADING = FontFace(emphasis="BOLD", fill_color=(244, 246, 248))
_OUT = FontFace(fill_color=(253, 240, 230))
_ROW_ROOM_MM = 14
"""Height of a row of texts in two columns, three lines of them at most."""
_CAPTION_MM = 3.6
"""Height of a line of a caption."""
_SMALLEST_FIGURE_MM = 55
"""Lower figures go to the next page, where there is room for larger ones."""
_NOTICE = "Research only - not a medical device, not for diagnosis or treatment."
# The core fonts of PDF hold Latin-1 only.
_LATIN = str.maketrans({"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "≥": ">=", "≤": "<="})


class _Paper(FPDF):
    """A4 with the notice and the page number on every page."""

    def header(self) -> None:
        self.set_font(_FONT, "B", 8)
        self.cell(0, 4, _NOTICE, align="C", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(2)

    def footer(self) -> None:
        self.set_y(-10)
        self.set_font(_FONT, "", 8)
        self.cell(0, 4, f"page {self.page_no()} of {{nb}}", align="C")


def report_pdf(content: ReportContent, pictures: Pictures) -> bytes:
    """The PDF file.

    Args:
        content: words and numbers.
        pictures: the figures.
    """
    paper = _Paper(format="A4")
    paper.set_title("Lumbar spine reconstruction")
    paper.set_lang("en")
    paper.set_margins(_MARGIN_MM, 8, _MARGIN_MM)
    paper.set_auto_page_break(True, 14)
    paper.add_page()
    _title(paper, "Lumbar spine reconstruction", 15)
    _columns(paper, [": ".join(pair) for pair in content.header])
    _paragraphs(paper, content.warnings)
    _summary(paper, content)
    _figures(paper, content, pictures)
    for table in content.tables:
        _table(paper, table)
    _quality(paper, content)
    _title(paper, "Limits", 11)
    _paragraphs(paper, content.limits)
    _title(paper, "What was run", 11)
    _pairs(paper, content.run, 6.5)
    return bytes(paper.output())


def _title(paper: FPDF, text: str, size: float, room_mm: float = 18) -> None:
    """A heading, on a new page where less than the room for it and what follows is left."""
    if paper.will_page_break(room_mm):
        paper.add_page()
    paper.ln(2)
    paper.set_font(_FONT, "B", size)
    paper.cell(0, size / 2, _latin(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    paper.ln(1)


def _pairs(paper: FPDF, pairs: tuple[tuple[str, str], ...], size: float = 9) -> None:
    paper.set_font(_FONT, "", size)
    for name, value in pairs:
        paper.multi_cell(0, size / 2.2, _latin(f"{name}: {value}"), new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _columns(paper: FPDF, texts: Sequence[str], size: float = 9) -> None:
    """Texts in two columns, row by row."""
    paper.set_font(_FONT, "", size)
    width = paper.epw / 2
    for left, right in zip_longest(texts[::2], texts[1::2]):
        if paper.will_page_break(_ROW_ROOM_MM):
            paper.add_page()
        top = paper.get_y()
        ends = []
        for place, text in enumerate(text for text in (left, right) if text is not None):
            paper.set_xy(paper.l_margin + place * width, top)
            paper.multi_cell(width - 2, 4.1, _latin(text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
            ends.append(paper.get_y())
        paper.set_y(max(ends))


def _paragraphs(paper: FPDF, texts: tuple[str, ...]) -> None:
    paper.set_font(_FONT, "", 8.5)
    for text in texts:
        paper.multi_cell(0, 4, _latin(f"- {text}"), new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _summary(paper: FPDF, content: ReportContent) -> None:
    _title(paper, "Summary", 11)
    _columns(paper, [f"{title}: {_words(cell, '°')}" for title, cell in content.headlines])
    _columns(
        paper, [f"{row.level}: {row.grade}" + (f" ({row.reasons})" if row.reasons else "") for row in content.quality]
    )
    if content.flagged:
        paper.ln(1)
        paper.set_font(_FONT, "B", 9)
        paper.cell(0, 4.1, "Outside reference with the whole interval", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        _columns(paper, content.flagged, 8)


def _figures(paper: FPDF, content: ReportContent, pictures: Pictures) -> None:
    overlays = [
        (content.captions[figure.view], painted_film(figure, content.film_values[figure.view]))
        for figure in pictures.radiographs
    ]
    rows = [("Radiographs with outlines", overlays), ("Vertebrae in 3D", pictures.renderings)]
    if pictures.slices:
        rows.append(("CT numbers made of both radiographs by a network, no CT", pictures.slices))
    for title, figures in rows:
        width = (paper.epw - 6) / 2
        tallest = max(picture.shape[0] / picture.shape[1] for _, picture in figures)
        # Both rows fit on the first page where the words above are few: what is left decides how large the second is.
        paper.set_font(_FONT, "", 8)
        lines = [_caption(paper, caption, dry_run=True, output="LINES") for caption, _ in figures]
        captions = max(map(len, lines)) * _CAPTION_MM
        room = paper.h - paper.get_y() - 14 - 12 - captions
        width = min(width, room / tallest) if room > _SMALLEST_FIGURE_MM else width
        height = tallest * width
        if paper.will_page_break(height + 10 + captions):
            paper.add_page()
        _title(paper, title, 11)
        top = paper.get_y()
        for place, (caption, picture) in enumerate(figures):
            left = paper.l_margin + place * (paper.epw + 6) / 2
            paper.image(_jpeg(picture), x=left, y=top, w=width, alt_text=_latin(caption))
            paper.set_xy(left, top + height + 1)
            paper.set_font(_FONT, "", 8)
            _caption(paper, caption)
        paper.set_y(top + height + 1 + captions)


def _caption(paper: FPDF, text: str, **options: Any) -> Any:
    """Writes, or measures, the text under a figure, half a page wide."""
    return paper.multi_cell((paper.epw - 6) / 2, _CAPTION_MM, _latin(text), align="L", **options)


def _jpeg(picture: np.ndarray) -> io.BytesIO:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=85)
    stream.seek(0)
    return stream


def _table(paper: FPDF, table: Table) -> None:
    _title(paper, table.title, 11, room_mm=45)
    paper.set_font(_FONT, "", 7)
    first = 52 if len(table.columns) > 1 else 60
    widths = (first, *((paper.epw - first) / len(table.columns) for _ in table.columns))
    notes = _notes(table)
    with _grid(paper, widths) as grid:
        grid.row([_latin(text) for text in ("value", *table.columns)])
        for row in table.rows:
            line = grid.row()
            line.cell(_latin(f"{row.title} {row.unit}".strip() + (f" ({row.held})" if row.held else "")))
            for cell in row.cells:
                line.cell(_words(cell, notes=notes), style=_OUT if cell.flag else None)
    paper.set_font(_FONT, "", 7)
    for reason, number in notes.items():
        paper.multi_cell(0, 3.2, _latin(f"({number}) {reason}"), new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _notes(table: Table) -> dict[str, int]:
    """Numbers of the reasons that a narrow cell has no room for; they stand below the table."""
    if len(table.columns) == 1:
        return {}
    reasons = [cell.hint for row in table.rows for cell in row.cells if cell.text == MISSING]
    return {reason: number for number, reason in enumerate(dict.fromkeys(reasons), start=1)}


def _quality(paper: FPDF, content: ReportContent) -> None:
    _title(paper, "Quality of the reconstruction", 11)
    paper.set_font(_FONT, "", 7)
    headings = (
        "vertebra",
        "grade",
        "difference to decomposition",
        "gap of landmark rays",
        "at bounds",
        "uncertainty",
        "why",
    )
    with _grid(paper, (16, 14, 26, 24, 18, 20, 64)) as grid:
        grid.row(list(headings))
        for row in content.quality:
            grid.row([_latin(text) for text in (row.level, str(row.grade), *row.signs, row.reasons)])


def _grid(paper: FPDF, widths: tuple[float, ...]):
    return paper.table(
        col_widths=widths,
        line_height=3.2,
        headings_style=_HEADING,
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        text_align="LEFT",
        padding=0.6,
    )


def _words(cell: Cell, unit: str = "", notes: Mapping[str, int] | None = None) -> str:
    """The value with what belongs to it, or why there is none: in words, or as the number of a note."""
    if cell.text == MISSING:
        number = (notes or {}).get(cell.hint)
        return _latin(f"none: {cell.hint}" if number is None else f"none ({number})")
    parts = [
        cell.text + unit,
        f"({cell.flag} reference)" if cell.flag else "",
        cell.grade,
    ]
    if cell.reference:
        parts.append(f"[{cell.reference}{unit}]")
    return _latin(" ".join(part for part in parts if part))


def _latin(text: str) -> str:
    return text.translate(_LATIN).encode("latin-1", "replace").decode("latin-1")
