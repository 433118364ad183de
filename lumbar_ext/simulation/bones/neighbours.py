"""The bones above and below L1-L5 in a simulated person: thoracic vertebrae, sacrum and hip bones.

There is one real sacrum with its hip bones and one real T12 (the Visible Human's and a CT's, both of the training
side). They are prepared once, and then warped widely, for they must stand for everybody's: T12 follows the subject's L1
and has a shape of its own, the ones above shrink; the pelvis is scaled along each axis, mirrored in half of the people,
its incidence, sacral table, sacral curve and iliac flare are drawn, and smooth random waves change the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.population.atlas import BackgroundBones
from lumbar_ext.simulation.body.noise import waves
from lumbar_ext.simulation.bones.endplate_planes import EndplatePlane, plate_points
from lumbar_ext.simulation.bones.facet_room import ArticularProcesses

N_THORACIC = 5
"""T12 to T8."""

# Thoracic bodies shrink upwards by about 4 % a level (Panjabi 1991).
_THORACIC_SCALE = 0.955
_LINKS, _LINK_SIGMA_MM = 8, 6.0  # vertices of L1 that each vertex of T12 follows, and the width of their weights
_BODY_X_MM = -14.0  # in the vertebra frame: what lies before it is body
_FACING = 0.8  # cosine of an endplate's normals to the axis
# The sacrum's mesh was shrink-wrapped and is that much too large all around.
_SACRUM_INFLATION_MM = 0.6
# Where the sacroiliac joints lie and the sacrum begins to curve, sacral frame, mm.
_SACROILIAC_MM = np.array([-35.0, 0.0, -40.0])
_CURVE_FROM_MM = -30.0  # below the sacral plate: there the sacrum's curve begins
_HIND_WALL_X_MM = -19.0  # of the sacral plate
# Breadth between the iliac crests without soft tissue, mean and SD.
_CREST_BREADTH_MM = {"female": (272.0, 14.0), "male": (279.0, 14.0)}
_AXIS_SD = 0.06  # relative, of the pelvis's depth and height beside the person's size
# Pelvic incidence of adults, mean and SD, and its extremes in healthy people (Vialle 2005: 300 adults, 55 +- 11, 33-82,
# from memory); that of the real pelvis.
_INCIDENCE_DEG, _INCIDENCE_LIMITS_DEG = (53.0, 11.0), (30.0, 85.0)
_REAL_INCIDENCE_DEG = 41.0  # of the real pelvis
# Between the S1 endplate and the hind wall of S1: an SD of 5-6 deg in adults (from memory); the share of the incidence
# that comes with it is estimated.
_TABLE_SHARE, _TABLE_SD_DEG = 0.4, 4.0
_TABLE_FROM_MM = (-4.0, -30.0)  # height of the plate's side walls, which the sacral table angle turns
_CURVE_SD_RAD_PER_MM = np.radians(12.0) / 90.0  # 12 deg over the 90 mm of the sacrum, estimated
# Opening of the iliac wings, their height, breadth of the sacral wings: standard deviations, estimated.
_FLARE_SD_DEG, _CREST_SD, _WING_SD = 4.0, 0.06, 0.06
_PLATE_HALF_WIDTH_MM = 26.0  # of the sacral plate
# The front rim of S1 juts out or is rounded off, and its endplate is hollow or domed: standard deviations, estimated.
_PROMONTORY_SD_MM, _DOME_SD_MM = 1.5, 1.0
# What is left: smooth waves through sacrum and hip bones, weaker near the endplate, which defines the frame.
_PELVIC_WAVES_MM, _PELVIC_AMPLITUDE_MM = (45.0, 160.0), (1.0, 3.0)
_PLATE_SHARE, _PLATE_RADIUS_MM = 0.2, 35.0  # of the free-form change that is left at the plate, and how far around it
# wavelengths and amplitudes of the free-form change of T12 .. T8, and the spread of their size by axis
_THORACIC_WAVES_MM, _THORACIC_AMPLITUDE_MM, _THORACIC_AXIS_SD = (18.0, 70.0), (0.3, 0.8), 0.03
_N_WAVES = 16  # of a free-form change
_MIRROR = np.array([1.0, -1.0, 1.0])  # left and right exchanged


@dataclass(frozen=True)
class Thoracic:
    """A vertebra above L1.

    Args:
        solid: mesh in its vertebra frame.
        superior, inferior: its endplates.
    """

    solid: Surface
    superior: EndplatePlane
    inferior: EndplatePlane

    def scaled(self, factor: float) -> Thoracic:
        """The same vertebra in another size."""
        plates = (
            EndplatePlane(p.centre_mm * factor, p.normal, p.half_depth_mm * factor, p.behind_mm * factor)
            for p in (self.superior, self.inferior)
        )
        return Thoracic(self.solid.with_vertices(self.solid.vertices_mm * factor), *plates)


@dataclass(frozen=True)
class Pelvis:
    """Sacrum and hip bones in the sacral frame: origin at the S1 endplate centre, X front along it, Z its normal.

    Args:
        sacrum, hips: meshes.
        processes: articular processes of the sacrum.
        plate_mm: [5, 3] the `PLATE_POINTS` of the superior endplate of S1.
    """

    sacrum: Surface
    hips: Surface
    processes: ArticularProcesses
    plate_mm: np.ndarray


@dataclass(frozen=True)
class _RealPelvis:
    """The real bones, or their mirror image, before anything is changed."""

    sacrum: Surface
    hips: Surface
    processes: ArticularProcesses
    plate: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, sacrum: Surface, hips: Surface) -> _RealPelvis:
        processes = ArticularProcesses.of_sacrum(sacrum.vertices_mm)
        return cls(sacrum, hips, processes, plate_points(sacrum, np.zeros(3)))


class Neighbours:
    """The real bones, prepared for making those of many subjects.

    Args:
        bones: of the anatomy file.
        first_lumbar_mm: [V, 3] mean L1 in its vertebra frame, which T12 is aligned with.
    """

    def __init__(self, bones: BackgroundBones, first_lumbar_mm: np.ndarray) -> None:
        hips = Surface(bones.pelvis.vertices_mm, bones.pelvis.triangles)
        # Dense enough for its articular processes to be fitted to L5.
        vertices, triangles = trimesh.remesh.subdivide_loop(bones.sacrum.vertices_mm, bones.sacrum.triangles, 1)
        sacrum = Surface(vertices, triangles).shrunk(_SACRUM_INFLATION_MM)
        self._pelves = (_RealPelvis.of(sacrum, hips), _RealPelvis.of(_mirrored(sacrum), _mirrored(hips)))
        self._breadth_mm = float(np.ptp(bones.pelvis.vertices_mm[:, 1]))
        self._first_lumbar_mm = np.asarray(first_lumbar_mm, dtype=np.float64)
        t12 = np.asarray(bones.t12.vertices_mm, dtype=np.float64)
        t12 = t12 * _THORACIC_SCALE * _body_size(self._first_lumbar_mm) / _body_size(t12)
        self._t12 = Surface(t12, bones.t12.triangles)
        distance, self._links = cKDTree(self._first_lumbar_mm).query(t12, k=min(_LINKS, len(first_lumbar_mm)))
        weights = np.exp(-0.5 * (distance / _LINK_SIGMA_MM) ** 2 + 0.5 * (distance[:, :1] / _LINK_SIGMA_MM) ** 2)
        self._weights = weights / weights.sum(axis=1, keepdims=True)
        self._plates = {up: np.flatnonzero(_plate(self._t12, up)) for up in (1, -1)}

    def thoracic(self, rng: np.random.Generator, first_lumbar_mm: np.ndarray) -> tuple[Thoracic, ...]:
        """T12 .. T8 of a person.

        Args:
            rng: draws the shape of T12, as far as it does not follow L1.
            first_lumbar_mm: [V, 3] the person's L1 in its vertebra frame.
        """
        moved = first_lumbar_mm - self._first_lumbar_mm
        vertices = self._t12.vertices_mm + np.einsum("vk,vkc->vc", self._weights, moved[self._links])
        amplitude = rng.uniform(*_THORACIC_AMPLITUDE_MM)
        vertices = vertices * rng.normal(1.0, _THORACIC_AXIS_SD, 3)
        vertices += amplitude * _displacement(rng, vertices, _THORACIC_WAVES_MM)
        t12 = Thoracic(self._t12.with_vertices(vertices), self._endplate(vertices, 1), self._endplate(vertices, -1))
        return tuple(t12.scaled(_THORACIC_SCALE**step) for step in range(N_THORACIC))

    def pelvis(self, rng: np.random.Generator, size_ratio: float, sex: str) -> Pelvis:
        """A pelvis of fitting size and random proportions.

        Args:
            rng: draws the proportions.
            size_ratio: body height of the person's vertebrae against the mean.
            sex: "female" or "male".
        """
        real = self._pelves[rng.integers(len(self._pelves))]
        form = _PelvicForm.sample(rng, size_ratio, sex, self._breadth_mm)
        sacrum = form.sacrum(real.sacrum.vertices_mm)
        hips = form.hips(real.hips.vertices_mm)
        waved = _waved(rng, np.concatenate([sacrum, hips]))
        sacrum, hips = waved[: len(sacrum)], waved[len(sacrum) :]
        plate = np.stack([sacrum[index].mean(axis=0) for index in real.plate])
        return Pelvis(
            real.sacrum.with_vertices(sacrum - plate[0]),
            real.hips.with_vertices(hips - plate[0]),
            real.processes,
            plate - plate[0],
        )

    def _endplate(self, vertices_mm: np.ndarray, up: int) -> EndplatePlane:
        """The plane through the vertices of an endplate of T12."""
        points = vertices_mm[self._plates[up]]
        centre = (points.min(axis=0) + points.max(axis=0)) / 2
        centre[2] = points[:, 2].mean()
        normal = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][2]
        half_depth = float(np.ptp(points[:, 0])) / 2
        return EndplatePlane(centre, normal * up * np.sign(normal[2]), half_depth, half_depth)


def _body_size(vertices_mm: np.ndarray) -> float:
    """Width of the vertebral body, mm."""
    return float(np.ptp(vertices_mm[vertices_mm[:, 0] > _BODY_X_MM, 1]))


def _plate(vertebra: Surface, up: int) -> np.ndarray:
    """[V] whether a vertex belongs to the superior (+1) or inferior (-1) endplate."""
    x, z = vertebra.vertices_mm[:, 0], vertebra.vertices_mm[:, 2]
    return (x > _BODY_X_MM) & (up * z > 5.0) & (up * vertebra.normals[:, 2] > _FACING)


@dataclass(frozen=True)
class _PelvicForm:
    """The proportions of one pelvis.

    Args:
        scale: [3] of all bones along the axes of the sacral frame.
        incidence_rad: by which the hip bones are turned about the sacroiliac joints; more is a larger incidence.
        table_rad: by which the sacrum below its endplate is turned.
        curve_per_mm: curvature added to the sacrum.
        flare_rad: by which the iliac wings open.
        crest: height of the iliac wings, 1 for the real one's.
        wing: breadth of the sacral wings, 1 for the real one's.
        promontory_mm, dome_mm: how far the front rim of S1 juts out, and the middle of its endplate rises.
    """

    scale: np.ndarray
    incidence_rad: float
    table_rad: float
    curve_per_mm: float
    flare_rad: float
    crest: float
    wing: float
    promontory_mm: float
    dome_mm: float

    @classmethod
    def sample(cls, rng: np.random.Generator, size_ratio: float, sex: str, breadth_mm: float) -> _PelvicForm:
        """Draws the proportions of a person whose real pelvis is `breadth_mm` wide."""
        mean_mm, sd_mm = _CREST_BREADTH_MM[sex]
        wide = rng.normal(mean_mm, sd_mm) / breadth_mm
        deep, high = size_ratio * np.clip(rng.normal(1.0, _AXIS_SD, 2), 1 - 2.5 * _AXIS_SD, 1 + 2.5 * _AXIS_SD)
        turn_deg = np.clip(rng.normal(*_INCIDENCE_DEG), *_INCIDENCE_LIMITS_DEG) - _REAL_INCIDENCE_DEG
        table, curve, flare, crest, wing, promontory, dome = np.clip(rng.standard_normal(7), -2.5, 2.5)
        return cls(
            scale=np.array([deep, wide, high]),
            incidence_rad=float(np.radians(turn_deg)),
            table_rad=float(np.radians(_TABLE_SHARE * turn_deg + _TABLE_SD_DEG * table)),
            curve_per_mm=float(_CURVE_SD_RAD_PER_MM * curve),
            flare_rad=float(np.radians(_FLARE_SD_DEG * flare)),
            crest=float(1 + _CREST_SD * crest),
            wing=float(1 + _WING_SD * wing),
            promontory_mm=float(_PROMONTORY_SD_MM * promontory),
            dome_mm=float(_DOME_SD_MM * dome),
        )

    def sacrum(self, real_mm: np.ndarray) -> np.ndarray:
        """[V, 3] the sacrum of [V, 3] the real one."""
        points = self._with_own_plate(real_mm)
        beyond = np.clip(np.abs(points[:, 1]) - _PLATE_HALF_WIDTH_MM, 0.0, None)
        points[:, 1] += np.sign(points[:, 1]) * (self.wing - 1) * beyond
        points = _curved(points * self.scale, self.curve_per_mm)
        # The plate stays where it is; from the hind wall of S1 on all is turned by the whole angle.
        start, end = np.array(_TABLE_FROM_MM) * self.scale[2]
        share = np.clip((start - points[:, 2]) / (start - end), 0.0, 1.0)
        return _turned(points, -self.table_rad * share, np.zeros(3))

    def hips(self, real_mm: np.ndarray) -> np.ndarray:
        """[V, 3] the hip bones of [V, 3] the real ones."""
        pivot = _SACROILIAC_MM
        above = np.clip(real_mm[:, 2] - pivot[2], 0.0, None)
        points = real_mm.copy()
        points[:, 2] += (self.crest - 1) * above
        points[:, 1] += np.sign(points[:, 1]) * np.tan(self.flare_rad) * above
        turned = _turned(points * self.scale, np.full(len(points), -self.incidence_rad), pivot * self.scale)
        # The hip bones stay where the sacrum meets them.
        return turned + (self.sacrum(pivot[None]) - pivot * self.scale)

    def _with_own_plate(self, real_mm: np.ndarray) -> np.ndarray:
        """The real sacrum with another front rim and another height of the middle of its endplate."""
        x, y, z = real_mm.T
        near = np.exp(-0.5 * (z / 7.0) ** 2) * (x > _HIND_WALL_X_MM)
        front = near * np.clip(x / 15.0, 0.0, 1.0) ** 2 * np.exp(-0.5 * (y / 18.0) ** 2)
        middle = near * np.clip(1 - (x / 14.0) ** 2 - (y / 24.0) ** 2, 0.0, 1.0)
        moved = np.stack([self.promontory_mm * front, np.zeros_like(x), 0.2 * self.promontory_mm * front], axis=1)
        moved[:, 2] += self.dome_mm * middle
        return real_mm + moved


def _mirrored(solid: Surface) -> Surface:
    """The mirror image at the sagittal plane, facing outwards."""
    return Surface(solid.vertices_mm * _MIRROR, solid.triangles[:, ::-1])


def _displacement(rng: np.random.Generator, points_mm: np.ndarray, wave_mm: tuple[float, float]) -> np.ndarray:
    """Smooth random displacements [V, 3] of unit variance along each axis."""
    return np.stack([waves(rng, points_mm, wave_mm, _N_WAVES) for _ in range(3)], axis=1).astype(np.float64)


def _waved(rng: np.random.Generator, points_mm: np.ndarray) -> np.ndarray:
    """Sacrum and hip bones [V, 3] in one smooth random field, which keeps their joints together."""
    amplitude = rng.uniform(*_PELVIC_AMPLITUDE_MM)
    near = np.exp(-0.5 * (points_mm**2).sum(axis=1) / _PLATE_RADIUS_MM**2)
    strength = amplitude * (1 - (1 - _PLATE_SHARE) * near)
    return points_mm + strength[:, None] * _displacement(rng, points_mm, _PELVIC_WAVES_MM)


def _curved(points_mm: np.ndarray, curvature_per_mm: float) -> np.ndarray:
    """Bends a sacrum forward (positive) or straightens it below its first segment."""
    below = np.clip(_CURVE_FROM_MM - points_mm[:, 2], 0.0, None)
    curved = points_mm.copy()
    curved[:, 0] += 0.5 * curvature_per_mm * below**2
    return curved


def _turned(points_mm: np.ndarray, angle_rad: np.ndarray, pivot_mm: np.ndarray) -> np.ndarray:
    """Each point [V, 3] turned by its angle [V] about a left-right axis through a pivot."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    x, y, z = (points_mm - pivot_mm).T
    return np.stack([c * x + s * z, y, c * z - s * x], axis=1) + pivot_mm
