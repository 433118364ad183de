"""What a reader expects on a film beside the bones: which side is which, how large a thing is, and the lines of the values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lumbar_ext.geometry import Camera
from lumbar_ext.measurements.values.lumbar_alignment import EndplateLine, LineKind

SCALE_MM = 50.0
"""Length of the scale bar, at the depth of the spine."""

_DIRECTIONS = (("L", "R"), ("A", "P"), ("H", "F"))
"""Letters for both ends of an axis of the person, as DICOM's Patient Orientation (0020,0020) has them: left and right,
anterior and posterior, head and foot."""

_PERSON_FROM_WORLD = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]])
"""Rows: the person's left, front and head in the world frame (X front, Y left, Z up)."""

_LINE_HALF_MM = 55.0
"""Endplate lines are drawn to this far from the endplate's centre: about as long beyond the vertebra as within it."""

_VALUE_GAP_PX, _VALUE_PITCH_PX = 10.0, 34.0
"""A value stands this far beside its line; two of them on one side at least this far apart in height."""
_BODY_HALF_MM = 22.0
"""From a place in a vertebral body to beside it: half of its depth and some more, so that the value stands on no bone."""


@dataclass(frozen=True)
class FilmLine:
    """A line on a film.

    Args:
        name: such as "L1 superior endplate".
        ends_px: [2, 2] (u, v) of both ends; an offset's first one is the place that lies beside the vertical.
        kind: what it is.
        value_px: (u, v) where a value that is told of it ends, or begins, at the middle of its height.
        value_ends: whether it ends there.
    """

    name: str
    ends_px: np.ndarray
    kind: LineKind
    value_px: tuple[float, float]
    value_ends: bool = True


@dataclass(frozen=True)
class FilmMarks:
    """Marks on a film, in its pixels.

    Args:
        sides: letters of the person's sides at the left and the right edge of the picture.
        scale_px: length of `SCALE_MM` at the depth of the spine.
        lines: of the endplates between which the view's angle is told, of the vertical over S1 and of what lies beside it.
    """

    sides: tuple[str, str]
    scale_px: float
    lines: tuple[FilmLine, ...]


def film_marks(camera: Camera, meshes_mm: Mapping[str, np.ndarray], lines: Sequence[EndplateLine] = ()) -> FilmMarks:
    """The marks of a view.

    Args:
        camera: of the picture.
        meshes_mm: by level, vertices [V, 3] in world mm, at least one: letters and scale hold in their middle.
        lines: endplates and others to draw.
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
        lines=_film_lines(camera, lines, float(np.linalg.norm(along, axis=1).max()) / SCALE_MM),
    )


def _film_lines(camera: Camera, lines: Sequence[EndplateLine], px_per_mm: float) -> tuple[FilmLine, ...]:
    """The lines, each with a place for its value: left of it, but right of an offset whose left is taken by an endplate's
    line; below the value above where that leaves no room.
    """
    drawn = [camera.project(line.points_mm(_LINE_HALF_MM)) for line in lines]
    lefts, rights = ([own[pick(own[:, 0])] for own in drawn] for pick in (np.argmin, np.argmax))
    places, ends = [], []
    plates = [i for i, line in enumerate(lines) if line.kind is LineKind.DIRECTION]
    for i, line in enumerate(lines):
        offset = line.kind is LineKind.OFFSET
        clear_px = [min((abs(own[j][1] - own[i][1]) for j in plates), default=np.inf) for own in (lefts, rights)]
        ends.append(not offset or bool(clear_px[0] >= min(clear_px[1], _VALUE_PITCH_PX)))
        beside_px = _VALUE_GAP_PX + (_BODY_HALF_MM * px_per_mm if offset else 0.0)
        u, v = lefts[i] - [beside_px, 0] if ends[i] else rights[i] + [beside_px, 0]
        places.append([float(u), float(v)])
    for side in (True, False):
        told = [i for i, line in enumerate(lines) if line.kind is not LineKind.VERTICAL and ends[i] is side]
        for above, here in pairwise(sorted(told, key=lambda i: places[i][1])):
            places[here][1] = max(places[here][1], places[above][1] + _VALUE_PITCH_PX)
    return tuple(
        FilmLine(line.name, own, line.kind, (place[0], place[1]), end)
        for line, own, place, end in zip(lines, drawn, places, ends, strict=True)
    )
