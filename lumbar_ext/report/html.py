"""The report as one HTML file that opens offline."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from PIL import Image
from plotly.offline import get_plotlyjs

from lumbar_ext.report.colours import VIRIDIS
from lumbar_ext.report.content import VIEW_TITLES, ReportContent
from lumbar_ext.report.film_marks import SCALE_MM
from lumbar_ext.report.overlay import LEVEL_COLOURS
from lumbar_ext.report.radiograph_figure import RadiographFigure
from lumbar_ext.report.scene3d import vertebrae_figure

_LETTER_PX = 18.5
"""Room for a letter of a value on a film of 1024 columns, as large as on a phone."""

# Control characters that HTML has no place for (WHATWG HTML, 13.2.3.5): all but tab, line feed, form feed, carriage return.
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Pictures:
    """The pictures of a report.

    Args:
        radiographs: AP and lateral.
        renderings: (caption, picture uint8 [rows, columns, 3]) of the meshes.
        meshes_mm: by level, vertices [V, 3] in world mm.
        triangles: [M, 3], shared by all meshes.
        vertex_sd_mm: by level, [V]; may be empty.
        sd_scale_mm: end of the colour scale of uncertainty.
        sacral_rim_mm: [N, 3] rim of S1's superior endplate, world mm; None where it is unknown.
        slices: (caption, picture uint8) of a volume made of the same radiographs; none by default.
    """

    radiographs: tuple[RadiographFigure, ...]
    renderings: tuple[tuple[str, np.ndarray], ...]
    meshes_mm: Mapping[str, np.ndarray]
    triangles: np.ndarray
    vertex_sd_mm: Mapping[str, np.ndarray]
    sd_scale_mm: float
    sacral_rim_mm: np.ndarray | None = None
    slices: tuple[tuple[str, np.ndarray], ...] = ()


def report_html(content: ReportContent, pictures: Pictures) -> str:
    """The page.

    Args:
        content: words and numbers.
        pictures: the figures.
    """
    figure = vertebrae_figure(
        pictures.meshes_mm,
        pictures.triangles,
        pictures.vertex_sd_mm,
        pictures.sd_scale_mm,
        pictures.sacral_rim_mm,
    )
    return template("report.html.j2").render(
        content=content,
        pictures=pictures,
        renderings=[(caption, png_uri(picture)) for caption, picture in pictures.renderings],
        slices=[(caption, png_uri(picture)) for caption, picture in pictures.slices],
        view_titles=VIEW_TITLES,
        scale_mm=SCALE_MM,
        letter_px=_LETTER_PX,
        colours={level: "rgb({},{},{})".format(*colour) for level, colour in LEVEL_COLOURS.items()},
        scale=", ".join("rgb({},{},{})".format(*colour) for colour in VIRIDIS),
        figure_json=_script_json(figure.to_dict()),
        plotly=_plotly_js(),
    )


@cache
def template(name: str) -> Template:
    """A page of the package's templates; what is put in is escaped."""
    loader = PackageLoader("lumbar_ext.report", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template(name)


@cache
def _plotly_js() -> str:
    """Plotly's program without the control characters of its strings, which HTML forbids, spelt as JavaScript spells them."""
    return _FORBIDDEN.sub(lambda found: f"\\x{ord(found[0]):02x}", get_plotlyjs())


def png_uri(picture: np.ndarray) -> str:
    """A picture, uint8 [rows, columns, 3], for a page that loads nothing."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", compress_level=4)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def _script_json(value: object) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
