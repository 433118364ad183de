"""One Newton step over poses, shapes and something that moves what the lateral film shows: its camera, or vertebrae.

What a motion does to the lateral film is what a motion of the vertebrae would do to it there, so its derivatives are
combinations of those of the poses that the registration has already. Poses and shapes are eliminated.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lumbar_ext.geometry import RigidTransform
from lumbar_ext.registration.loss.linearisation import Lineariser
from lumbar_ext.registration.loss.tangent import tangent_from_pose
from lumbar_ext.registration.parameters import POSE_SIZE
from lumbar_ext.registration.problem import RegistrationProblem
from lumbar_ext.registration.search.optimiser import start_parameters

VIEW = "lat"
"""The view that moves; the AP one fixes the frame."""
_BLOCK = 2
"""Pixels are compared as in the last stage of the registration."""


def lateral_step(
    problem: RegistrationProblem, design: np.ndarray, precision: np.ndarray, so_far: np.ndarray
) -> np.ndarray:
    """The change [m] of m numbers that lowers the loss most.

    Args:
        problem: its starts are the ends of a registration.
        design: [n, 6, m] how the pose parameters of the n vertebrae would have to change to do to the lateral film what each
            number does.
        precision: [m, m] inverse of the covariance that the numbers are expected to have.
        so_far: [m] what they are, which counts for that.
    """
    parameters = start_parameters(problem)
    both = Lineariser(problem.averaged(_BLOCK)).model(parameters)
    lateral = {name: target for name, target in problem.targets.items() if (target.view or name) == VIEW}
    alone = replace(problem, targets=lateral, terms=(problem.images,), landmark_cameras={})
    own = Lineariser(alone.averaged(_BLOCK)).model(parameters)
    # A loss is the mean over the views: alone, the lateral one counts twice.
    share = 1 / len({target.view or name for name, target in problem.targets.items()})
    gradient = share * np.einsum("iak,ia->k", design, own.gradient[:, :POSE_SIZE])
    cross = share * np.einsum("njia,iak->njk", own.hessian[..., :POSE_SIZE], design)
    curvature = np.einsum("nak,nal->kl", design, cross[:, :POSE_SIZE])
    gradient, curvature = gradient + both.prior * precision @ so_far, curvature + both.prior * precision
    size = both.gradient.size
    cross, hessian = cross.reshape(size, -1), both.hessian.reshape(size, size)
    hessian = hessian + 1e-9 * np.trace(hessian) / size * np.eye(size)
    solved = np.linalg.solve(hessian, np.column_stack([cross, both.gradient.reshape(size)]))
    return -np.linalg.solve(curvature - cross.T @ solved[:, :-1], gradient - cross.T @ solved[:, -1])


def lateral_poses(problem: RegistrationProblem) -> list[RigidTransform]:
    """Where the starts of a problem stand in the lateral film."""
    items = zip(problem.vertebrae, start_parameters(problem), strict=True)
    return [start.world_from_vertebra_in(VIEW) @ RigidTransform.from_pose(own[:POSE_SIZE]) for start, own in items]


def pose_changes(problem: RegistrationProblem, pivots_mm: np.ndarray) -> np.ndarray:
    """[n, 6, 6]: how pose parameters change with a motion of the world that the lateral film shows: shift in mm, then turn in
    rad about the pivot [n, 3] of each vertebra.
    """
    starts = zip(lateral_poses(problem), start_parameters(problem), pivots_mm, strict=True)
    return np.stack([_pose_change(pose, own[:POSE_SIZE], pivot) for pose, own, pivot in starts])


def motion_about(numbers: np.ndarray, pivot_mm: np.ndarray) -> RigidTransform:
    """The motion of a shift in mm and a small turn in rad about a pivot [6]."""
    turn = RigidTransform.from_euler(*numbers[3:]).rotation
    return RigidTransform(turn, pivot_mm + numbers[:3] - turn @ pivot_mm)


def turning_shift(offset_mm: np.ndarray) -> np.ndarray:
    """[3, 3]: how a point at this offset from a pivot shifts with a small turn about it."""
    x, y, z = offset_mm
    return np.array([[0, z, -y], [-z, 0, x], [y, -x, 0]])


def _pose_change(pose: RigidTransform, parameters: np.ndarray, pivot_mm: np.ndarray) -> np.ndarray:
    frame = pose.rotation.T
    turned = turning_shift(pose.translation_mm - pivot_mm)
    tangent = np.block([[frame, frame @ turned], [np.zeros((3, 3)), frame]])
    return np.linalg.solve(tangent_from_pose(parameters), tangent)
