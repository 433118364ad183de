"""The loss of a scene and its quadratic model in all poses and coefficients, from the analytic derivative of path length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.drr import MU_BONE_800HU_PER_MM
from lumbar_ext.registration.block_objective import world_pinhole
from lumbar_ext.registration.jacobian_kernels import accumulate_jacobian, triangle_motions
from lumbar_ext.registration.kernels import pinhole_from_vertebra, render_window
from lumbar_ext.registration.problem import POSE_SIZE
from lumbar_ext.registration.scene import Scene

_GRAZING_FLOOR = 0.05
"""Smallest cosine between ray and normal that the derivative believes in."""


@dataclass(frozen=True)
class QuadraticModel:
    """The loss near some parameters: `loss + gradient . step + step . hessian step / 2`.

    Args:
        loss: at the parameters.
        gradient: [N].
        hessian: [N, N], positive semi-definite (Gauss-Newton, reweighted for robust penalties).
    """

    loss: float
    gradient: np.ndarray
    hessian: np.ndarray


@dataclass(frozen=True)
class _Patch:
    """One vertebra in one view.

    Args:
        rows, columns: slices of the image.
        length_mm: [h, w] path length.
        jacobian: [h, w, 6 + K] its derivative by translation, rotation (both in the vertebra's moved frame) and coefficients.
    """

    rows: slice
    columns: slice
    length_mm: np.ndarray
    jacobian: np.ndarray | None


class Lineariser:
    """Computes losses and quadratic models of a scene.

    Args:
        scene: the scene.
        n_modes: coefficients that vary; the others keep their values.
    """

    def __init__(self, scene: Scene, n_modes: int) -> None:
        self.scene, self.n_modes = scene, n_modes
        self._views = list(scene.problem.views)
        self._pinholes = {name: world_pinhole(view.camera) for name, view in scene.problem.views.items()}
        self._modes = [_modes_by_vertex(shape.modes_mm[:n_modes]) for shape in scene.shapes]

    def loss(self, parameters: list[np.ndarray]) -> float:
        """The loss, infinite if a vertebra is not in front of an X-ray source."""
        patches = [self._patches(i, p, derivative=False) for i, p in enumerate(parameters)]
        if any(patch is None for own in patches for patch in own.values()):
            return float("inf")
        problem = self.scene.problem
        total = sum(self.scene.regularisation(i, p) for i, p in enumerate(parameters))
        for name, view in problem.views.items():
            residual, _ = self._residual(name, [own[name] for own in patches])
            penalties = view.weights * problem.similarity.penalty(residual)
            total += float(penalties.sum(dtype=np.float64)) / (view.normaliser * len(problem.views))
        return total

    def model(self, parameters: list[np.ndarray]) -> QuadraticModel:
        """The quadratic model in [6 + n_modes] parameters of every vertebra, one after the other."""
        problem = self.scene.problem
        size = POSE_SIZE + self.n_modes
        count = len(parameters)
        gradient, hessian = np.zeros((count, size)), np.zeros((count, size, count, size))
        patches = [self._patches(i, p, derivative=True) for i, p in enumerate(parameters)]
        loss = 0.0
        for name, view in problem.views.items():
            own = [view_patches[name] for view_patches in patches]
            residual, transmission = self._residual(name, own)
            scale = 1 / (view.normaliser * len(problem.views))
            loss += scale * float((view.weights * problem.similarity.penalty(residual)).sum(dtype=np.float64))
            curvature = scale * view.weights * problem.similarity.reweighting(residual)
            slope = MU_BONE_800HU_PER_MM * transmission
            root = np.sqrt(curvature) * slope
            _add_normal_equations(own, root, np.sqrt(curvature) * residual, gradient, hessian)
        for i, p in enumerate(parameters):
            _to_pose_parameters(i, p, gradient, hessian)
            loss += self._add_regularisation(i, p, gradient[i], hessian[i, :, i])
        return QuadraticModel(loss, gradient.ravel(), hessian.reshape(count * size, count * size))

    def _residual(self, name: str, patches: list[_Patch]) -> tuple[np.ndarray, np.ndarray]:
        """Prediction minus target, and transmission, both [rows, columns]."""
        target = self.scene.problem.views[name].image
        length = np.zeros_like(target)
        for patch in patches:
            length[patch.rows, patch.columns] += patch.length_mm
        transmission = np.exp(-MU_BONE_800HU_PER_MM * length)
        return 1 - transmission - target, transmission

    def _patches(self, index: int, parameters: np.ndarray, *, derivative: bool) -> dict[str, _Patch | None]:
        shape = self.scene.shapes[index]
        start = self.scene.problem.vertebrae[index].world_from_vertebra
        vertices = shape.instance(parameters[POSE_SIZE:])
        uvw, moved = np.empty(vertices.shape), np.empty(14)
        normals, motions = None, None
        if derivative:
            normals = np.empty((len(shape.triangles), 3), dtype=np.float32)
            motions = np.empty((len(shape.triangles), POSE_SIZE + self.n_modes), dtype=np.float32)
            triangle_motions(vertices, shape.triangles, self._modes[index], normals, motions)
        patches = {}
        for name, view in self.scene.problem.views.items():
            pinhole_from_vertebra(self._pinholes[name], start.rotation, start.translation_mm, parameters, moved)
            rows, columns = view.image.shape
            scratch = np.empty(view.image.size, dtype=np.float32)
            orientation = float(np.sign(view.camera.source_distance_mm))
            u0, v0, u1, v1 = render_window(vertices, moved, orientation, shape.triangles, columns, rows, uvw, scratch)
            if u0 < 0:
                patches[name] = None
                continue
            window = slice(v0, v1), slice(u0, u1)
            length = scratch[: (v1 - v0) * (u1 - u0)].reshape(v1 - v0, u1 - u0)
            length *= self.scene.projectors[name].ray_length_mm[window]
            jacobian = None
            if derivative:
                jacobian = np.zeros((*length.shape, motions.shape[1]), dtype=np.float32)
                accumulate_jacobian(
                    uvw, vertices, moved[:3], shape.triangles, normals, motions, _GRAZING_FLOOR, u0, v0, jacobian
                )
            patches[name] = _Patch(*window, length, jacobian)
        return patches

    def _add_regularisation(
        self, index: int, parameters: np.ndarray, gradient: np.ndarray, hessian: np.ndarray
    ) -> float:
        """Adds the shape prior and the landmark term in place; returns their loss."""
        problem, start = self.scene.problem, self.scene.problem.vertebrae[index]
        count = len(problem.vertebrae)
        coefficients = parameters[POSE_SIZE:]
        strength = 2 * problem.prior_weight / max(len(coefficients), 1) / count
        gradient[POSE_SIZE:] += strength * coefficients[: self.n_modes]
        varying = np.arange(POSE_SIZE, POSE_SIZE + self.n_modes)
        hessian[varying, varying] += strength
        if problem.landmark_term.weight > 0 and start.observed:
            self._add_landmarks(index, parameters, gradient, hessian)
        return self.scene.regularisation(index, parameters)

    def _add_landmarks(
        self, index: int, parameters: np.ndarray, gradient: np.ndarray, hessian: np.ndarray
    ) -> None:
        problem, start = self.scene.problem, self.scene.problem.vertebrae[index]
        term, pose = problem.landmark_term, start.world_from_moved(parameters[:POSE_SIZE])
        points = start.shape.landmarks(parameters[POSE_SIZE:])
        motion = _landmark_motions(points, start.shape.landmark_modes_mm[: self.n_modes])
        motion[:, :, :POSE_SIZE] = motion[:, :, :POSE_SIZE] @ _tangent_from_pose(parameters)
        world, world_motion = pose.apply(points), np.einsum("ij,njp->nip", pose.rotation, motion)
        for name, observed in start.observed.items():
            camera = problem.landmark_cameras[name]
            offset = (camera.project(world) - observed.positions_px) * camera.pixel_spacing_mm
            scaled = np.linalg.norm(offset, axis=-1) / term.sigma_mm[name]
            weight = observed.confidence / np.maximum(scaled / term.threshold, 1) / np.square(term.sigma_mm[name])
            weight = weight * term.weight / len(points) / len(start.observed) / len(problem.vertebrae)
            seen = np.isfinite(offset).all(-1)
            design = _projection_derivative(camera, world)[seen] @ world_motion[seen]
            gradient += np.einsum("n,nip,ni->p", weight[seen], design, offset[seen])
            hessian += np.einsum("n,nip,niq->pq", weight[seen], design, design)


def _add_normal_equations(
    patches: list[_Patch], root: np.ndarray, scaled_residual: np.ndarray, gradient: np.ndarray, hessian: np.ndarray
) -> None:
    """Adds `J^T J` and `J^T r` of one view, `J` being the derivative of `root * length`, over all pairs that overlap."""
    designs = [patch.jacobian * root[patch.rows, patch.columns, None] for patch in patches]
    for i, (patch, design) in enumerate(zip(patches, designs, strict=True)):
        flat = design.reshape(-1, design.shape[-1])
        gradient[i] += scaled_residual[patch.rows, patch.columns].ravel() @ flat
        hessian[i, :, i] += flat.T @ flat
        for j in range(i):
            mine, other = _overlap(patch, patches[j])
            if mine is not None:
                a, b = (d.reshape(-1, d.shape[-1]) for d in (design[mine], designs[j][other]))
                coupling = a.T @ b
                hessian[i, :, j] += coupling
                hessian[j, :, i] += coupling.T


def _overlap(first: _Patch, second: _Patch):
    """The common pixels as indices of each patch's own array, or (None, None)."""
    slices = []
    for axis in ("rows", "columns"):
        a, b = getattr(first, axis), getattr(second, axis)
        low, high = max(a.start, b.start), min(a.stop, b.stop)
        if low >= high:
            return None, None
        slices.append((slice(low - a.start, high - a.start), slice(low - b.start, high - b.start)))
    return tuple(s[0] for s in slices), tuple(s[1] for s in slices)


def _tangent_from_pose(parameters: np.ndarray) -> np.ndarray:
    """[6, 6]: what a change of pose parameters is as translation and rotation in the moved vertebra's own frame.

    With `R = Rz Ry Rx`, translation turns by `R^T` and the rotation axes seen from the moved frame are x, `Rx^T y` and
    `(Ry Rx)^T z`.
    """
    lateral, flexion, axial = parameters[3:POSE_SIZE]
    cx, sx, cy, sy = np.cos(lateral), np.sin(lateral), np.cos(flexion), np.sin(flexion)
    cz, sz = np.cos(axial), np.sin(axial)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    tangent = np.zeros((POSE_SIZE, POSE_SIZE))
    tangent[:3, :3] = (about_z @ about_y @ about_x).T
    tangent[3:, 3] = (1, 0, 0)
    tangent[3:, 4] = about_x.T @ (0, 1, 0)
    tangent[3:, 5] = (about_y @ about_x).T @ (0, 0, 1)
    return tangent


def _to_pose_parameters(index: int, parameters: np.ndarray, gradient: np.ndarray, hessian: np.ndarray) -> None:
    """Changes variables of one vertebra from its tangent frame to pose parameters, in place."""
    tangent = _tangent_from_pose(parameters)
    pose = slice(0, POSE_SIZE)
    gradient[index, pose] = tangent.T @ gradient[index, pose]
    hessian[index, pose] = np.einsum("ab,acd->bcd", tangent, hessian[index, pose])
    hessian[:, :, index, pose] = hessian[:, :, index, pose] @ tangent


def _landmark_motions(points: np.ndarray, modes: np.ndarray) -> np.ndarray:
    """Derivative [7, 3, 6 + K] of points [7, 3] in the moved frame by translation, rotation and coefficients."""
    count = len(points)
    shift = np.broadcast_to(np.eye(3), (count, 3, 3))
    x, y, z = points.T
    zero = np.zeros(count)
    turn = np.array([[zero, z, -y], [-z, zero, x], [y, -x, zero]]).transpose(2, 0, 1)
    return np.concatenate([shift, turn, np.moveaxis(modes, 0, -1)], axis=-1)


def _projection_derivative(camera, points: np.ndarray) -> np.ndarray:
    """Derivative [N, 2, 3] of detector position (mm along u and v) by world points [N, 3]."""
    depth = (points - camera.source_mm) @ camera.normal
    scale = camera.source_distance_mm / depth
    on_detector = (camera.project(points) - camera.principal_point_px) * camera.pixel_spacing_mm
    axes = np.stack([camera.u_axis, camera.v_axis])
    return scale[:, None, None] * axes - (on_detector / depth[:, None])[:, :, None] * camera.normal


def _modes_by_vertex(modes_mm: np.ndarray) -> np.ndarray:
    """[V, 3, K] float32, the coefficients innermost."""
    return np.ascontiguousarray(modes_mm.reshape(len(modes_mm), modes_mm.shape[1] // 3, 3).transpose(1, 2, 0), dtype=np.float32)
