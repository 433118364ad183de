"""Plausible spines around a registration: samples of its Laplace approximation.

Near its end the loss of a registration is a parabola. Taken as a negative log density, scaled so that its shape prior has
the standard deviation of one that it stands for, it is a Gaussian over all poses and coefficients (Laplace's method; e.g.
MacKay, Information Theory, Inference and Learning Algorithms, 2003, ch. 27). It knows how well two views fix every
parameter, and how parameters of neighbours make up for each other; it does not know what no parameter can express, nor
systematic errors of the network. `calibration` makes up for these.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from lumbar_ext.geometry import RigidTransform, euler_rotation
from lumbar_ext.measurements.marks.vertebra_marks import MarkedVertebra, VertebraMarks
from lumbar_ext.registration.parameters import POSE_SIZE
from lumbar_ext.registration.result import RegistrationResult, VertebraFit

N_SAMPLES = 64  # the standard deviation of a value is then known to 9 % (1 / sqrt(2 n))
_JITTER = 1e-9  # relative, on the diagonal: keeps the factorisation of a singular curvature possible


@dataclass(frozen=True)
class VertebraSamples:
    """Samples of one vertebra.

    Args:
        fit: the registration they surround.
        parameters: [S, 6 + K].
    """

    fit: VertebraFit
    parameters: np.ndarray

    def vertices_mm(self, which: np.ndarray | slice = slice(None)) -> np.ndarray:
        """World positions [S, n, 3] float32 of some vertices."""
        surface = self.fit.shape.surface
        coefficients = self.parameters[:, POSE_SIZE:].astype(np.float32)
        model, free = np.split(coefficients, [surface.n_model_modes], axis=1)
        modes = surface.modes_mm.reshape(surface.n_model_modes, *surface.mean_mm.shape)[:, which]
        shapes = surface.mean_mm[which] + (model @ modes.reshape(len(modes), -1)).reshape(len(model), -1, 3)
        fields = surface.fields_by_vertex_mm[which]
        shapes += fields @ free.reshape(len(free), fields.shape[1], 3)
        return self._posed(shapes)

    def landmarks_mm(self) -> np.ndarray:
        """[S, 7, 3] landmarks of each sample, world mm."""
        shape = self.fit.shape
        moved = np.tensordot(self.parameters[:, POSE_SIZE:], shape.landmark_modes_mm, axes=1)
        return self._posed(shape.landmark_mean_mm + moved)

    def place(self, marks: VertebraMarks) -> MarkedVertebra:
        """Marks of the registered mesh on all samples."""
        used, compact = marks.compacted()
        return compact.place(self.vertices_mm(used), self.landmarks_mm())

    def _posed(self, points_mm: np.ndarray) -> np.ndarray:
        """Points [S, n, 3] of the moved vertebra frames in the world."""
        world_from_initial = self.fit.world_from_vertebra @ RigidTransform.from_pose(self.fit.pose).inverse()
        poses = self.parameters[:, :POSE_SIZE]
        initial_from_moved = np.moveaxis(euler_rotation(*poses[:, 3:].T), -1, 0)
        rotation = (world_from_initial.rotation @ initial_from_moved).astype(points_mm.dtype)
        translation = world_from_initial.apply(poses[:, :3]).astype(points_mm.dtype)
        return points_mm @ np.swapaxes(rotation, -1, -2) + translation[:, None]


def sample_registration(
    result: RegistrationResult, *, n_samples: int = N_SAMPLES, seed: int = 0
) -> dict[str, VertebraSamples] | None:
    """Samples of a registration, jointly for all its vertebrae; equal arguments give equal samples.

    Args:
        result: a registration by an optimiser with derivatives.
        n_samples: how many.
        seed: of the random numbers.

    Returns:
        By level; None where the registration has no curvature, or none that is positive.
    """
    if result.curvature is None:
        return None
    hessian = result.curvature.hessian
    count, size = hessian.shape[:2]
    matrix = hessian.reshape(count * size, count * size)
    try:
        root = cholesky(matrix + _JITTER * np.diag(np.diag(matrix)), lower=True, check_finite=True)
    except (LinAlgError, ValueError):
        return None
    noise = np.random.default_rng(seed).standard_normal((count * size, n_samples))
    steps = np.sqrt(result.curvature.prior) * solve_triangular(root, noise, lower=True, trans="T").T
    steps = steps.reshape(n_samples, count, size)
    samples = {}
    for i, (level, fit) in enumerate(result.vertebrae.items()):
        end = np.concatenate([fit.pose, fit.coefficients, fit.free_form])
        parameters = np.repeat(end[None], n_samples, axis=0)
        parameters[:, :size] += steps[:, i]
        samples[level] = VertebraSamples(fit, parameters)
    return samples


def vertex_sd_mm(samples: VertebraSamples, normals: np.ndarray) -> np.ndarray:
    """[V] standard deviation of every vertex along its normal [V, 3]; sliding along the surface does not count."""
    vertices = samples.vertices_mm()
    offsets = vertices - samples.fit.vertices_mm.astype(np.float32)
    along = np.einsum("svc,vc->sv", offsets, normals.astype(np.float32))
    return np.sqrt(np.square(along).mean(0)).astype(np.float64)
