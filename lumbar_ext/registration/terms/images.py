"""The similarity of predicted and wanted images, with the gain and background that may be fitted along."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lumbar_ext.registration.parameters import POSE_SIZE
from lumbar_ext.registration.patches import VertebraPatches
from lumbar_ext.registration.scene import Scene, SceneState
from lumbar_ext.registration.similarity import AbsoluteError, Similarity
from lumbar_ext.registration.tangent import tangent_from_pose
from lumbar_ext.registration.terms.term import ModelSum, PreparedTerm, Term
from lumbar_ext.registration.view_equations import ViewEquations
from lumbar_ext.registration.view_fields import ViewFields


@dataclass(frozen=True)
class ImageTerm(Term):
    """`mean over views of sum_px W penalty(predicted - target) / sum_(bone px) W`, over all targets of a view.

    Gain and background are no term of their own: they enter linearly, are solved for within this one, and what they
    cost is part of its value (see `lumbar_ext.registration.view_fields`).

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

    def per_view(self, state: SceneState) -> dict[str, float]:
        """The weighted mean pixel penalty of each view."""
        losses = dict.fromkeys(self._scene.views, 0.0)
        for name, target in zip(self._scene.targets, self._targets, strict=True):
            losses[self._scene.view_of[name]] += target.pixel_loss(state) * len(losses)
        return losses

    def add_to(self, model: ModelSum, state: SceneState, factor: float = 1.0) -> None:
        """See `PreparedTerm`."""
        own = ModelSum(*model.gradient.shape)
        count, size = own.gradient.shape
        makers, run = self._makers, self._scene.run
        list(run(lambda i: makers[i].turn_normals(state.vertices_mm[i]), range(count)))
        for target in list(run(lambda target: target.equations(state), self._targets)):
            own.loss += target.loss
            own.gradient[list(target.members)] += target.gradient
            for (i, j), block in target.blocks.items():
                own.hessian[i, :, j] += block
                if i != j:
                    own.hessian[j, :, i] += block.T
            if target.coupling is not None:
                coupling = np.zeros((count, size, target.coupling.shape[-1]))
                coupling[list(target.members)] = target.coupling
                flat = coupling.reshape(count * size, -1)
                own.hessian -= (flat @ flat.T).reshape(own.hessian.shape)
        for i, p in enumerate(state.parameters):
            _to_pose_parameters(i, tangent_from_pose(p[:POSE_SIZE]), own.gradient, own.hessian)
        model.loss += factor * own.loss
        model.gradient += factor * own.gradient
        model.hessian += factor * own.hessian


def _to_pose_parameters(index: int, tangent: np.ndarray, gradient: np.ndarray, hessian: np.ndarray) -> None:
    """Changes variables of one vertebra from its own moving frame to pose parameters, in place."""
    pose = slice(0, POSE_SIZE)
    gradient[index, pose] = tangent.T @ gradient[index, pose]
    hessian[index, pose] = np.tensordot(tangent, hessian[index, pose], axes=(0, 0))
    hessian[:, :, index, pose] = hessian[:, :, index, pose] @ tangent
