"""One vertebra in one target: the blocks of pixels it touches and the derivative of their DRR by its parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.drr.coverage import accumulate_piece_gradient, cover_pixels
from lumbar_ext.registration.loss.jacobian_kernels import (
    accumulate_jacobian,
    number_covered_pixels,
    rigid_motions,
    shape_motions,
)
from lumbar_ext.registration.loss.kernels import pinhole_from_vertebra, project_by_pinhole, touched_window
from lumbar_ext.registration.loss.pinhole import world_pinhole
from lumbar_ext.registration.loss.scene import Scene
from lumbar_ext.registration.loss.tangent import tangent_from_pose
from lumbar_ext.registration.parameters import POSE_SIZE


@dataclass(frozen=True)
class VertebraWindow:
    """A vertebra rendered into the smallest window of an image that holds it.

    Args:
        u0, v0: first column and row.
        depth: [rows, columns] depth fractions, means over the area of each pixel.
        uvw: [V, 3] projected vertices.
        pinhole: [17] the camera seen from the vertebra.
        pieces: of its triangles, see `lumbar_ext.drr.coverage.cover_pixels`.
    """

    u0: int
    v0: int
    depth: np.ndarray
    uvw: np.ndarray
    pinhole: np.ndarray
    pieces: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

    @staticmethod
    def around(windows: list[VertebraWindow]) -> tuple[int, int, int, int]:
        """The smallest rectangle (first column, first row, end column, end row) that holds some windows."""
        first = np.min([(own.u0, own.v0) for own in windows], axis=0)
        end = np.max([(own.u0 + own.depth.shape[1], own.v0 + own.depth.shape[0]) for own in windows], axis=0)
        return int(first[0]), int(first[1]), int(end[0]), int(end[1])

    def part_of(self, image: np.ndarray, u0: int, v0: int) -> np.ndarray:
        """The pixels [rows, columns] that it has in an array whose first pixel is column u0 of row v0."""
        rows, columns = self.depth.shape
        return image[self.v0 - v0 : self.v0 - v0 + rows, self.u0 - u0 : self.u0 - u0 + columns]


@dataclass(frozen=True)
class Patch:
    """What one vertebra does to one target.

    Args:
        pixels: [N] rising flat indices of target pixels.
        jacobian: [N, 6 + k] derivative of their DRR by pose parameters and by the first k coefficients.
    """

    pixels: np.ndarray
    jacobian: np.ndarray


class VertebraPatches:
    """Renders one vertebra and makes its patches. Different targets may be asked for from different threads.

    Args:
        scene: the scene.
        index: which vertebra.
    """

    def __init__(self, scene: Scene, index: int) -> None:
        self._surface = scene.surfaces[index]
        shown = {name: target for name, target in scene.targets.items() if index in scene.members[name]}
        self._pinholes = {name: world_pinhole(target.camera) for name, target in shown.items()}
        start, views = scene.vertebrae[index], scene.view_of
        self._starts = {name: start.world_from_vertebra_in(views[name]) for name in shown}
        self._orientations = {name: float(np.sign(t.camera.source_distance_mm)) for name, t in shown.items()}
        n_triangles = len(self._surface.triangles)
        self._normals = np.empty((n_triangles, 3), dtype=np.float32)
        self._motions = np.empty((n_triangles, POSE_SIZE + scene.n_modes), dtype=np.float32)

    def linearise(self, vertices: np.ndarray, parameters: np.ndarray) -> None:
        """Notes how the surface moves along its normals with its parameters [6 + K], before patches are made."""
        triangles, n_modes = self._surface.triangles, self._motions.shape[1] - POSE_SIZE
        rigid_motions(vertices, triangles, self._normals, self._motions)
        self._motions[:, :POSE_SIZE] @= tangent_from_pose(parameters[:POSE_SIZE]).astype(np.float32)
        if n_modes:
            modes = self._surface.modes_by_vertex_mm[..., :n_modes]
            fields = self._surface.fields_by_vertex_mm[:, : max(0, n_modes - self._surface.n_model_modes) // 3]
            shape_motions(triangles, self._normals, modes, fields, self._motions)

    def window(
        self, name: str, vertices: np.ndarray, parameters: np.ndarray, shape: tuple[int, int]
    ) -> VertebraWindow | None:
        """Its own window of an image of this shape [rows, columns] of a target; None if it is not before the source."""
        uvw, pinhole = np.empty(vertices.shape), self._pinhole(name, parameters)
        smallest = project_by_pinhole(vertices, pinhole, uvw)
        if not smallest > 1e-6:
            return None
        u0, v0, u1, v1 = touched_window(uvw, *shape[::-1])
        depth = np.zeros((v1 - v0, u1 - u0))
        pieces = cover_pixels(uvw, self._surface.triangles, self._orientations[name], u0, v0, depth)
        return VertebraWindow(u0, v0, depth, uvw, pinhole, pieces)

    def patch(self, window: VertebraWindow, vertices: np.ndarray, slope: np.ndarray, shape: tuple[int, int]) -> Patch:
        """Its patch after `linearise`.

        Args:
            window: from `window`.
            vertices: [V, 3] in the vertebra frame.
            slope: [rows, columns] float32 derivative of the DRR by the depth fractions in the window.
            shape: rows and columns of the target.
        """
        row_of = np.full(shape, -1, dtype=np.int32)
        count = number_covered_pixels(window.depth, window.u0, window.v0, row_of)
        jacobian = np.zeros((count, self._motions.shape[1]), dtype=np.float32)
        first, pixels, areas, _ = window.pieces
        own = np.ascontiguousarray(window.part_of(row_of, 0, 0))
        surface = window.uvw, vertices, window.pinhole[:3], window.pinhole[14:], self._surface.triangles
        accumulate_jacobian(*surface, first, pixels, areas, self._motions, slope, own, jacobian)
        return Patch(np.flatnonzero(row_of.ravel() >= 0), jacobian)

    def add_forces(
        self, window: VertebraWindow, vertices: np.ndarray, depth_gradient: np.ndarray, forces: np.ndarray
    ) -> None:
        """Adds to forces [V, 3], in the vertebra frame, the derivative by the vertices of what has the derivative
        depth_gradient [rows, columns] float32 by the depth fractions in its window.
        """
        surface = window.uvw, vertices, window.pinhole[:3], window.pinhole[14:], self._surface.triangles
        accumulate_piece_gradient(*surface, *window.pieces, depth_gradient, forces)

    def gradient(self, vertices: np.ndarray, parameters: np.ndarray, forces: np.ndarray) -> np.ndarray:
        """[6 + n_modes] the derivative by the parameters [6 + K] of what has the derivative `forces` by the vertices."""
        surface, n_modes = self._surface, self._motions.shape[1] - POSE_SIZE
        wrench = np.concatenate([forces.sum(0), np.cross(vertices, forces).sum(0)])
        pose = tangent_from_pose(parameters[:POSE_SIZE]).T @ wrench
        own = forces.astype(np.float32)
        model = surface.modes_mm[:n_modes] @ own.ravel()
        if n_modes <= surface.n_model_modes:
            return np.concatenate([pose, model])
        return np.concatenate([pose, model, (surface.fields_mm @ own).ravel()[: n_modes - len(model)]])

    def _pinhole(self, name: str, parameters: np.ndarray) -> np.ndarray:
        moved = np.empty(17)
        start = self._starts[name]
        pinhole_from_vertebra(self._pinholes[name], start.rotation, start.translation_mm, parameters, moved)
        return moved
