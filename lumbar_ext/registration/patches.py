"""One vertebra in one view: the pixels it covers, its path length there and the derivative by its parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.registration.block_objective import world_pinhole
from lumbar_ext.registration.jacobian_kernels import accumulate_jacobian, rigid_motions, shape_motions
from lumbar_ext.registration.kernels import pinhole_from_vertebra, render_window
from lumbar_ext.registration.problem import POSE_SIZE
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
        length_mm: [N] path length.
        jacobian: [N, 6 + k] its derivative by translation and rotation (both in the vertebra's moved frame) and by the
            first k coefficients; None when not asked for.
    """

    pixels: np.ndarray
    length_mm: np.ndarray
    jacobian: np.ndarray | None


class VertebraPatches:
    """Makes the patches of one vertebra.

    How coefficients move the surface along its normals is computed once, at the shape given here: normals turn little.

    Args:
        scene: the scene.
        index: which vertebra.
        n_modes: coefficients that vary.
        parameters: [6 + K] of the vertebra.
    """

    def __init__(self, scene: Scene, index: int, n_modes: int, parameters: np.ndarray) -> None:
        self._scene, self._index = scene, index
        self._surface = scene.surfaces[index]
        self._pinholes = {name: world_pinhole(view.camera) for name, view in scene.problem.views.items()}
        triangles = self._surface.triangles
        self._normals = np.empty((len(triangles), 3), dtype=np.float32)
        self._rigid = np.empty((len(triangles), POSE_SIZE), dtype=np.float32)
        self._shape = np.empty((len(triangles), n_modes), dtype=np.float32)
        by_vertex = np.ascontiguousarray(self._surface.displacements_mm[:n_modes].transpose(1, 2, 0))
        rigid_motions(scene.vertices(index, parameters), triangles, self._normals, self._rigid)
        shape_motions(triangles, self._normals, by_vertex, self._shape)

    def patches(self, parameters: np.ndarray, *, derivative: bool) -> dict[str, Patch] | None:
        """The patch in every view at parameters [6 + K]; None if the vertebra is not in front of an X-ray source."""
        vertices = self._scene.vertices(self._index, parameters)
        if derivative:
            rigid_motions(vertices, self._surface.triangles, self._normals, self._rigid)
        patches = {name: self._patch(name, vertices, parameters, derivative) for name in self._pinholes}
        return None if any(patch is None for patch in patches.values()) else patches

    def _patch(self, name: str, vertices: np.ndarray, parameters: np.ndarray, derivative: bool) -> Patch | None:
        view = self._scene.problem.views[name]
        start = self._scene.problem.vertebrae[self._index].world_from_vertebra
        triangles, (rows, columns) = self._surface.triangles, view.image.shape
        uvw, moved, scratch = np.empty(vertices.shape), np.empty(14), np.empty(view.image.size, dtype=np.float32)
        pinhole_from_vertebra(self._pinholes[name], start.rotation, start.translation_mm, parameters, moved)
        orientation = float(np.sign(view.camera.source_distance_mm))
        u0, v0, u1, v1 = render_window(vertices, moved, orientation, triangles, columns, rows, uvw, scratch)
        if u0 < 0:
            return None
        width = max(u1 - u0, 1)
        covered = np.flatnonzero(scratch[: (v1 - v0) * (u1 - u0)] > _TOUCHED)
        pixels = (covered // width + v0) * columns + covered % width + u0
        length = scratch[covered] * self._scene.projectors[name].ray_length_mm.ravel()[pixels]
        if not derivative:
            return Patch(pixels, length, None)
        row_of = np.full((v1 - v0, u1 - u0), -1, dtype=np.int32)
        row_of.ravel()[covered] = np.arange(len(covered), dtype=np.int32)
        jacobian = np.zeros((len(covered), POSE_SIZE + self._shape.shape[1]), dtype=np.float32)
        motions = self._normals, self._rigid, self._shape
        accumulate_jacobian(uvw, vertices, moved[:3], triangles, *motions, _GRAZING_FLOOR, u0, v0, row_of, jacobian)
        return Patch(pixels, length, jacobian)
