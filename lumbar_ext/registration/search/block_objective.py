"""The loss as a function of one vertebra, fast: only its own window is rendered, its neighbours' pictures are kept."""

from __future__ import annotations

import numpy as np

from lumbar_ext.drr import MU_BONE_800HU_PER_MM
from lumbar_ext.geometry import Camera
from lumbar_ext.registration.loss.kernels import loss_change, pinhole_from_vertebra
from lumbar_ext.registration.loss.scene import Scene


class BlockObjective:
    """The loss as a function of one vertebra's parameters with all others held.

    Args:
        scene: the scene.
        index: which vertebra varies.
        parameters: [6 + K] of every vertebra.
        lengths: `Scene.path_lengths` of every vertebra at `parameters`.
    """

    def __init__(
        self, scene: Scene, index: int, parameters: list[np.ndarray], lengths: list[dict[str, np.ndarray]]
    ) -> None:
        self.evaluations = 0
        self._scene, self._index = scene, index
        start = scene.problem.vertebrae[index].world_from_vertebra
        self._rotation, self._translation = np.ascontiguousarray(start.rotation), start.translation_mm
        self._views = [_BlockView(scene, name, index, lengths) for name in scene.problem.views]
        self._uvw = np.empty(scene.surfaces[index].mean_mm.shape)
        self._constant = sum(view.loss_without for view in self._views) / len(self._views)
        self._all = [np.array(p, dtype=np.float64) for p in parameters]

    def __call__(self, varying: np.ndarray) -> float:
        """The loss, the number `Scene.loss` gives; NaN if the vertebra is not in front of an X-ray source.

        Args:
            varying: [6 + k] pose and the first `k <= K` coefficients; the others keep their values.
        """
        self.evaluations += 1
        parameters = self._all[self._index].copy()
        parameters[: len(varying)] = varying
        everyone = [*self._all[: self._index], parameters, *self._all[self._index + 1 :]]
        vertices = self._scene.vertices(self._index, parameters)
        change = sum(self._change(view, parameters, vertices) for view in self._views)
        return self._constant + change / len(self._views) + self._scene.regularisation(everyone)

    def _change(self, view: _BlockView, parameters: np.ndarray, vertices: np.ndarray) -> float:
        pinhole_from_vertebra(view.pinhole, self._rotation, self._translation, parameters, view.moved_pinhole)
        similarity = self._scene.problem.similarity
        change = loss_change(
            vertices,
            view.moved_pinhole,
            view.orientation,
            self._scene.surfaces[self._index].triangles,
            view.stack,
            similarity.code,
            similarity.scale,
            MU_BONE_800HU_PER_MM,
            self._uvw,
            view.scratch,
        )
        return change / view.normaliser


class _BlockView:
    """One view of a block: everything that does not change while the vertebra moves."""

    def __init__(self, scene: Scene, name: str, index: int, lengths: list[dict[str, np.ndarray]]) -> None:
        target = scene.problem.views[name]
        others = sum((view[name] for i, view in enumerate(lengths) if i != index), np.zeros_like(target.image))
        transmission = np.exp(-MU_BONE_800HU_PER_MM * others)
        self.pinhole = world_pinhole(target.camera)
        self.moved_pinhole = np.empty_like(self.pinhole)
        self.orientation = float(np.sign(target.camera.source_distance_mm))
        self.stack = np.stack([scene.projectors[name].ray_length_mm, transmission, target.image, target.weights])
        self.scratch = np.empty(target.image.size, dtype=np.float32)
        self.normaliser = target.normaliser
        penalties = target.weights * scene.problem.similarity.penalty(1 - transmission - target.image)
        self.loss_without = float(penalties.sum(dtype=np.float64)) / self.normaliser


def world_pinhole(camera: Camera) -> np.ndarray:
    """The camera as the compiled kernels read it: source, u row, v row, depth row, principal point; [14]."""
    distance_mm = abs(camera.source_distance_mm)
    toward = camera.normal * np.sign(camera.source_distance_mm)
    u_row, v_row = camera.u_axis / camera.pixel_spacing_mm[0], camera.v_axis / camera.pixel_spacing_mm[1]
    return np.concatenate([camera.source_mm, u_row, v_row, toward / distance_mm, camera.principal_point_px])
