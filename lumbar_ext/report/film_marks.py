"""What a reader expects on a film beside the bones: which side is which, how large a thing is, and the lines of the angles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lumbar_ext.geometry import Camera
from lumbar_ext.measurements.values.lumbar_alignment import EndplateLine

SCALE_MM = 50.0
"""Length of the scale bar, at the depth of the spine."""

_DIRECTIONS = (("L", "R"), ("A", "P"), ("H", "F"))
"""Letters for both ends of an axis of the person, as DICOM's Patient Orientation (0020,0020) has them: left and right,
anterior and posterior, head and foot."""

_PERSON_FROM_WORLD = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]])
"""Rows: the person's left, front and head in the world frame (X front, Y left, Z up)."""

_LINE_HALF_MM = 55.0
"""Endplate lines are drawn to this far from the endplate's centre: about as long beyond the vertebra as within it."""


@dataclass(frozen=True)
class FilmLine:
    """A line on a film.

    Args:
        name: such as "L1 superior endplate".
        ends_px: [2, 2] (u, v) of both ends.
    """

    name: str
    ends_px: np.ndarray


@dataclass(frozen=True)
class FilmMarks:
    """Marks on a film, in its pixels.

    Args:
        sides: letters of the person's sides at the left and the right edge of the picture.
        scale_px: length of `SCALE_MM` at the depth of the spine.
        lines: of the endplates between which the view's angle is told.
    """

    sides: tuple[str, str]
    scale_px: float
    lines: tuple[FilmLine, ...]


def film_marks(camera: Camera, meshes_mm: Mapping[str, np.ndarray], lines: Sequence[EndplateLine] = ()) -> FilmMarks:
    """The marks of a view.

    Args:
        camera: of the picture.
        meshes_mm: by level, vertices [V, 3] in world mm, at least one: letters and scale hold in their middle.
        lines: endplates to draw.
    """
    spine_mm = np.mean([vertices.mean(0) for vertices in meshes_mm.values()], axis=0)
    half = SCALE_MM / 2 * _PERSON_FROM_WORLD
    along = camera.project(spine_mm + half) - camera.project(spine_mm - half)
    axis = int(np.argmax(np.abs(along[:, 0])))
    towards, away = _DIRECTIONS[axis]
    sides = (away, towards) if along[axis, 0] > 0 else (towards, away)
    return FilmMarks(
        sides=sides,
        # Of the axis that lies flattest on the detector; the beam's obliquity shortens it by its cosine.
        scale_px=float(np.linalg.norm(along, axis=1).max()),
        lines=tuple(FilmLine(line.name, camera.project(line.points_mm(_LINE_HALF_MM))) for line in lines),
    )
