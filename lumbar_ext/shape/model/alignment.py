"""Rigid alignment: trimmed ICP of surfaces from several starts, and generalised Procrustes without scaling."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

from lumbar_ext.geometry import RigidTransform, euler_rotation, fit_rigid
from lumbar_ext.mesh.sampling import spread_points
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.correspondence.matching import Matcher, trim

_NORMAL_WEIGHT_MM = 8.0  # what opposite normals count beside distance in a match


@dataclass(frozen=True)
class RigidAlignment:
    """Result of an ICP.

    Args:
        target_from_source: the transform found.
        residual_mm: root mean square distance of the matches kept, both directions averaged.
        iterations: iterations used by the final run.
    """

    target_from_source: RigidTransform
    residual_mm: float
    iterations: int


@dataclass(frozen=True)
class IcpOptions:
    """Settings of `trimmed_icp`.

    Args:
        keep_fraction: part of the matches kept; below 1 the rest may be missing or different.
        max_iterations: upper limit.
        tolerance_mm: stop when no sample point moves more than this.
        samples: points used of the source.
    """

    keep_fraction: float = 0.85
    max_iterations: int = 60
    tolerance_mm: float = 0.01
    samples: int = 1200


def trimmed_icp(
    source: Surface,
    target: Surface,
    initial: RigidTransform,
    options: IcpOptions | None = None,
    is_cut: np.ndarray | None = None,
) -> RigidAlignment:
    """Iterative closest points with normal compatibility and trimming; rotation and translation only.

    Args:
        source: surface to move.
        target: surface that stays.
        initial: first guess of `target_from_source`.
        options: settings.
        is_cut: [Vt] target vertices that are no bone surface.

    Returns:
        The alignment. A poor start ends in a large `residual_mm`.

    References:
        Besl and McKay 1992; Chetverikov et al., Image and Vision Computing 23 (2005).
    """
    options = options or IcpOptions()
    return _run_icp(source, Matcher(target.vertices_mm, target.normals, _NORMAL_WEIGHT_MM, is_cut), initial, options)


def align_from_starts(
    source: Surface,
    target: Surface,
    starts: list[np.ndarray],
    options: IcpOptions | None = None,
    is_cut: np.ndarray | None = None,
) -> RigidAlignment:
    """Trimmed ICP from several rotations about the joined centroids; the best candidate is refined.

    Args:
        source: surface to move.
        target: surface that stays.
        starts: rotations [3, 3] of the source to try, see `flexion_starts` and `axis_starts`.
        options: settings of the final run.
        is_cut: [Vt] target vertices that are no bone surface.

    Returns:
        The alignment of the smallest residual.

    Raises:
        ValueError: if `starts` is empty.
    """
    if not starts:
        raise ValueError("starts must hold at least one rotation")
    options = options or IcpOptions()
    coarse = IcpOptions(options.keep_fraction, max_iterations=25, tolerance_mm=0.1, samples=300)
    matcher = Matcher(target.vertices_mm, target.normals, _NORMAL_WEIGHT_MM, is_cut)
    source_centre, target_centre = source.vertices_mm.mean(axis=0), target.vertices_mm.mean(axis=0)
    candidates = [
        _run_icp(source, matcher, RigidTransform(rotation, target_centre - rotation @ source_centre), coarse)
        for rotation in starts
    ]
    best = min(
        candidates, key=lambda c: _two_sided_residual_mm(source, matcher, c.target_from_source, options.keep_fraction)
    )
    return _run_icp(source, matcher, best.target_from_source, options)


def flexion_starts(angles_deg: tuple[float, ...] = (-35.0, -15.0, 0.0, 15.0, 35.0)) -> list[np.ndarray]:
    """Rotations about the left-right axis, for targets whose axes are known but whose tilt is not."""
    return [euler_rotation(0.0, np.deg2rad(angle), 0.0) for angle in angles_deg]


def axis_starts() -> list[np.ndarray]:
    """The 24 proper rotations that permute and turn the axes, for targets in an unknown orientation."""
    rotations = []
    for order, signs in product(permutations(range(3)), product((1.0, -1.0), repeat=3)):
        matrix = np.eye(3)[list(order)] * np.array(signs)[:, None]
        if np.linalg.det(matrix) > 0:
            rotations.append(matrix)
    return rotations


@dataclass(frozen=True)
class ProcrustesAlignment:
    """Shapes in a common frame.

    Args:
        shapes_mm: [N, V, 3] aligned shapes.
        mean_mm: [V, 3] their mean.
    """

    shapes_mm: np.ndarray
    mean_mm: np.ndarray


def generalized_procrustes(
    shapes_mm: np.ndarray, *, iterations: int = 10, tolerance_mm: float = 1e-4
) -> ProcrustesAlignment:
    """Aligns corresponding shapes with each other by rotation and translation only, so that size stays in the
    statistics.

    The common frame is that of the first mean, so shapes that come in vertebra frames leave with a mean close to the
    vertebra frame.

    Args:
        shapes_mm: [N, V, 3] corresponding shapes.
        iterations: upper limit of rounds.
        tolerance_mm: stop when the mean moves less than this (root mean square).

    References:
        Gower JC. Generalized Procrustes analysis. Psychometrika 40 (1975).
    """
    aligned = np.array(shapes_mm, dtype=np.float64)
    frame = aligned.mean(axis=0)
    mean = frame
    for _ in range(iterations):
        aligned = _aligned_to(aligned, mean)
        average = aligned.mean(axis=0)
        # Pinning the mean to the first frame stops the whole set from drifting.
        updated = fit_rigid(average, frame).apply(average)
        change = np.sqrt(((updated - mean) ** 2).sum(axis=1).mean())
        mean = updated
        if change < tolerance_mm:
            break
    return ProcrustesAlignment(_aligned_to(aligned, mean), mean)


def _aligned_to(shapes_mm: np.ndarray, target_mm: np.ndarray) -> np.ndarray:
    """Shapes [N, V, 3] moved rigidly onto a target [V, 3]: `geometry.fit_rigid` for all shapes at once."""
    centre = target_mm.mean(axis=0)
    centred = shapes_mm - shapes_mm.mean(axis=1, keepdims=True)
    u, _, vt = np.linalg.svd(centred.transpose(0, 2, 1) @ (target_mm - centre))
    signs = np.ones((len(shapes_mm), 3))
    signs[:, 2] = np.sign(np.linalg.det(u @ vt))
    return centred @ ((u * signs[:, None]) @ vt) + centre


def _run_icp(source: Surface, matcher: Matcher, initial: RigidTransform, options: IcpOptions) -> RigidAlignment:
    """ICP of source samples against a prepared matcher."""
    chosen = _sample(source, options.samples)
    points, normals = source.vertices_mm[chosen], source.normals[chosen]
    transform, residual, iteration = initial, np.inf, 0
    for iteration in range(1, options.max_iterations + 1):
        moved = transform.apply(points)
        matches = matcher.query(moved, normals @ transform.rotation.T)
        kept = trim(matches, options.keep_fraction)
        if kept.sum() < 10:
            return RigidAlignment(transform, np.inf, iteration)
        residual = float(np.sqrt((matches.distance_mm[kept] ** 2).mean()))
        transform = fit_rigid(points[kept], matcher.points_mm[matches.index[kept]])
        if np.abs(transform.apply(points) - moved).max() < options.tolerance_mm:
            break
    return RigidAlignment(transform, residual, iteration)


def _two_sided_residual_mm(source: Surface, matcher: Matcher, transform: RigidTransform, keep_fraction: float) -> float:
    """Trimmed RMS distance in both directions, which exposes a source hidden inside a larger target."""
    chosen = _sample(source, 400)
    points, normals = transform.apply(source.vertices_mm), source.normals @ transform.rotation.T
    forth = matcher.query(points[chosen], normals[chosen])
    candidates = np.flatnonzero(~matcher.is_cut)
    picked = candidates[:: max(1, len(candidates) // 400)]
    back = Matcher(points, normals, _NORMAL_WEIGHT_MM).query(matcher.points_mm[picked], matcher.normals[picked])
    total = 0.0
    for matches in (forth, back):
        # Invalid matches stay in: a wrong orientation must not look good because few normals agree.
        limit = np.quantile(matches.distance_mm, keep_fraction)
        total += float((np.minimum(matches.distance_mm, limit) ** 2).mean()) + 25.0 * float((~matches.is_valid).mean())
    return float(np.sqrt(total / 2))


def _sample(source: Surface, count: int) -> np.ndarray:
    """Vertex indices spread evenly over the surface."""
    stride = max(1, len(source.vertices_mm) // (8 * count))
    subset = np.arange(0, len(source.vertices_mm), stride)
    return subset[spread_points(source.vertices_mm[subset], count)]
