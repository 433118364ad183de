"""One target image's share of a loss and of its quadratic model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.drr import MU_BONE_800HU_PER_MM, drr_from_path_length
from lumbar_ext.registration.loss.kernels import view_penalty, weighted_view
from lumbar_ext.registration.loss.patches import Patch, VertebraPatches, VertebraWindow
from lumbar_ext.registration.loss.scene import Scene, SceneState
from lumbar_ext.registration.targets import BONE_VALUE
from lumbar_ext.registration.terms.similarity import Similarity
from lumbar_ext.registration.terms.view_fields import FieldFitter, FittedFields, ViewFields

_PLAIN = np.ones((1, 1), dtype=np.float32), np.zeros((1, 1), dtype=np.float32)
"""Gain and background of a view without fields."""


@dataclass(frozen=True)
class NormalEquations:
    """What a target adds to a quadratic model.

    Args:
        members: the m vertebrae that it shows.
        loss: its share.
        forces: of each member, the derivative [V, 3] by its vertices in its own frame.
        blocks: by pair (i, j >= i) of vertebrae that share pixels, the second derivative [q, q]; empty if not asked for.
        coupling: [m, q, C] to the C coefficients of the view's fields, already divided by the Cholesky factor of their own
            Hessian, so that eliminating them subtracts its outer product; None without fields.
    """

    members: tuple[int, ...]
    loss: float
    forces: tuple[np.ndarray, ...]
    blocks: dict[tuple[int, int], np.ndarray]
    coupling: np.ndarray | None


@dataclass(frozen=True)
class RenderedState:
    """What is predicted for a target.

    Args:
        windows: of the members.
        bones: [rows, columns] predicted DRR.
        slopes: for each window, [rows, columns] float32 derivative of the DRR by the depth fractions.
        fitted: gain and background, None for none.
    """

    windows: list[VertebraWindow]
    bones: np.ndarray
    slopes: list[np.ndarray]
    fitted: FittedFields | None


@dataclass(frozen=True)
class _WeightedPixels:
    """A target with its prediction, as least squares.

    Args:
        loss: the share of the loss.
        slope, residual: [rows, columns] of the target, what `weighted_view` fills.
    """

    loss: float
    slope: np.ndarray
    residual: np.ndarray


class ViewEquations:
    """One target of a scene.

    Args:
        scene: the scene.
        name: of the target.
        similarity: the pixel penalty.
        fields: gain and background to fit along; None for none.
        makers: of the patches of every vertebra of the scene.
    """

    def __init__(
        self, scene: Scene, name: str, similarity: Similarity, fields: ViewFields | None, makers: list[VertebraPatches]
    ) -> None:
        self._name, self._makers, self._members = name, makers, scene.members[name]
        self._target, self._similarity = scene.targets[name], similarity
        self._ray_length_mm = scene.projectors[name].ray_length_mm
        self._n_views = len(scene.views)
        self._weights = self._target.weights / np.float32(scene.normalisers[name] * self._n_views)
        self._fitter = None
        if fields is not None:
            weights = self._target.weights / scene.normalisers[name]
            self._fitter = FieldFitter(fields, self._target.image, weights, similarity, BONE_VALUE)

    def loss(self, state: SceneState) -> float:
        """The share of the loss; infinite if a vertebra is not in front of the X-ray source."""
        return sum(self._losses(state))

    def pixel_loss(self, state: SceneState) -> float:
        """The share of the loss without what gain and background cost."""
        return self._losses(state)[1]

    def equations(self, state: SceneState, *, curved: bool = True) -> NormalEquations:
        """Its part of the quadratic model at parameters of finite loss, with the second derivative or without."""
        picture = self.picture(state)
        pixels = self._weighted(picture)
        forces = self._forces(picture, pixels, state)
        if not curved:
            return NormalEquations(self._members, pixels.loss, forces, {}, None)
        patches = [
            self._makers[i].patch(window, state.vertices_mm[i], slope, self._target.image.shape)
            for i, window, slope in zip(self._members, picture.windows, picture.slopes, strict=True)
        ]
        designs = [patch.jacobian * pixels.slope.ravel()[patch.pixels, None] for patch in patches]
        coupling = None if picture.fitted is None else self._coupling(picture, patches, designs)
        return NormalEquations(self._members, pixels.loss, forces, self._blocks(patches, designs), coupling)

    def _forces(self, picture: RenderedState, pixels: _WeightedPixels, state: SceneState) -> tuple[np.ndarray, ...]:
        """What the pixels' errors do to the vertices; gain and background have their best values, so their change does
        not count.
        """
        by_pixel, forces = pixels.slope * pixels.residual, []
        for i, window, slope in zip(self._members, picture.windows, picture.slopes, strict=True):
            own = np.zeros(state.vertices_mm[i].shape)
            self._makers[i].add_forces(window, state.vertices_mm[i], window.part_of(by_pixel, 0, 0) * slope, own)
            forces.append(own)
        return tuple(forces)

    def _weighted(self, picture: RenderedState) -> _WeightedPixels:
        bones, fitted = picture.bones, picture.fitted
        gain, background = _PLAIN if fitted is None else (fitted.gain, fitted.background)
        slope, residual = np.empty_like(bones), np.empty_like(bones)
        similar = self._weights, self._similarity.code, self._similarity.scale
        loss = weighted_view(bones, gain, background, self._target.image, *similar, slope, residual)
        if fitted is not None:
            loss += fitted.penalty / self._n_views
        return _WeightedPixels(loss, slope, residual)

    def _losses(self, state: SceneState) -> tuple[float, float]:
        """What fitted fields cost, and the pixels' penalty."""
        picture = self.picture(state)
        return (0.0, float("inf")) if picture is None else self._penalties(picture.bones, picture.fitted)

    def sampled_loss(self, bones: np.ndarray) -> float:
        """The share of the loss for a DRR [rows, columns] from elsewhere."""
        return sum(self._penalties(bones, None if self._fitter is None else self._fitter.fit(bones)))

    def _penalties(self, bones: np.ndarray, fitted: FittedFields | None) -> tuple[float, float]:
        prediction, share = bones, 0.0
        if fitted is not None:
            prediction, share = fitted.gain * bones + fitted.background, fitted.penalty / self._n_views
        code, scale = self._similarity.code, self._similarity.scale
        return share, view_penalty(prediction, self._target.image, self._weights, code, scale)

    def picture(self, state: SceneState) -> RenderedState | None:
        """What is predicted, None if a vertebra is not in front of the X-ray source; kept with the state, whose loss and
        derivatives both start from it.
        """
        return state.once(self, lambda: self._rendered(state))

    def _rendered(self, state: SceneState) -> RenderedState | None:
        windows, shape = [], self._target.image.shape
        for i in self._members:
            window = self._makers[i].window(self._name, state.vertices_mm[i], state.parameters[i], shape)
            if window is None:
                return None
            windows.append(window)
        u0, v0, u1, v1 = VertebraWindow.around(windows)
        touched, depth = (slice(v0, v1), slice(u0, u1)), np.zeros((v1 - v0, u1 - u0))
        for window in windows:
            window.part_of(depth, u0, v0)[:] += window.depth
        bones = np.zeros_like(self._target.image)
        bones[touched] = drr_from_path_length(depth * self._ray_length_mm[touched])
        slope = np.float32(MU_BONE_800HU_PER_MM) * (1 - bones[touched]) * self._ray_length_mm[touched]
        slopes = [np.ascontiguousarray(window.part_of(slope, u0, v0)) for window in windows]
        return RenderedState(windows, bones, slopes, None if self._fitter is None else self._fitter.fit(bones))

    def _coupling(self, picture: RenderedState, patches: list[Patch], designs: list[np.ndarray]) -> np.ndarray:
        """`NormalEquations.coupling` of the fields."""
        bones, fitted = picture.bones, picture.fitted
        used = self._fitter.informative_pixels(bones)
        difference = fitted.gain * bones + fitted.background - self._target.image
        root = np.sqrt(self._weights * self._similarity.reweighting(difference)).ravel()
        own = self._fitter.design(bones, used) * root[used, None]
        design = np.zeros((bones.size, own.shape[1]), dtype=np.float32)
        design[used] = own
        weight = 2 * self._fitter.fields.weight / self._n_views
        factor = np.linalg.cholesky(own.T @ own + weight * np.eye(own.shape[1]))
        cross = np.stack([moves.T @ design[patch.pixels] for patch, moves in zip(patches, designs, strict=True)])
        return np.linalg.solve(factor, cross.transpose(0, 2, 1)).transpose(0, 2, 1)

    def _blocks(self, patches: list[Patch], designs: list[np.ndarray]) -> dict[tuple[int, int], np.ndarray]:
        """`J^T J` [q, q] of all pairs of vertebrae that share pixels."""
        blocks, row_of = {}, np.full(self._target.image.size, -1, dtype=np.int32)
        for i, (patch, design) in enumerate(zip(patches, designs, strict=True)):
            own = self._members[i]
            blocks[own, own] = design.T @ design
            row_of[patch.pixels] = np.arange(len(patch.pixels), dtype=np.int32)
            for j in range(i + 1, len(patches)):
                mine = row_of[patches[j].pixels]
                shared = np.flatnonzero(mine >= 0)
                if len(shared):
                    blocks[own, self._members[j]] = design[mine[shared]].T @ designs[j][shared]
            row_of[patch.pixels] = -1
        return blocks
