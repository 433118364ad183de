"""The reference vertebra: one remeshed topology for all levels, with its landmarks defined once as weighted vertex
sets.

Every shape registered to the reference inherits the landmarks, so they mean the same place on every vertebra.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from lumbar_ext.anatomy import LANDMARKS
from lumbar_ext.errors import InputError
from lumbar_ext.mesh.material_points import MaterialPoints
from lumbar_ext.mesh.remeshing import remesh
from lumbar_ext.mesh.sampling import spread_points
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.model.frame import world_from_vertebra

LANDMARK_VERTICES = 64
"""Vertices kept per landmark; shorter sets are padded with weight zero."""

_ENDPLATE_NORMAL_Z = 0.80  # cosine to the axis, 37 deg: the rounded rim is left out
_TIP_MM = 2.0  # from the outermost vertex
_RING_MM = 1.0  # half the width of the ring around the narrowest place of a pedicle
_SPINOUS_BORDER_MM = 3.0  # from the hindmost vertex


@dataclass(frozen=True)
class Reference:
    """The reference surface in its vertebra frame, and the landmarks on it.

    Args:
        surface: watertight, one foramen, vertebra frame, mm.
        landmarks: [7] means of vertices with weights that are not negative.
    """

    surface: Surface
    landmarks: MaterialPoints

    def landmarks_mm(self, vertices_mm: np.ndarray) -> np.ndarray:
        """Landmarks [..., 7, 3] of vertices [..., V, 3] in this topology."""
        return self.landmarks.of(vertices_mm)

    def in_vertebra_frame(self, vertices_mm: np.ndarray) -> np.ndarray:
        """Brings vertices [V, 3] of this topology from any world frame to their own vertebra frame."""
        return world_from_vertebra(self.landmarks_mm(vertices_mm)).inverse().apply(vertices_mm)


def build_reference(surface: Surface, n_vertices: int = 10_000) -> Reference:
    """Remeshes a lumbar vertebra and defines the seven landmarks on it.

    Args:
        surface: a clean, smooth vertebra (L3 is best), roughly oriented X front, Y left, Z up, mm.
        n_vertices: vertices of the shared topology.

    Raises:
        InputError: if a landmark cannot be found, which means that the surface is not a vertebra in that orientation.
    """
    mesh = remesh(surface, n_vertices)
    # Two rounds: the rules look along the axes, and the first round's landmarks straighten the axes.
    for _ in range(2):
        landmarks = _define_landmarks(mesh)
        pose = world_from_vertebra(landmarks.of(mesh.vertices_mm))
        mesh = mesh.with_vertices(pose.inverse().apply(mesh.vertices_mm))
    return Reference(mesh, landmarks)


def _define_landmarks(mesh: Surface) -> MaterialPoints:
    """The seven landmarks by the rules below, for a mesh with X front, Y left, Z up."""
    wall_x, mid_z = _posterior_wall(mesh)
    patches = {
        "superior_endplate": _endplate(mesh, wall_x, mid_z, +1),
        "inferior_endplate": _endplate(mesh, wall_x, mid_z, -1),
        "left_transverse_process": _tip(mesh, +1),
        "right_transverse_process": _tip(mesh, -1),
        "left_pedicle": _pedicle_ring(mesh, wall_x, +1),
        "right_pedicle": _pedicle_ring(mesh, wall_x, -1),
        "spinous_process": np.flatnonzero(mesh.vertices_mm[:, 0] < mesh.vertices_mm[:, 0].min() + _SPINOUS_BORDER_MM),
    }
    rows = [_thin_out(mesh, patches[name], name) for name in LANDMARKS]
    return MaterialPoints(np.stack([r[0] for r in rows]), np.stack([r[1] for r in rows]))


def _thin_out(mesh: Surface, patch: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """At most k spread vertices of a patch; each carries the area of the patch vertices nearest to it."""
    if len(patch) < 4:
        raise InputError(f"the reference has no {name}: expected a lumbar vertebra with X front, Y left, Z up in mm")
    points = mesh.vertices_mm[patch]
    kept = spread_points(points, LANDMARK_VERTICES)
    owner = cKDTree(points[kept]).query(points)[1]
    share = np.bincount(owner, mesh.vertex_areas_mm2[patch], minlength=len(kept))
    vertices = np.full(LANDMARK_VERTICES, patch[kept[0]])
    weights = np.zeros(LANDMARK_VERTICES)
    vertices[: len(kept)], weights[: len(kept)] = patch[kept], share / share.sum()
    return vertices, weights


def _posterior_wall(mesh: Surface) -> tuple[float, float]:
    """x of the posterior wall of the body in the mid-sagittal plane, and z of the middle of the body, mm."""
    front = mesh.vertices_mm[mesh.vertices_mm[:, 0] > mesh.vertices_mm[:, 0].max() - 15.0]
    mid_y, mid_z = (front.min(axis=0) + front.max(axis=0))[1:] / 2
    hits, _, _ = mesh.to_trimesh().ray.intersects_location([[500.0, mid_y, mid_z]], [[-1.0, 0.0, 0.0]])
    if len(hits) < 2:
        raise InputError("the reference has no vertebral body where it is expected: orient it X front, Y left, Z up")
    return float(np.sort(hits[:, 0])[-2]), float(mid_z)


def _endplate(mesh: Surface, wall_x: float, mid_z: float, side: int) -> np.ndarray:
    """Vertices of the superior (+1) or inferior (-1) endplate: in front of the posterior wall, facing up or down."""
    inside = (mesh.vertices_mm[:, 0] > wall_x) & (side * (mesh.vertices_mm[:, 2] - mid_z) > 5.0)
    return np.flatnonzero(inside & (side * mesh.normals[:, 2] > _ENDPLATE_NORMAL_Z))


def _tip(mesh: Surface, side: int) -> np.ndarray:
    """Vertices of the tip of the left (+1) or right (-1) transverse process."""
    outward = side * mesh.vertices_mm[:, 1]
    return np.flatnonzero(outward > outward.max() - max(_TIP_MM, _edge_mm(mesh)))


def _edge_mm(mesh: Surface) -> float:
    """Typical edge length: that of equilateral triangles of the mean area."""
    return float(np.sqrt(mesh.vertex_areas_mm2.sum() / len(mesh.triangles) * 4 / np.sqrt(3)))


def _pedicle_ring(mesh: Surface, wall_x: float, side: int) -> np.ndarray:
    """Vertices around the isthmus of the left (+1) or right (-1) pedicle: its smallest frontal section."""
    best: tuple[float, float, np.ndarray] | None = None
    solid = mesh.to_trimesh()
    for x in np.arange(wall_x + 1.0, wall_x - 12.0, -0.5):
        section = solid.section(plane_origin=[x, 0, 0], plane_normal=[1, 0, 0])
        for loop in [] if section is None else section.discrete:
            centre = loop.mean(axis=0)
            if 7.0 < side * centre[1] < 25.0 and np.ptp(loop[:, 1]) < 25.0 and np.ptp(loop[:, 2]) > 8.0:
                area = _polygon_area(loop[:, 1], loop[:, 2])
                if best is None or area < best[0]:
                    best = (area, x, loop)
    if best is None:
        return np.empty(0, dtype=np.int64)
    near = np.abs(mesh.vertices_mm[:, 0] - best[1]) < max(_RING_MM, 0.6 * _edge_mm(mesh))
    distance, _ = cKDTree(best[2]).query(mesh.vertices_mm)
    return np.flatnonzero(near & (distance < max(2.5 * _RING_MM, _edge_mm(mesh))))


def _polygon_area(x: np.ndarray, y: np.ndarray) -> float:
    """Area of a closed polygon by the shoelace formula."""
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
