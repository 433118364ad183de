"""Points that a user marked on the films and that no network looks for: femoral heads, and a marker of known length.

A CSV file with a row for each point of a film, pixels as in `docs/conventions.md`:

    view,point,u_px,v_px
    lat,left_femoral_head,212.4,918.9
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.io.input_file import MAX_DOCUMENT_BYTES, require_file

FEMORAL_HEADS = ("left_femoral_head", "right_femoral_head")
"""Centres of the person's femoral heads."""

MARKER_ENDS = ("marker_start", "marker_end")
"""Both ends of something radiopaque of known length."""

POINTS = (*FEMORAL_HEADS, *MARKER_ENDS)
_COLUMNS = ("view", "point", "u_px", "v_px")

MarkedPoints = Mapping[str, Mapping[str, np.ndarray]]
"""By view, the marked points by name, [2] (u, v) each."""


def read_marked_points(path: str | Path, sizes_px: Mapping[str, tuple[int, int]]) -> dict[str, dict[str, np.ndarray]]:
    """Reads the points that a user marked.

    Args:
        path: the CSV file.
        sizes_px: (columns, rows) of each view's film, on which the points must lie.

    Raises:
        InputError: naming the file and line, for other columns, no point at all, an unknown view or point, one that is there
            twice, or one off its film.
    """
    text = require_file(path, "a CSV file of marked points", MAX_DOCUMENT_BYTES).read_text(
        encoding="utf-8-sig", errors="replace"
    )
    rows = csv.DictReader(text.splitlines())
    if tuple(rows.fieldnames or ()) != _COLUMNS:
        raise InputError(f"{path}: the columns {', '.join(rows.fieldnames or ())}, expected {', '.join(_COLUMNS)}")
    found: dict[str, dict[str, np.ndarray]] = {view: {} for view in VIEWS}
    for number, row in enumerate(rows, start=2):
        view, name = row["view"], row["point"]
        if view not in VIEWS or name not in POINTS:
            raise InputError(
                f"{path}: line {number}: {view!r}, {name!r}, expected a view ({', '.join(VIEWS)}) and a point "
                f"({', '.join(POINTS)})"
            )
        if name in found[view]:
            raise InputError(f"{path}: line {number}: {name} of the {view} view is there twice, expected once")
        found[view][name] = _pixel(f"{path}: line {number}", row, sizes_px[view])
    if not any(found.values()):
        raise InputError(f"{path}: no point, expected some of {', '.join(POINTS)}")
    return found


def _pixel(where: str, row: Mapping[str, str | None], size_px: tuple[int, int]) -> np.ndarray:
    try:
        pixel = np.array([float(row["u_px"]), float(row["v_px"])])
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: u_px {row['u_px']!r}, v_px {row['v_px']!r}, expected two numbers") from error
    if not ((pixel >= -0.5) & (pixel <= np.array(size_px) - 0.5)).all():
        raise InputError(f"{where}: pixel {pixel.tolist()} of a film of {list(size_px)} [columns, rows]")
    return pixel
