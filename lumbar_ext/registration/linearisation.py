"""The loss of a scene and its quadratic model in all poses and coefficients, from the analytic derivative of path
length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.drr import MU_BONE_800HU_PER_MM
from lumbar_ext.registration.patches import Patch, VertebraPatches
from lumbar_ext.registration.problem import POSE_SIZE
from lumbar_ext.registration.scene import Scene
from lumbar_ext.registration.tangent import point_motions, tangent_from_pose


@dataclass(frozen=True)
class QuadraticModel:
    """The loss near some parameters: `loss + gradient . step + step . hessian step / 2`.

    Args:
        loss: at the parameters.
        gradient: [n, q] for n vertebrae of q = 6 + n_modes varying parameters.
        hessian: [n, q, n, q], positive semi-definite (Gauss-Newton, reweighted for robust penalties).
    """

    loss: float
    gradient: np.ndarray
    hessian: np.ndarray


class Lineariser:
    """Computes losses and quadratic models of a scene.

    Args:
        scene: the scene.
        n_modes: coefficients that vary; the others keep their values.
        parameters: [6 + K] of every vertebra, near which it will be used.
    """

    def __init__(self, scene: Scene, n_modes: int, parameters: list[np.ndarray]) -> None:
        self.scene, self.n_modes = scene, n_modes
        self._makers = [VertebraPatches(scene, i, n_modes, p) for i, p in enumerate(parameters)]

    def loss(self, parameters: list[np.ndarray]) -> float:
        """The loss, infinite if a vertebra is not in front of an X-ray source."""
        patches = [maker.patches(p, derivative=False) for maker, p in zip(self._makers, parameters, strict=True)]
        if any(own is None for own in patches):
            return float("inf")
        views = self.scene.problem.views
        pixels = sum(self._pixel_loss(name, self._residual(name, [own[name] for own in patches])) for name in views)
        return pixels + sum(self.scene.regularisation(i, p) for i, p in enumerate(parameters))

    def model(self, parameters: list[np.ndarray]) -> QuadraticModel:
        """The quadratic model in the first 6 + n_modes parameters of every vertebra, at parameters of finite loss."""
        problem, count = self.scene.problem, len(parameters)
        size = POSE_SIZE + self.n_modes
        gradient, hessian = np.zeros((count, size)), np.zeros((count, size, count, size))
        patches = [maker.patches(p, derivative=True) for maker, p in zip(self._makers, parameters, strict=True)]
        loss = 0.0
        for name, view in problem.views.items():
            residual = self._residual(name, [own[name] for own in patches])
            loss += self._pixel_loss(name, residual)
            root = np.sqrt(view.weights * problem.similarity.reweighting(residual) / self._scale(name))
            slope = MU_BONE_800HU_PER_MM * (1 - residual - view.image)
            _add_normal_equations([own[name] for own in patches], root * slope, root * residual, gradient, hessian)
        for i, p in enumerate(parameters):
            _to_pose_parameters(i, tangent_from_pose(p[:POSE_SIZE]), gradient, hessian)
            self._add_prior(p, gradient[i], hessian[i, :, i])
            self._add_landmarks(i, p, gradient[i], hessian[i, :, i])
            loss += self.scene.regularisation(i, p)
        return QuadraticModel(loss, gradient, hessian)

    def _scale(self, name: str) -> float:
        """What a view's summed penalty is divided by."""
        return self.scene.problem.views[name].normaliser * len(self.scene.problem.views)

    def _pixel_loss(self, name: str, residual: np.ndarray) -> float:
        penalties = self.scene.problem.views[name].weights * self.scene.problem.similarity.penalty(residual)
        return float(penalties.sum(dtype=np.float64)) / self._scale(name)

    def _residual(self, name: str, patches: list[Patch]) -> np.ndarray:
        """Prediction minus target [rows, columns]."""
        target = self.scene.problem.views[name].image
        length = np.zeros(target.size, dtype=np.float32)
        for patch in patches:
            length[patch.pixels] += patch.length_mm
        return (1 - np.exp(-MU_BONE_800HU_PER_MM * length)).reshape(target.shape) - target

    def _add_prior(self, parameters: np.ndarray, gradient: np.ndarray, hessian: np.ndarray) -> None:
        strength = 2 * self.scene.problem.prior_weight / len(self.scene.problem.vertebrae)
        varying = np.arange(POSE_SIZE, POSE_SIZE + self.n_modes)
        gradient[varying] += strength * parameters[varying]
        hessian[varying, varying] += strength

    def _add_landmarks(self, index: int, parameters: np.ndarray, gradient: np.ndarray, hessian: np.ndarray) -> None:
        """Adds the landmark term of one vertebra; each landmark is reweighted for the Huber penalty."""
        problem, start = self.scene.problem, self.scene.problem.vertebrae[index]
        term, shape = problem.landmark_term, start.shape
        if term.weight == 0 or not start.observed:
            return
        points = shape.landmarks(parameters[POSE_SIZE:])
        motion = point_motions(points, shape.landmark_modes_mm[: self.n_modes])
        motion[..., :POSE_SIZE] = motion[..., :POSE_SIZE] @ tangent_from_pose(parameters[:POSE_SIZE])
        pose = start.world_from_moved(parameters[:POSE_SIZE])
        world, world_motion = pose.apply(points), np.einsum("ij,njp->nip", pose.rotation, motion)
        for name, observed in start.observed.items():
            offset = self.scene.landmark_offsets_mm(name, world, observed)
            seen = np.isfinite(offset).all(-1)
            weight = term.reweighting(name, offset, observed.confidence) * term.weight
            weight = weight[seen] / len(start.observed) / len(problem.vertebrae)
            design = self.scene.landmark_projections[name].derivative(world)[seen] @ world_motion[seen]
            gradient += np.einsum("n,nip,ni->p", weight, design, offset[seen], optimize=True)
            hessian += np.einsum("n,nip,niq->pq", weight, design, design, optimize=True)


def _add_normal_equations(
    patches: list[Patch], slope: np.ndarray, residual: np.ndarray, gradient: np.ndarray, hessian: np.ndarray
) -> None:
    """Adds one view: `J^T r` and `J^T J`, with `J = slope * jacobian`, over all pairs of vertebrae that share pixels.

    Args:
        patches: of every vertebra.
        slope: [rows, columns] weighted derivative of the pixel value by path length.
        residual: [rows, columns] weighted residual.
        gradient, hessian: [n, q] and [n, q, n, q], added to.
    """
    designs = [patch.jacobian * slope.ravel()[patch.pixels, None] for patch in patches]
    for i, (patch, design) in enumerate(zip(patches, designs, strict=True)):
        gradient[i] += residual.ravel()[patch.pixels] @ design
        hessian[i, :, i] += design.T @ design
        for j in range(i):
            _, mine, other = np.intersect1d(patch.pixels, patches[j].pixels, assume_unique=True, return_indices=True)
            if len(mine):
                coupling = design[mine].T @ designs[j][other]
                hessian[i, :, j] += coupling
                hessian[j, :, i] += coupling.T


def _to_pose_parameters(index: int, tangent: np.ndarray, gradient: np.ndarray, hessian: np.ndarray) -> None:
    """Changes variables of one vertebra from its own moving frame to pose parameters, in place."""
    pose = slice(0, POSE_SIZE)
    gradient[index, pose] = tangent.T @ gradient[index, pose]
    hessian[index, pose] = np.einsum("ab,acd->bcd", tangent, hessian[index, pose])
    hessian[:, :, index, pose] = hessian[:, :, index, pose] @ tangent
