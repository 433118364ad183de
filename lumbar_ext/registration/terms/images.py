"""The similarity of predicted and wanted images, with the gain and background that may be fitted along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lumbar_ext.registration.loss.patches import VertebraPatches
from lumbar_ext.registration.loss.scene import Scene, SceneState
from lumbar_ext.registration.loss.view_equations import NormalEquations, ViewEquations
from lumbar_ext.registration.terms.similarity import AbsoluteError, Similarity
from lumbar_ext.registration.terms.term import ModelSum, PreparedTerm, Term
from lumbar_ext.registration.terms.view_fields import ViewFields


@dataclass(frozen=True)
class ImageTerm(Term):
    """`mean over views of sum_px W penalty(predicted - target) / sum_(bone px) W`, over all targets of a view.

    Gain and background are no term of their own: they enter linearly, are solved for within this one, and what they
    cost is part of its value (see `lumbar_ext.registration.terms.view_fields`).

    Args:
        similarity: how a pixel's error counts.
        view_fields: gain and background; None for none.
    """

    similarity: Similarity = field(default_factory=AbsoluteError)
    view_fields: ViewFields | None = None

    def prepared(self, scene: Scene) -> PreparedImages:
        """See `Term`."""
        return PreparedImages(self, scene)


class PreparedImages(PreparedTerm):
    """The images of a scene. Views and vertebrae are independent of each other, and what they give is added up in a
    fixed order, so results do not depend on the threads.

    Args:
        term: the settings.
        scene: the scene.
    """

    def __init__(self, term: ImageTerm, scene: Scene) -> None:
        self.term, self._scene = term, scene
        self._makers = [VertebraPatches(scene, i) for i in range(len(scene.vertebrae))]
        self._targets = [
            ViewEquations(scene, name, term.similarity, term.view_fields, self._makers) for name in scene.targets
        ]

    def value(self, state: SceneState) -> float:
        """The loss of the images, infinite if a vertebra is not in front of an X-ray source."""
        return sum(self._scene.run(lambda target: target.loss(state), self._targets))

    def pictures(self, state: SceneState) -> dict[str, np.ndarray]:
        """By target, the predicted DRR [rows, columns] without gain and background, at parameters of finite loss."""
        return {
            name: target.picture(state).bones for name, target in zip(self._scene.targets, self._targets, strict=True)
        }

    def sampled(self, bones: Mapping[str, np.ndarray]) -> float:
        """The loss of DRRs [rows, columns] from elsewhere, by target."""
        return sum(
            target.sampled_loss(bones[name]) for name, target in zip(self._scene.targets, self._targets, strict=True)
        )

    def per_view(self, state: SceneState) -> dict[str, float]:
        """The weighted mean pixel penalty of each view."""
        losses = dict.fromkeys(self._scene.views, 0.0)
        for name, target in zip(self._scene.targets, self._targets, strict=True):
            losses[self._scene.view_of[name]] += target.pixel_loss(state) * len(losses)
        return losses

    def add_to(self, model: ModelSum, state: SceneState, factor: float = 1.0) -> None:
        """See `PreparedTerm`."""
        count, curved, run = len(self._makers), model.hessian is not None, self._scene.run
        if curved:
            list(run(lambda i: self._makers[i].linearise(state.vertices_mm[i], state.parameters[i]), range(count)))
        found = list(run(lambda target: target.equations(state, curved=curved), self._targets))
        forces = [np.zeros(vertices.shape) for vertices in state.vertices_mm]
        for target in found:
            model.loss += factor * target.loss
            for i, own in zip(target.members, target.forces, strict=True):
                forces[i] += own
        pulls = run(
            lambda i: self._makers[i].gradient(state.vertices_mm[i], state.parameters[i], forces[i]), range(count)
        )
        model.gradient += factor * np.stack(list(pulls))
        if curved:
            for target in found:
                _add_curvature(model.hessian, target, factor)


def _add_curvature(hessian: np.ndarray, target: NormalEquations, factor: float) -> None:
    """Adds the second derivative of a target to that [n, q, n, q] of all vertebrae."""
    for (i, j), block in target.blocks.items():
        hessian[i, :, j] += factor * block
        if i != j:
            hessian[j, :, i] += factor * block.T
    if target.coupling is not None:
        coupling = np.zeros((*hessian.shape[:2], target.coupling.shape[-1]))
        coupling[list(target.members)] = target.coupling
        flat = coupling.reshape(hessian.shape[0] * hessian.shape[1], -1)
        hessian -= factor * (flat @ flat.T).reshape(hessian.shape)
