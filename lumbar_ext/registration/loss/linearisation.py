"""The loss of a scene and its quadratic model in all poses and coefficients, from the analytic derivative of path
length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lumbar_ext.geometry import euler_rotation
from lumbar_ext.registration.loss.patches import VertebraPatches
from lumbar_ext.registration.loss.scene import Scene
from lumbar_ext.registration.loss.tangent import point_motions, tangent_from_pose
from lumbar_ext.registration.loss.view_equations import ViewEquations
from lumbar_ext.registration.problem import POSE_SIZE
from lumbar_ext.registration.terms.contacts import add_contacts


@dataclass(frozen=True)
class QuadraticModel:
    """The loss near some parameters: `loss + gradient . step + step . hessian step / 2`.

    Args:
        loss: at the parameters.
        gradient: [n, q] for n vertebrae of q = 6 + n_modes varying parameters.
        hessian: [n, q, n, q], positive semi-definite (Gauss-Newton, reweighted for robust penalties).
        prior: the second derivative of the shape prior alone by one coefficient of an independent vertebra.
    """

    loss: float
    gradient: np.ndarray
    hessian: np.ndarray
    prior: float


class Lineariser:
    """Computes losses and quadratic models of a scene.

    Args:
        scene: the scene.
        n_modes: coefficients that vary; the others keep their values.
        parameters: [6 + K] of every vertebra, near which it will be used.
        run: `map`, or that of a pool of threads: views and vertebrae are independent of each other, and what they give is
            added up in a fixed order, so results do not depend on the threads.
    """

    def __init__(self, scene: Scene, n_modes: int, parameters: list[np.ndarray], run: Callable = map) -> None:
        self.scene, self.n_modes, self._run = scene, n_modes, run
        self._makers = list(
            run(lambda i: VertebraPatches(scene, i, n_modes, parameters[i]), range(len(scene.problem.vertebrae)))
        )
        self._views = [ViewEquations(scene, name, self._makers) for name in scene.problem.views]

    def loss(self, parameters: list[np.ndarray]) -> float:
        """The loss, infinite if a vertebra is not in front of an X-ray source."""
        return self.pixel_loss(parameters) + self.scene.regularisation(parameters)

    def pixel_loss(self, parameters: list[np.ndarray]) -> float:
        """The part of the loss that comes from pixels."""
        vertices = self._vertices(parameters)
        return sum(self._run(lambda view: view.loss(vertices, parameters), self._views))

    def model(self, parameters: list[np.ndarray]) -> QuadraticModel:
        """The quadratic model in the first 6 + n_modes parameters of every vertebra, at parameters of finite loss.

        Where the problem ties its regularisation to the pixel penalty, it is that of these parameters from here on.
        """
        count, size = len(parameters), POSE_SIZE + self.n_modes
        gradient, hessian = np.zeros((count, size)), np.zeros((count, size, count, size))
        vertices = self._vertices(parameters)
        list(self._run(lambda i: self._makers[i].turn_normals(vertices[i]), range(count)))
        views = list(self._run(lambda view: view.equations(vertices, parameters), self._views))
        pixel_loss = sum(view.loss for view in views)
        self.scene.problem = self.scene.problem.adapted(pixel_loss)
        for view in views:
            gradient += view.gradient
            for (i, j), block in view.blocks.items():
                hessian[i, :, j] += block
                if i != j:
                    hessian[j, :, i] += block.T
            if view.coupling is not None:
                flat = view.coupling.reshape(count * size, -1)
                hessian -= (flat @ flat.T).reshape(hessian.shape)
        for i, p in enumerate(parameters):
            _to_pose_parameters(i, tangent_from_pose(p[:POSE_SIZE]), gradient, hessian)
            self._add_landmarks(i, p, gradient[i], hessian[i, :, i])
        prior = self._add_prior(parameters, gradient, hessian)
        if self.scene.problem.non_intersection is not None:
            add_contacts(self.scene, parameters, self.n_modes, gradient, hessian)
        return QuadraticModel(pixel_loss + self.scene.regularisation(parameters), gradient, hessian, prior)

    def _vertices(self, parameters: list[np.ndarray]) -> list[np.ndarray]:
        return list(self._run(lambda i: self._makers[i].vertices(parameters[i]), range(len(parameters))))

    def _add_prior(self, parameters: list[np.ndarray], gradient: np.ndarray, hessian: np.ndarray) -> float:
        problem = self.scene.problem
        weight = 2 * problem.regularisation * problem.prior_weight / len(problem.vertebrae)
        slope = problem.shape_prior.slope(np.stack([p[POSE_SIZE:] for p in parameters]))
        gradient[:, POSE_SIZE:] += weight * slope[:, : self.n_modes]
        problem.shape_prior.add_to(hessian, weight, POSE_SIZE)
        return weight

    def _add_landmarks(self, index: int, parameters: np.ndarray, gradient: np.ndarray, hessian: np.ndarray) -> None:
        """Adds the landmark term of one vertebra; each landmark is reweighted for the Huber penalty."""
        problem, start = self.scene.problem, self.scene.problem.vertebrae[index]
        term, shape = problem.landmark_term, start.shape
        if term.weight == 0 or not start.observed:
            return
        points = shape.landmarks(parameters[POSE_SIZE:])
        motion = point_motions(points, shape.landmark_modes_mm[: self.n_modes])
        motion[..., :POSE_SIZE] = motion[..., :POSE_SIZE] @ tangent_from_pose(parameters[:POSE_SIZE])
        rotation = start.world_from_vertebra.rotation @ euler_rotation(*parameters[3:POSE_SIZE])
        world, world_motion = start.world_points(parameters[:POSE_SIZE], points), rotation @ motion
        share = problem.regularisation * term.weight / len(start.observed) / len(problem.vertebrae)
        for name, observed in start.observed.items():
            offset = self.scene.landmark_offsets_mm(name, world, observed.positions_px)
            seen = np.isfinite(offset).all(-1)
            weight = np.repeat(share * term.reweighting(name, offset, observed.confidence)[seen], 2)
            design = (self.scene.landmark_projections[name].derivative(world)[seen] @ world_motion[seen]).reshape(
                len(weight), -1
            )
            gradient += (weight * offset[seen].ravel()) @ design
            hessian += (weight[:, None] * design).T @ design


def _to_pose_parameters(index: int, tangent: np.ndarray, gradient: np.ndarray, hessian: np.ndarray) -> None:
    """Changes variables of one vertebra from its own moving frame to pose parameters, in place."""
    pose = slice(0, POSE_SIZE)
    gradient[index, pose] = tangent.T @ gradient[index, pose]
    hessian[index, pose] = np.tensordot(tangent, hessian[index, pose], axes=(0, 0))
    hessian[:, :, index, pose] = hessian[:, :, index, pose] @ tangent
