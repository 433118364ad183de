"""One vertebra in one view: the pixels it covers and the derivative of its path length by its parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.drr.rasteriser import accumulate_signed_depth, project_vertices
from lumbar_ext.registration.jacobian_kernels import accumulate_jacobian, rigid_motions, shape_motions
from lumbar_ext.registration.kernels import pinhole_from_vertebra, render_window
from lumbar_ext.registration.parameters import POSE_SIZE
from lumbar_ext.registration.pinhole import world_pinhole
from lumbar_ext.registration.scene import Scene

_GRAZING_FLOOR = 0.05
"""Smallest cosine between ray and normal that the derivative believes in."""
_TOUCHED = 1e-7
"""Depth fraction from which a pixel counts as covered: rounding stays below."""


@dataclass(frozen=True)
class Patch:
    """The covered pixels of one vertebra in one view.

    Args:
        pixels: [N] rising flat indices into the image.
        jacobian: [N, 6 + k] derivative of path length in mm by translation and rotation (both in the vertebra's moved
            frame) and by the first k coefficients.
    """

    pixels: np.ndarray
    jacobian: np.ndarray


class VertebraPatches:
    """Renders one vertebra and makes its patches. Different views may be asked for from different threads.

    How coefficients move the surface along its normals is computed once, for the first normals: they turn little.

    Args:
        scene: the scene.
        index: which vertebra.
    """

    def __init__(self, scene: Scene, index: int) -> None:
        self._surface = scene.surfaces[index]
        self._start = scene.vertebrae[index].world_from_vertebra
        self._n_modes = scene.n_modes
        shown = {name: target for name, target in scene.targets.items() if index in scene.members[name]}
        self._pinholes = {name: world_pinhole(target.camera) for name, target in shown.items()}
        self._orientations = {name: float(np.sign(t.camera.source_distance_mm)) for name, t in shown.items()}
        triangles = self._surface.triangles
        self._normals = np.empty((len(triangles), 3), dtype=np.float32)
        self._rigid = np.empty((len(triangles), POSE_SIZE), dtype=np.float32)
        self._shape = None

    def turn_normals(self, vertices: np.ndarray) -> None:
        """Brings the derivative up to date with the vertices, before patches are made of them."""
        triangles, n_modes = self._surface.triangles, self._n_modes
        rigid_motions(vertices, triangles, self._normals, self._rigid)
        if self._shape is None:
            self._shape = np.empty((len(triangles), n_modes), dtype=np.float32)
            modes = self._surface.modes_by_vertex_mm[..., :n_modes]
            fields = self._surface.fields_by_vertex_mm[:, : max(0, n_modes - self._surface.n_model_modes) // 3]
            if n_modes:
                shape_motions(triangles, self._normals, modes, fields, self._shape)

    def add_depth(self, name: str, vertices: np.ndarray, parameters: np.ndarray, depth: np.ndarray) -> bool:
        """Adds its depth fractions to an image [rows, columns] of a view; False if it is not before the source."""
        uvw, pinhole = np.empty(vertices.shape), self._pinhole(name, parameters)
        smallest = project_vertices(
            vertices, pinhole[0:3], pinhole[3:6], pinhole[6:9], pinhole[9:12], pinhole[12], pinhole[13], uvw
        )
        if not smallest > 1e-6:
            return False
        accumulate_signed_depth(uvw, self._surface.triangles, self._orientations[name], 0, 0, depth)
        return True

    def patch(self, name: str, vertices: np.ndarray, parameters: np.ndarray, depth: np.ndarray) -> Patch:
        """Its patch in a view in which `add_depth` would succeed; adds its depth fractions as well."""
        triangles, (rows, columns) = self._surface.triangles, depth.shape
        uvw, scratch = np.empty(vertices.shape), np.empty(depth.size, dtype=np.float32)
        pinhole = self._pinhole(name, parameters)
        u0, v0, u1, v1 = render_window(
            vertices, pinhole, self._orientations[name], triangles, columns, rows, uvw, scratch
        )
        own = scratch[: (v1 - v0) * (u1 - u0)].reshape(v1 - v0, u1 - u0)
        depth[v0:v1, u0:u1] += own
        covered = own > _TOUCHED
        y, x = np.nonzero(covered)
        row_of = np.full(own.shape, -1, dtype=np.int32)
        row_of[covered] = np.arange(len(y), dtype=np.int32)
        jacobian = np.zeros((len(y), POSE_SIZE + self._shape.shape[1]), dtype=np.float32)
        motions = self._normals, self._rigid, self._shape
        accumulate_jacobian(uvw, vertices, pinhole[:3], triangles, *motions, _GRAZING_FLOOR, u0, v0, row_of, jacobian)
        return Patch((y + v0) * columns + x + u0, jacobian)

    def _pinhole(self, name: str, parameters: np.ndarray) -> np.ndarray:
        moved = np.empty(14)
        start = self._start
        pinhole_from_vertebra(self._pinholes[name], start.rotation, start.translation_mm, parameters, moved)
        return moved
