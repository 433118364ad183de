"""One view's share of a loss and of its quadratic model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.drr import MU_BONE_800HU_PER_MM
from lumbar_ext.registration.loss.kernels import picture, view_penalty, weighted_view
from lumbar_ext.registration.loss.patches import Patch, VertebraPatches
from lumbar_ext.registration.loss.scene import Scene
from lumbar_ext.registration.terms.view_fields import FittedFields

_PLAIN = np.ones((1, 1), dtype=np.float32), np.zeros((1, 1), dtype=np.float32)
"""Gain and background of a view without fields."""


@dataclass(frozen=True)
class NormalEquations:
    """What a view adds to a quadratic model in the vertebrae's own moving frames.

    Args:
        loss: its share.
        gradient: [n, q].
        blocks: by pair (i, j >= i) of vertebrae that share pixels, [q, q].
        coupling: [n, q, C] to the C coefficients of the view's fields, already divided by the Cholesky factor of their own
            Hessian, so that eliminating them subtracts its outer product; None without fields.
    """

    loss: float
    gradient: np.ndarray
    blocks: dict[tuple[int, int], np.ndarray]
    coupling: np.ndarray | None


class ViewEquations:
    """One view of a scene.

    Args:
        scene: the scene.
        name: of the view.
        makers: of the patches of every vertebra.
    """

    def __init__(self, scene: Scene, name: str, makers: list[VertebraPatches]) -> None:
        self._name, self._makers = name, makers
        self._target = scene.problem.views[name]
        self._similarity = scene.problem.similarity
        self._ray_length_mm = scene.projectors[name].ray_length_mm
        self._weights = self._target.weights / np.float32(self._target.normaliser * len(scene.problem.views))
        self._n_views = len(scene.problem.views)
        self._fitter = None if scene.problem.view_fields is None else scene.field_fitter(name)

    def loss(self, vertices: list[np.ndarray], parameters: list[np.ndarray]) -> float:
        """The share of the loss; infinite if a vertebra is not in front of the X-ray source."""
        depth = np.zeros(self._target.image.shape, dtype=np.float32)
        for maker, own, p in zip(self._makers, vertices, parameters, strict=True):
            if not maker.add_depth(self._name, own, p, depth):
                return float("inf")
        prediction, share = self._picture(depth), 0.0
        if self._fitter is not None:
            fitted = self._fitter.fit(prediction)
            prediction, share = fitted.gain * prediction + fitted.background, fitted.penalty / self._n_views
        code, scale = self._similarity.code, self._similarity.scale
        return share + view_penalty(prediction, self._target.image, self._weights, code, scale)

    def equations(self, vertices: list[np.ndarray], parameters: list[np.ndarray]) -> NormalEquations:
        """The quadratic model at parameters of finite loss."""
        depth = np.zeros(self._target.image.shape, dtype=np.float32)
        patches = [
            maker.patch(self._name, own, p, depth)
            for maker, own, p in zip(self._makers, vertices, parameters, strict=True)
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
        return NormalEquations(loss, gradient, _blocks(patches, designs, target.size), coupling)

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


def _blocks(patches: list[Patch], designs: list[np.ndarray], n_pixels: int) -> dict[tuple[int, int], np.ndarray]:
    """`J^T J` [q, q] of all pairs of vertebrae that share pixels."""
    blocks, row_of = {}, np.full(n_pixels, -1, dtype=np.int32)
    for i, (patch, design) in enumerate(zip(patches, designs, strict=True)):
        blocks[i, i] = design.T @ design
        row_of[patch.pixels] = np.arange(len(patch.pixels), dtype=np.int32)
        for j in range(i + 1, len(patches)):
            mine = row_of[patches[j].pixels]
            shared = np.flatnonzero(mine >= 0)
            if len(shared):
                blocks[i, j] = design[mine[shared]].T @ designs[j][shared]
        row_of[patch.pixels] = -1
    return blocks
