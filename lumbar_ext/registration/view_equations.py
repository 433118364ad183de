"""One target image's share of a loss and of its quadratic model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.drr import MU_BONE_800HU_PER_MM
from lumbar_ext.registration.kernels import picture, view_penalty, weighted_view
from lumbar_ext.registration.patches import Patch, VertebraPatches
from lumbar_ext.registration.scene import Scene, SceneState
from lumbar_ext.registration.similarity import Similarity
from lumbar_ext.registration.targets import BONE_VALUE
from lumbar_ext.registration.view_fields import FieldFitter, FittedFields, ViewFields

_PLAIN = np.ones((1, 1), dtype=np.float32), np.zeros((1, 1), dtype=np.float32)
"""Gain and background of a view without fields."""


@dataclass(frozen=True)
class NormalEquations:
    """What a target adds to a quadratic model in the vertebrae's own moving frames.

    Args:
        members: the m vertebrae that it shows.
        loss: its share.
        gradient: [m, q].
        blocks: by pair (i, j >= i) of vertebrae that share pixels, [q, q].
        coupling: [m, q, C] to the C coefficients of the view's fields, already divided by the Cholesky factor of their own
            Hessian, so that eliminating them subtracts its outer product; None without fields.
    """

    members: tuple[int, ...]
    loss: float
    gradient: np.ndarray
    blocks: dict[tuple[int, int], np.ndarray]
    coupling: np.ndarray | None


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

    def equations(self, state: SceneState) -> NormalEquations:
        """Its part of the quadratic model at parameters of finite loss."""
        depth = np.zeros(self._target.image.shape, dtype=np.float32)
        patches = [
            self._makers[i].patch(self._name, state.vertices_mm[i], state.parameters[i], depth) for i in self._members
        ]
        bones = self._picture(depth)
        fitted = None if self._fitter is None else self._fitter.fit(bones)
        gain, background = _PLAIN if fitted is None else (fitted.gain, fitted.background)
        slope, residual = np.empty_like(bones), np.empty_like(bones)
        similarity, target = self._similarity, self._target.image
        similar = similarity.code, similarity.scale, MU_BONE_800HU_PER_MM
        loss = weighted_view(bones, gain, background, target, self._weights, *similar, slope, residual)
        designs = [patch.jacobian * slope.ravel()[patch.pixels, None] for patch in patches]
        gradient = np.stack([residual.ravel()[p.pixels] @ d for p, d in zip(patches, designs, strict=True)])
        gradient = gradient.astype(np.float64)
        coupling = None
        if fitted is not None:
            loss += fitted.penalty / self._n_views
            coupling = self._eliminate(bones, fitted, patches, designs, residual, gradient)
        return NormalEquations(self._members, loss, gradient, self._blocks(patches, designs), coupling)

    def _losses(self, state: SceneState) -> tuple[float, float]:
        """What fitted fields cost, and the pixels' penalty."""
        depth = np.zeros(self._target.image.shape, dtype=np.float32)
        for i in self._members:
            if not self._makers[i].add_depth(self._name, state.vertices_mm[i], state.parameters[i], depth):
                return 0.0, float("inf")
        prediction, share = self._picture(depth), 0.0
        if self._fitter is not None:
            fitted = self._fitter.fit(prediction)
            prediction, share = fitted.gain * prediction + fitted.background, fitted.penalty / self._n_views
        code, scale = self._similarity.code, self._similarity.scale
        return share, view_penalty(prediction, self._target.image, self._weights, code, scale)

    def _picture(self, depth: np.ndarray) -> np.ndarray:
        bones = np.empty_like(depth)
        picture(depth, self._ray_length_mm, MU_BONE_800HU_PER_MM, bones)
        return bones

    def _eliminate(
        self,
        bones: np.ndarray,
        fitted: FittedFields,
        patches: list[Patch],
        designs: list[np.ndarray],
        residual: np.ndarray,
        gradient: np.ndarray,
    ) -> np.ndarray:
        """`NormalEquations.coupling` of the fields; takes their own slope out of the gradient, in place."""
        used = self._fitter.informative_pixels(bones)
        difference = fitted.gain * bones + fitted.background - self._target.image
        root = np.sqrt(self._weights * self._similarity.reweighting(difference)).ravel()
        own = self._fitter.design(bones, used) * root[used, None]
        design = np.zeros((bones.size, own.shape[1]), dtype=np.float32)
        design[used] = own
        weight = 2 * self._fitter.fields.weight / self._n_views
        factor = np.linalg.cholesky(own.T @ own + weight * np.eye(own.shape[1]))
        slope = own.T @ residual.ravel()[used] + weight * fitted.coefficients
        cross = np.stack([moves.T @ design[patch.pixels] for patch, moves in zip(patches, designs, strict=True)])
        coupling = np.linalg.solve(factor, cross.transpose(0, 2, 1)).transpose(0, 2, 1)
        gradient -= coupling @ np.linalg.solve(factor, slope)
        return coupling

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
