"""All marks of one vertebra: found once on a mesh, then carried along wherever its vertices go.

Values come from the marks' positions alone. So the spread of a measurement over many plausible shapes costs a weighted
mean of vertices for each shape, not a new search.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lumbar_ext.anatomy import LANDMARKS
from lumbar_ext.errors import InputError
from lumbar_ext.measurements.marks.arch_marks import mark_canal, mark_spinous_tip, mark_transverse_tips
from lumbar_ext.measurements.marks.endplate_marks import EndplateMarks, mark_endplate
from lumbar_ext.measurements.marks.pedicle_marks import mark_pedicle, paired
from lumbar_ext.measurements.marks.vertebra_frame import Axes, axes_of_landmarks
from lumbar_ext.mesh.material_points import MaterialPoints
from lumbar_ext.mesh.plane_cut import WalkableSurface
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.model.frame import world_from_vertebra

ENDPLATE_PARTS = ("rim", "anterior", "posterior", "middle", "deepest")
_MIN_VOLUME_MM3 = 100.0  # below it a mesh is turned inside out or no vertebra, which has 20,000 and more


@dataclass(frozen=True)
class VertebraMarks:
    """What is marked on one mesh.

    Args:
        marks: by name; absent where nothing was found.
        rim_found: for "superior" and "inferior", [120] azimuths at which the rim has a corner.
        reasons: for absent names, why.
    """

    marks: dict[str, MaterialPoints]
    rim_found: dict[str, np.ndarray]
    reasons: dict[str, str]

    def place(self, vertices_mm: np.ndarray, landmarks_mm: np.ndarray) -> MarkedVertebra:
        """The marks' positions on vertices [..., V, 3] with landmarks [..., 7, 3], in the frame of both."""
        points = {name: marks.of(vertices_mm) for name, marks in self.marks.items()}
        axes = axes_of_landmarks(np.asarray(landmarks_mm, dtype=np.float64))
        return MarkedVertebra(points, axes, self.rim_found, self.reasons)

    def compacted(self) -> tuple[np.ndarray, VertebraMarks]:
        """The vertices [n] that carry marks, and the same marks numbered by their place in that list."""
        used = np.unique(
            np.concatenate([marks.vertices.ravel() for marks in self.marks.values()] or [np.zeros(0, int)])
        )
        marks = {
            name: MaterialPoints(np.searchsorted(used, own.vertices), own.weights) for name, own in self.marks.items()
        }
        return used, replace(self, marks=marks)


@dataclass(frozen=True, eq=False)
class MarkedVertebra:
    """Positions of a vertebra's marks, for one shape or for many at once (leading axes).

    Args:
        points_mm: by name, [..., n, 3].
        axes: its frame.
        rim_found: see `VertebraMarks`.
        reasons: for absent names, why.
    """

    points_mm: dict[str, np.ndarray]
    axes: Axes
    rim_found: dict[str, np.ndarray]
    reasons: dict[str, str]

    def __getitem__(self, name: str) -> np.ndarray:
        """Positions of a mark.

        Raises:
            NotMeasurableError: if it was not found, with the reason.
        """
        if name not in self.points_mm:
            raise NotMeasurableError(self.reasons.get(name, f"{name} was not found"))
        return self.points_mm[name]

    def without(self, beginning: str, reason: str) -> MarkedVertebra:
        """The same without the marks whose names begin so, which cannot be had for a reason."""
        kept = {name: points for name, points in self.points_mm.items() if not name.startswith(beginning)}
        gone = dict.fromkeys(self.points_mm.keys() - kept.keys(), reason)
        return replace(self, points_mm=kept, reasons={**self.reasons, **gone})


class NotMeasurableError(Exception):
    """A value cannot be had; the text says why."""


def mark_vertebra(vertices_mm: np.ndarray, triangles: np.ndarray, landmarks_mm: np.ndarray) -> VertebraMarks:
    """Finds all marks of a vertebra.

    Args:
        vertices_mm: [V, 3] in any frame.
        triangles: [M, 3], counter-clockwise seen from outside.
        landmarks_mm: [7, 3] in the same frame.

    Raises:
        InputError: if the mesh is not one closed surface with outward normals, or the landmarks define no frame.
    """
    landmarks = np.asarray(landmarks_mm, dtype=np.float64)
    if landmarks.shape != (len(LANDMARKS), 3) or not np.isfinite(landmarks[[0, 1, 4, 5]]).all():
        raise InputError(
            "landmarks_mm must be [7, 3] with both endplate centres and both pedicles, which define the frame"
        )
    try:
        vertebra_from_world = world_from_vertebra(landmarks).inverse()
    except ValueError as error:
        raise InputError(f"landmarks_mm: {error}") from error
    surface = WalkableSurface(vertebra_from_world.apply(vertices_mm), triangles)
    _check_solid(surface)
    return _marks(surface, vertebra_from_world.apply(landmarks))


def _check_solid(surface: WalkableSurface) -> None:
    if not surface.is_closed:
        raise InputError("the mesh has holes, expected a closed surface")
    volume_mm3 = Surface(surface.vertices_mm, surface.triangles).volume_mm3
    if volume_mm3 < _MIN_VOLUME_MM3:
        raise InputError(
            f"the mesh encloses {volume_mm3:.0f} mm3, expected a vertebra in mm with triangles counter-clockwise "
            "seen from outside"
        )


def _marks(surface: WalkableSurface, landmarks_mm: np.ndarray) -> VertebraMarks:
    """Marks of a surface in its vertebra frame."""
    marks: dict[str, MaterialPoints] = {}
    rim_found: dict[str, np.ndarray] = {}
    reasons: dict[str, str] = {}
    widths = []
    for k, (name, side) in enumerate((("superior", 1), ("inferior", -1))):
        endplate = mark_endplate(surface, landmarks_mm[k], side=side)
        if endplate is None:
            for part in ENDPLATE_PARTS:
                reasons[f"{name}_{part}"] = f"no rim of the {name} endplate was found on the mesh"
        else:
            rim_found[name] = endplate.found
            marks |= _endplate_marks(name, endplate)
            widths.append(np.ptp(endplate.rim.of(surface.vertices_mm)[:, 1]))
    for k, side in ((4, "left"), (5, "right")):
        _add_pedicle(side, surface, landmarks_mm[k], marks, reasons)
    _add_arch(surface, landmarks_mm, max(widths, default=0.0), marks, reasons)
    return VertebraMarks(marks, rim_found, reasons)


def _endplate_marks(name: str, endplate: EndplateMarks) -> dict[str, MaterialPoints]:
    return {f"{name}_{part}": getattr(endplate, part) for part in ENDPLATE_PARTS}


def _add_pedicle(side: str, surface: WalkableSurface, centre_mm: np.ndarray, marks: dict, reasons: dict) -> None:
    pedicle = mark_pedicle(surface, centre_mm)
    if pedicle is None:
        for part in ("isthmus", "screw"):
            reasons[f"{side}_{part}"] = f"no closed section of the {side} pedicle surrounds its landmark"
        return
    marks[f"{side}_isthmus"] = pedicle.isthmus
    if pedicle.screw is None:
        reasons[f"{side}_screw"] = f"no straight line through the {side} pedicle keeps its distance from the cortex"
    else:
        marks[f"{side}_screw"] = pedicle.screw


def _add_arch(
    surface: WalkableSurface, landmarks_mm: np.ndarray, body_width_mm: float, marks: dict, reasons: dict
) -> None:
    canal = mark_canal(surface, landmarks_mm)
    tips = mark_transverse_tips(surface, body_width_mm)
    tip = mark_spinous_tip(surface, canal)
    if canal is None:
        for name in ("canal_outline", "canal_width", "canal_depth", "spinous_tip"):
            reasons[name] = "no axial section at the pedicles shows a canal closed by bone"
    else:
        marks |= {"canal_outline": canal.outline, "canal_width": canal.width, "canal_depth": canal.depth}
    if tips is None:
        reasons["transverse_tips"] = "a transverse process does not reach beyond the vertebral body"
    else:
        marks["transverse_tips"] = paired(*tips)
    if tip is not None:
        marks["spinous_tip"] = tip
