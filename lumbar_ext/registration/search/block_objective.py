"""The loss as a function of one vertebra, fast: only its own window is rendered, its neighbours' pictures are kept."""

from __future__ import annotations

import numpy as np

from lumbar_ext.drr import MU_BONE_800HU_PER_MM
from lumbar_ext.registration.loss.kernels import loss_change, pinhole_from_vertebra
from lumbar_ext.registration.loss.linearisation import Lineariser
from lumbar_ext.registration.loss.pinhole import world_pinhole


class BlockObjective:
    """The loss as a function of one vertebra's parameters with all others held.

    Args:
        losses: of the problem.
        index: which vertebra varies.
        parameters: [6 + K] of every vertebra; terms that follow the images weigh as they do here.
        lengths: `Scene.path_lengths` of every vertebra at `parameters`.
    """

    def __init__(
        self, losses: Lineariser, index: int, parameters: list[np.ndarray], lengths: list[dict[str, np.ndarray]]
    ) -> None:
        self.evaluations = 0
        scene = self._scene = losses.scene
        self._losses, self._index, self._similarity = losses, index, losses.problem.images.similarity
        shown = [name for name, members in scene.members.items() if index in members]
        self._views = [_BlockView(losses, name, index, lengths) for name in shown]
        self._uvw = np.empty(scene.surfaces[index].mean_mm.shape)
        self._all = [np.array(p, dtype=np.float64) for p in parameters]
        images = losses.sampled_images(self._all)
        self._regularisation = losses.problem.regularisation(images)
        self._n_views = len(scene.views)
        own = sum(self._change(view, self._all[index], self._vertices(self._all[index])) for view in self._views)
        self._constant = images - own / self._n_views

    def __call__(self, varying: np.ndarray) -> float:
        """The loss; NaN if the vertebra is not in front of an X-ray source.

        Args:
            varying: [6 + k] pose and the first `k <= K` coefficients; the others keep their values.
        """
        self.evaluations += 1
        parameters = self._all[self._index].copy()
        parameters[: len(varying)] = varying
        everyone = [*self._all[: self._index], parameters, *self._all[self._index + 1 :]]
        vertices = self._vertices(parameters)
        change = sum(self._change(view, parameters, vertices) for view in self._views)
        return self._constant + change / self._n_views + self._losses.rest(everyone, self._regularisation)

    def _vertices(self, parameters: np.ndarray) -> np.ndarray:
        return self._scene.vertices(self._index, parameters)

    def _change(self, view: _BlockView, parameters: np.ndarray, vertices: np.ndarray) -> float:
        pinhole_from_vertebra(view.pinhole, view.rotation, view.translation_mm, parameters, view.moved_pinhole)
        change = loss_change(
            vertices,
            view.moved_pinhole,
            view.orientation,
            self._scene.surfaces[self._index].triangles,
            view.stack,
            self._similarity.code,
            self._similarity.scale,
            MU_BONE_800HU_PER_MM,
            self._uvw,
            view.scratch,
        )
        return change / view.normaliser


class _BlockView:
    """One target of a block: everything that does not change while the vertebra moves."""

    def __init__(self, losses: Lineariser, name: str, index: int, lengths: list[dict[str, np.ndarray]]) -> None:
        scene, target = losses.scene, losses.scene.targets[name]
        others = sum((lengths[i][name] for i in scene.members[name] if i != index), np.zeros_like(target.image))
        transmission = np.exp(-MU_BONE_800HU_PER_MM * others)
        start = scene.vertebrae[index].world_from_vertebra_in(scene.view_of[name])
        self.rotation, self.translation_mm = np.ascontiguousarray(start.rotation), start.translation_mm
        self.pinhole = world_pinhole(target.camera)
        self.moved_pinhole = np.empty_like(self.pinhole)
        self.orientation = float(np.sign(target.camera.source_distance_mm))
        self.stack = np.stack([scene.projectors[name].ray_length_mm, transmission, target.image, target.weights])
        self.scratch = np.empty(target.image.size, dtype=np.float32)
        self.normaliser = scene.normalisers[name]
