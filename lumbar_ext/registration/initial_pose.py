"""Where each vertebra starts: a robust fit of the shape model's landmarks to the triangulated ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.geometry import RigidTransform, fit_rigid
from lumbar_ext.landmarks.triangulated import MIN_LANDMARKS, Landmarks3D
from lumbar_ext.shape.model.level_shape import LevelShape


@dataclass(frozen=True)
class InitialPoseConfig:
    """How landmarks are weighed.

    Args:
        sigma_mm: [7] expected error of each landmark type in space, its spread between persons included. Endplate and
            pedicle centres are found to 1.5-3 mm, process tips to 3-7 mm (Yu et al., arXiv 2503.14573, landmark table).
        gap_weight: part of the triangulation gap that counts as error.
        cutoff: residuals of this many sigma lose three quarters of their weight (Geman-McClure).
        fit_shape: also fit shape coefficients; the paper fits the pose alone.
        iterations: rounds of reweighting.
    """

    sigma_mm: tuple[float, ...] = (2.0, 2.0, 6.0, 6.0, 2.5, 2.5, 5.0)
    gap_weight: float = 0.5
    cutoff: float = 2.5
    fit_shape: bool = False
    iterations: int = 20


@dataclass(frozen=True)
class InitialPose:
    """The start of one vertebra.

    Args:
        world_from_vertebra: the pose.
        coefficients: [K] shape coefficients in SDs, zero unless the shape was fitted.
        residual_mm: [7] distance of each landmark from the fit, NaN where it was not given.
    """

    world_from_vertebra: RigidTransform
    coefficients: np.ndarray
    residual_mm: np.ndarray


def initial_poses(
    landmarks: Landmarks3D, shapes: Sequence[LevelShape], config: InitialPoseConfig | None = None
) -> Mapping[str, InitialPose]:
    """The starts of the levels that are present; missing levels are left out.

    Args:
        landmarks: triangulated landmarks.
        shapes: [5] levels of the shape model.
        config: weights.
    """
    config = config or InitialPoseConfig()
    return {
        level: fit_initial_pose(landmarks.positions_mm[i], landmarks.weight[i], landmarks.gap_mm[i], shapes[i], config)
        for i, level in enumerate(LEVELS)
        if landmarks.present[i]
    }


def relative_size(
    landmarks: Landmarks3D, shapes: Sequence[LevelShape], config: InitialPoseConfig | None = None
) -> float:
    """How large the vertebrae are against the model's mean: the median over the levels that are present of how far their
    landmarks spread (weighted root mean squares about their centres).

    Raises:
        ValueError: if no level is present.
    """
    config = config or InitialPoseConfig()
    ratios = []
    for i in np.flatnonzero(landmarks.present):
        points = landmarks.positions_mm[i]
        known = np.isfinite(points).all(-1) & (landmarks.weight[i] > 0)
        share = landmarks.weight[i][known] / np.square(config.sigma_mm)[known]
        spreads = [
            np.sqrt(share @ np.square(own - np.average(own, axis=0, weights=share)).sum(-1))
            for own in (points[known], shapes[i].landmark_mean_mm[known])
        ]
        ratios.append(spreads[0] / spreads[1])
    if not ratios:
        raise ValueError("landmarks has no level that is present")
    return float(np.median(ratios))


def fit_initial_pose(
    points_mm: np.ndarray, weight: np.ndarray, gap_mm: np.ndarray, shape: LevelShape, config: InitialPoseConfig
) -> InitialPose:
    """The robust pose (and shape) of one vertebra from landmarks [7, 3] with weights [7] and gaps [7].

    Each landmark has the variance `sigma^2 + (gap_weight gap)^2` over its weight. The best of all rigid fits of
    three landmarks starts an iteratively reweighted fit with Geman-McClure weights `(1 + r^2 / cutoff^2)^-2`, so that
    single landmarks may be anywhere.

    Raises:
        ValueError: if fewer than three landmarks are given.
    """
    known = np.flatnonzero(np.isfinite(points_mm).all(-1) & (weight > 0))
    if len(known) < MIN_LANDMARKS:
        raise ValueError(f"points_mm holds {len(known)} known landmarks, expected at least {MIN_LANDMARKS}")
    gap = config.gap_weight * np.nan_to_num(gap_mm[known])
    precision = weight[known] / (np.array(config.sigma_mm)[known] ** 2 + gap**2)
    target = points_mm[known]
    coefficients = np.zeros(shape.n_modes)
    source = shape.landmark_mean_mm[known]
    pose = _best_minimal_fit(source, target, precision, config.cutoff)
    for _ in range(config.iterations):
        squared = precision * ((target - pose.apply(source)) ** 2).sum(-1)
        weights = precision / (1 + squared / config.cutoff**2) ** 2
        if config.fit_shape:
            coefficients = _fit_coefficients(shape, known, pose.inverse().apply(target), weights)
            source = shape.landmarks(coefficients)[known]
        pose = fit_rigid(source, target, weights)
    residual = np.full(len(points_mm), np.nan)
    residual[known] = np.linalg.norm(target - pose.apply(source), axis=-1)
    return InitialPose(pose, coefficients, residual)


def _best_minimal_fit(source: np.ndarray, target: np.ndarray, precision: np.ndarray, cutoff: float) -> RigidTransform:
    """The rigid fit of three landmarks that the others agree with best (robust cost, all triples tried).

    All triples at once, each as by `fit_rigid`.
    """
    triples = np.array(list(combinations(range(len(source)), 3)))
    weights = precision[triples] / precision[triples].sum(-1, keepdims=True)
    source_centres, target_centres = (np.einsum("ti,tia->ta", weights, own[triples]) for own in (source, target))
    from_centre = weights[..., None] * (source[triples] - source_centres[:, None])
    u, singular_values, vt = np.linalg.svd((target[triples] - target_centres[:, None]).swapaxes(1, 2) @ from_centre)
    on_a_line = singular_values[:, 1] <= 1e-9 * np.maximum(singular_values[:, 0], 1e-30)
    if on_a_line.all():
        raise ValueError("the known landmarks of a vertebra lie on one line: its rotation about it is undetermined")
    vt[:, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    rotations = u @ vt
    moved = (source - source_centres[:, None]) @ rotations.swapaxes(1, 2) + target_centres[:, None]
    squared = precision * ((target - moved) ** 2).sum(-1)
    costs = np.where(on_a_line, np.inf, (squared / (cutoff**2 + squared)).sum(-1))
    best = triples[np.argmin(costs)]
    return fit_rigid(source[best], target[best], precision[best])


def _fit_coefficients(shape: LevelShape, known: np.ndarray, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Ridge fit of coefficients to landmarks in the vertebra frame; the prior is one SD a mode."""
    design = shape.landmark_modes_mm[:, known].reshape(shape.n_modes, -1)
    scaled = design * np.repeat(weights, 3)
    offset = (points - shape.landmark_mean_mm[known]).ravel()
    return np.linalg.solve(scaled @ design.T + np.eye(shape.n_modes), scaled @ offset)
