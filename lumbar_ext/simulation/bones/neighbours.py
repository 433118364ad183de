"""The bones above and below L1-L5 in a simulated person: thoracic vertebrae, sacrum and hip bones.

There is one real sacrum with its hip bones and one real T12. They are prepared once, and then given every subject's
size, sex and own proportions: T12 follows the subject's L1, the ones above shrink, the pelvis is scaled along each
axis, its sacrum curved and its hip bones turned about the sacroiliac joints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from lumbar_ext.mesh.solid import Surface
from lumbar_ext.shape.population.atlas import BackgroundBones
from lumbar_ext.simulation.bones.endplate_planes import Endplate
from lumbar_ext.simulation.bones.facet_room import ArticularProcesses

N_THORACIC = 5
"""T12 to T8."""

# Thoracic bodies shrink upwards by about 4 % a level (Panjabi 1991).
_THORACIC_SCALE = 0.955
_LINKS, _LINK_SIGMA_MM = 8, 6.0
_BODY_X_MM = -14.0
_FACING = 0.8
# The sacrum's mesh was shrink-wrapped and is that much too large all around.
_SACRUM_INFLATION_MM = 0.6
# Where the sacroiliac joints lie and the sacrum begins to curve, sacral frame, mm.
_SACROILIAC_MM = np.array([-35.0, 0.0, -40.0])
_CURVE_FROM_MM = -30.0
# Breadth between the iliac crests without soft tissue, mean and SD.
_CREST_BREADTH_MM = {"female": (272.0, 14.0), "male": (279.0, 14.0)}
_AXIS_SD = 0.04
# Pelvic incidence of adults is 52 +- 10 deg, that of this pelvis 41 deg: the mean and SD of the turn make up for it.
_INCIDENCE_DEG = (10.0, 8.0)
_CURVE_SD_RAD_PER_MM = np.radians(9.0) / 90.0


@dataclass(frozen=True)
class Thoracic:
    """A vertebra above L1.

    Args:
        solid: mesh in its vertebra frame.
        superior, inferior: its endplates.
    """

    solid: Surface
    superior: Endplate
    inferior: Endplate

    def scaled(self, factor: float) -> Thoracic:
        """The same vertebra in another size."""
        plates = (
            Endplate(p.centre_mm * factor, p.normal, p.half_depth_mm * factor, p.behind_mm * factor)
            for p in (self.superior, self.inferior)
        )
        return Thoracic(self.solid.with_vertices(self.solid.vertices_mm * factor), *plates)


@dataclass(frozen=True)
class Pelvis:
    """Sacrum, hip bones and the sacrum's articular processes, in the sacral frame: origin at the S1 endplate centre, X
    front along it, Z its normal."""

    sacrum: Surface
    hips: Surface
    processes: ArticularProcesses


class Neighbours:
    """The real bones, prepared for making those of many subjects.

    Args:
        bones: of the anatomy file.
        first_lumbar_mm: [V, 3] mean L1 in its vertebra frame, which T12 is aligned with.
    """

    def __init__(self, bones: BackgroundBones, first_lumbar_mm: np.ndarray) -> None:
        self._pelvis = Surface(bones.pelvis.vertices_mm, bones.pelvis.triangles)
        # Dense enough for its articular processes to be fitted to L5.
        vertices, triangles = trimesh.remesh.subdivide_loop(bones.sacrum.vertices_mm, bones.sacrum.triangles, 1)
        self._sacrum = Surface(vertices, triangles).shrunk(_SACRUM_INFLATION_MM)
        self._processes = ArticularProcesses.of_sacrum(self._sacrum.vertices_mm)
        self._breadth_mm = float(np.ptp(bones.pelvis.vertices_mm[:, 1]))
        self._first_lumbar_mm = np.asarray(first_lumbar_mm, dtype=np.float64)
        t12 = np.asarray(bones.t12.vertices_mm, dtype=np.float64)
        t12 = t12 * _THORACIC_SCALE * _body_size(self._first_lumbar_mm) / _body_size(t12)
        self._t12 = Surface(t12, bones.t12.triangles)
        distance, self._links = cKDTree(self._first_lumbar_mm).query(t12, k=min(_LINKS, len(first_lumbar_mm)))
        weights = np.exp(-0.5 * (distance / _LINK_SIGMA_MM) ** 2 + 0.5 * (distance[:, :1] / _LINK_SIGMA_MM) ** 2)
        self._weights = weights / weights.sum(axis=1, keepdims=True)
        self._plates = {up: np.flatnonzero(_plate(self._t12, up)) for up in (1, -1)}

    def thoracic(self, first_lumbar_mm: np.ndarray) -> tuple[Thoracic, ...]:
        """T12 .. T8 of a person.

        Args:
            first_lumbar_mm: [V, 3] the person's L1 in its vertebra frame.
        """
        moved = first_lumbar_mm - self._first_lumbar_mm
        vertices = self._t12.vertices_mm + np.einsum("vk,vkc->vc", self._weights, moved[self._links])
        t12 = Thoracic(self._t12.with_vertices(vertices), self._endplate(vertices, 1), self._endplate(vertices, -1))
        return tuple(t12.scaled(_THORACIC_SCALE**step) for step in range(N_THORACIC))

    def pelvis(self, rng: np.random.Generator, size_ratio: float, sex: str) -> Pelvis:
        """A pelvis of fitting size and random proportions.

        Args:
            rng: draws the proportions.
            size_ratio: body height of the person's vertebrae against the mean.
            sex: "female" or "male".
        """
        mean_mm, sd_mm = _CREST_BREADTH_MM[sex]
        wide = rng.normal(mean_mm, sd_mm) / self._breadth_mm
        deep, high = size_ratio * rng.normal(1.0, _AXIS_SD, 2)
        scale = np.array([deep, wide, high])
        turn = np.radians(np.clip(rng.normal(*_INCIDENCE_DEG), -8.0, 24.0))
        curve = np.clip(rng.normal(0.0, _CURVE_SD_RAD_PER_MM), -2 * _CURVE_SD_RAD_PER_MM, 2 * _CURVE_SD_RAD_PER_MM)
        sacrum = _curved(self._sacrum.vertices_mm * scale, curve)
        hips = _turned(self._pelvis.vertices_mm * scale, -turn, _SACROILIAC_MM * scale)
        return Pelvis(self._sacrum.with_vertices(sacrum), self._pelvis.with_vertices(hips), self._processes)

    def _endplate(self, vertices_mm: np.ndarray, up: int) -> Endplate:
        """The plane through the vertices of an endplate of T12."""
        points = vertices_mm[self._plates[up]]
        centre = (points.min(axis=0) + points.max(axis=0)) / 2
        centre[2] = points[:, 2].mean()
        normal = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][2]
        half_depth = float(np.ptp(points[:, 0])) / 2
        return Endplate(centre, normal * up * np.sign(normal[2]), half_depth, half_depth)


def _body_size(vertices_mm: np.ndarray) -> float:
    """Width of the vertebral body, mm."""
    return float(np.ptp(vertices_mm[vertices_mm[:, 0] > _BODY_X_MM, 1]))


def _plate(vertebra: Surface, up: int) -> np.ndarray:
    """[V] whether a vertex belongs to the superior (+1) or inferior (-1) endplate."""
    x, z = vertebra.vertices_mm[:, 0], vertebra.vertices_mm[:, 2]
    return (x > _BODY_X_MM) & (up * z > 5.0) & (up * vertebra.normals[:, 2] > _FACING)


def _curved(points_mm: np.ndarray, curvature_per_mm: float) -> np.ndarray:
    """Bends a sacrum forward (positive) or straightens it below its first segment."""
    below = np.clip(_CURVE_FROM_MM - points_mm[:, 2], 0.0, None)
    curved = points_mm.copy()
    curved[:, 0] += 0.5 * curvature_per_mm * below**2
    return curved


def _turned(points_mm: np.ndarray, angle_rad: float, pivot_mm: np.ndarray) -> np.ndarray:
    """Turned about a left-right axis through a pivot."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return (points_mm - pivot_mm) @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T + pivot_mm
