"""Dimensions of a vertebra, as morphometric studies define them, measured on meshes of the population's topology.

All are taken in the vertebra frame (X front, Y left, Z up). Widths are left to right, depths back to front.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.measurements.marks.vertebra_marks import MarkedVertebra, mark_vertebra
from lumbar_ext.measurements.values import arch
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.population.atlas import Atlas
from lumbar_ext.simulation.bones.endplate_planes import find_endplates

DIMENSIONS = {
    "superior_width_mm": "greatest width of the body within 5 mm of the superior endplate, in front of its middle",
    "inferior_width_mm": "the same at the inferior endplate",
    "superior_depth_mm": "mid-sagittal depth of the body within 5 mm of the superior endplate",
    "inferior_depth_mm": "the same at the inferior endplate",
    "anterior_height_mm": "rim to rim in the front 5 mm of the mid-sagittal section",
    "middle_height_mm": "between the endplates within 4 mm of their centres",
    "posterior_height_mm": "rim to rim in the hind 5 mm of the mid-sagittal section",
    "wedge_deg": "angle that anterior and posterior height make over the depth, positive if taller in front",
    "superior_concavity_mm": "greatest depth below the chord between the rims, mid-sagittal",
    "inferior_concavity_mm": "the same at the inferior endplate",
    "pedicle_width_mm": "of the isthmus, the narrowest section across the pedicle's axis, mean of both sides",
    "pedicle_height_mm": "of the same section, mean of both sides",
    "pedicle_transverse_deg": "convergence of the pedicle's axis to the front in the axial plane, mean of both sides",
    "canal_width_mm": "smallest, between the inner walls of the pedicles",
    "canal_depth_mm": "mid-sagittal, posterior wall to lamina",
    "transverse_span_mm": "tip to tip",
    "spinous_length_mm": "posterior wall to tip",
    "spinous_height_mm": "of the hind 12 mm of the spinous process",
}
"""Names and definitions."""

_RIM_MM = 5.0  # below a plate, where width and depth of the body are measured
_MIDLINE_MM = 4.0  # half the width of the strip that counts as the midline


@dataclass(frozen=True)
class Dimensions:
    """Values of one vertebra in the order of `DIMENSIONS`."""

    values: np.ndarray

    def __getitem__(self, name: str) -> float:
        return float(self.values[list(DIMENSIONS).index(name)])


class Calliper:
    """Measures vertebrae of an atlas' topology.

    Pedicles and canal are marked once on each level mean; the marks follow the shared vertices to the subjects.

    Args:
        atlas: its level means.
    """

    def __init__(self, atlas: Atlas) -> None:
        self._atlas = atlas
        means = np.asarray(atlas.means_mm, dtype=np.float64)
        triangles = atlas.reference.surface.triangles
        self._marks = [mark_vertebra(mean, triangles, atlas.reference.landmarks_mm(mean)) for mean in means]

    def measure(self, vertices_mm: np.ndarray, level: int) -> Dimensions:
        """Dimensions of one vertebra.

        Args:
            vertices_mm: [V, 3] in its vertebra frame.
            level: index into `anatomy.LEVELS`; a sixth vertebra counts as L5.
        """
        solid = Surface(vertices_mm, self._atlas.reference.surface.triangles)
        landmarks = self._atlas.reference.landmarks_mm(solid.vertices_mm)
        body = BodyProfile.of(solid, landmarks)
        marked = self._marks[min(level, len(LEVELS) - 1)].place(solid.vertices_mm, landmarks)
        y = solid.vertices_mm[:, 1]
        x, z = solid.vertices_mm[:, 0], solid.vertices_mm[:, 2]
        behind = x < x.min() + 12.0
        values = {
            **body.values,
            "pedicle_width_mm": _of_both_sides(arch.pedicle_width_mm, marked),
            "pedicle_height_mm": _of_both_sides(arch.pedicle_height_mm, marked),
            "pedicle_transverse_deg": _of_both_sides(arch.pedicle_transverse_angle_deg, marked),
            "canal_width_mm": float(arch.canal_width_mm(marked)),
            "canal_depth_mm": _canal_depth_mm(solid, body.wall_x),
            "transverse_span_mm": np.ptp(y),
            "spinous_length_mm": body.wall_x - x.min(),
            "spinous_height_mm": np.ptp(z[behind]),
        }
        return Dimensions(np.array([values[name] for name in DIMENSIONS]))


def _of_both_sides(measure: Callable[[MarkedVertebra, arch.LeftRight], np.ndarray], marked: MarkedVertebra) -> float:
    return float((measure(marked, "left") + measure(marked, "right")) / 2)


@dataclass(frozen=True)
class BodyProfile:
    """Dimensions of the vertebral body, and the x of its posterior wall in the mid-sagittal plane."""

    values: dict[str, float]
    wall_x: float

    @classmethod
    def of(cls, solid: Surface, landmarks_mm: np.ndarray) -> BodyProfile:
        """Measures a vertebra in its vertebra frame with its landmarks [7, 3]."""
        points, normals = solid.vertices_mm, solid.normals
        x, y, z = points.T
        wall_x = _posterior_wall_x(solid, landmarks_mm)
        middle = (np.abs(y) < _MIDLINE_MM) & (x > wall_x - 2.0)
        front_x = x[middle].max()
        mid_x = (front_x + wall_x) / 2
        plates = find_endplates(solid, landmarks_mm)
        values = {}
        for name, plate, up in (("superior", plates.superior, 1), ("inferior", plates.inferior, -1)):
            near = (points - plate.centre_mm) @ plate.normal > -_RIM_MM
            values[f"{name}_width_mm"] = np.ptp(y[near & (x > mid_x - 3.0)])
            values[f"{name}_depth_mm"] = np.ptp(x[near & middle])
            values[f"{name}_concavity_mm"] = _concavity_mm(points[near & middle & (up * normals[:, 2] > 0.5)], up)
        anterior = np.ptp(z[middle & (x > front_x - 5.0)])
        posterior = np.ptp(z[middle & (x < wall_x + 5.0)])
        centre = middle & (np.abs(x - mid_x) < _MIDLINE_MM)
        values["anterior_height_mm"], values["posterior_height_mm"] = anterior, posterior
        values["middle_height_mm"] = (
            z[centre & (normals[:, 2] > 0.7)].mean() - z[centre & (normals[:, 2] < -0.7)].mean()
        )
        values["wedge_deg"] = np.degrees(2 * np.arctan((anterior - posterior) / 2 / (front_x - wall_x)))
        return cls(values, wall_x)


def _posterior_wall_x(solid: Surface, landmarks_mm: np.ndarray) -> float:
    """x of the posterior wall in the middle of the canal."""
    points, normals = solid.vertices_mm, solid.normals
    pedicle_x = landmarks_mm[[LANDMARKS.index("left_pedicle"), LANDMARKS.index("right_pedicle")], 0].mean()
    wall = (np.abs(points[:, 1]) < _MIDLINE_MM) & (normals[:, 0] < -0.7) & (np.abs(points[:, 2]) < 9.0)
    return float(points[wall & (np.abs(points[:, 0] - pedicle_x - 3.0) < 9.0), 0].mean())


def _concavity_mm(points_mm: np.ndarray, up: int) -> float:
    """Greatest depth below the chord between the front and back rim of an endplate's mid-sagittal strip."""
    x, z = points_mm[:, 0], up * points_mm[:, 2]
    middle = (x.min() + x.max()) / 2
    ends = []
    for half in (x < middle, x >= middle):
        top = np.flatnonzero(half)[np.argmax(z[half])]
        ends.append((x[top], z[top]))
    (x0, z0), (x1, z1) = ends
    between = (x > x0) & (x < x1)
    chord = z0 + (x - x0) / (x1 - x0) * (z1 - z0)
    # A strip has width: the mean of the deepest tenth is the depth of its middle rather than of an outlier.
    depth = np.sort((chord - z)[between])
    return float(max(depth[-max(1, len(depth) // 10) :].mean(), 0.0))


def _canal_depth_mm(solid: Surface, wall_x: float) -> float:
    """From the posterior wall to the foremost point of the lamina in the mid-sagittal plane."""
    points, normals = solid.vertices_mm, solid.normals
    lamina = (np.abs(points[:, 1]) < _MIDLINE_MM) & (points[:, 0] < wall_x - 6.0) & (normals[:, 0] > 0.5)
    return float(wall_x - np.percentile(points[lamina, 0], 90))
