"""Non-rigid registration of one template to a target surface by sums of Gaussian radial basis functions, coarse to
fine.

Each stage adds a smooth field. At the seed points of the template it is `u(x) = sum_s c_s exp(-|x - s|^2 / 2 sigma^2)`,
centred on these seeds; every other vertex takes the thin-plate interpolation of the seeds' displacements. Both steps
are linear in c, so u at all vertices is one matrix times c. The coefficients minimise
`sum_i w_i |u(x_i) - r_i|^2 / noise^2 + c^T G c / prior^2`: a Gaussian process with prior standard deviation `prior_mm`
fitted to closest-point residuals r_i. Weights below one (trimmed or invalid matches) are handled by majorisation: the
missing part of a residual is filled with the current field, so that one Cholesky factor per stage serves every
iteration and every target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist

from lumbar_ext.mesh.sampling import spread_points
from lumbar_ext.mesh.self_intersection import self_intersections, untangled
from lumbar_ext.mesh.surface import Surface, surface_distance_mm
from lumbar_ext.shape.correspondence.matching import Matcher, trim
from lumbar_ext.shape.correspondence.thin_plate import thin_plate_matrix

_JITTER = 1e-4  # on the diagonal of the normal equations, whose entries are about 1


@dataclass(frozen=True)
class Stage:
    """One level of the coarse-to-fine deformation.

    Args:
        sigma_mm: width of the Gaussians.
        seeds: how many of them, spread over the template.
        iterations: match-and-fit rounds.
        noise_mm: expected deviation of a match from its field; larger is stiffer.
        prior_mm: expected size of the field; smaller is stiffer.
        keep_fraction: part of the matches kept (trimming).
        tangential: part of the residual along the surface that is followed; the rest may slide.
    """

    sigma_mm: float
    seeds: int
    iterations: int
    noise_mm: float
    prior_mm: float
    keep_fraction: float = 0.97
    tangential: float = 1.0


SMOOTH_TARGET_STAGES = (
    Stage(40.0, 60, 15, 1.0, 6.0, 0.90, 1.0),
    Stage(22.0, 200, 15, 1.0, 4.0, 0.93, 0.8),
    Stage(12.0, 600, 15, 0.7, 2.5, 0.96, 0.5),
    Stage(7.0, 1500, 12, 0.5, 1.5, 0.98, 0.2),
    Stage(4.5, 2600, 10, 0.4, 0.8, 0.99, 0.0),
)
"""Stages for smooth meshes."""

MASK_TARGET_STAGES = (*SMOOTH_TARGET_STAGES[:4], Stage(5.5, 2200, 6, 0.8, 0.6, 0.98, 0.0))
"""Stages for surfaces of label maps with voxels of 1-3 mm: a stiffer last stage leaves the voxel noise alone."""


@dataclass(frozen=True)
class NonrigidResult:
    """A registered template.

    Args:
        vertices_mm: [V, 3] deformed template in the frame of the target.
        template_to_target_mm: [V] distance of each deformed vertex to the target surface.
        target_to_template_mm: [Vt] distance of each uncut target vertex to the deformed template.
        n_self_intersections: triangles that cross another one.
    """

    vertices_mm: np.ndarray
    template_to_target_mm: np.ndarray
    target_to_template_mm: np.ndarray
    n_self_intersections: int

    @property
    def mean_mm(self) -> float:
        """Mean of both directions; parts of the template without a counterpart on a cut target count."""
        return float((self.template_to_target_mm.mean() + self.target_to_template_mm.mean()) / 2)


class NonrigidRegistration:
    """Registers one template to many targets; the kernels and their factors are computed once per template.

    Args:
        template: the template surface in its own frame.
        stages: coarse-to-fine stages.
    """

    def __init__(self, template: Surface, stages: tuple[Stage, ...] = SMOOTH_TARGET_STAGES) -> None:
        self.template = template
        self._levels = [_Level(template.vertices_mm, stage) for stage in stages]

    def register(
        self, initial_vertices_mm: np.ndarray, target: Surface, is_cut: np.ndarray | None = None
    ) -> NonrigidResult:
        """Deforms the rigidly placed template onto a target.

        Args:
            initial_vertices_mm: [V, 3] the template placed on the target by a rigid transform, target frame.
            target: target surface.
            is_cut: [Vt] target vertices that are no bone surface (edge of the field of view).
        """
        is_cut = np.zeros(len(target.vertices_mm), dtype=bool) if is_cut is None else is_cut
        base = np.asarray(initial_vertices_mm, dtype=np.float64)
        for level in self._levels:
            base = base + _fit_level(level, self.template.with_vertices(base), target, is_cut)
        return _assess(untangled(self.template.with_vertices(base)), target, is_cut)


class _Level:
    """Matrix [V, S] from coefficients to displacements of a stage, and the factor of its normal equations."""

    def __init__(self, points_mm: np.ndarray, stage: Stage) -> None:
        seeds = points_mm[spread_points(points_mm, stage.seeds)]
        self.stage = stage
        at_seeds = gaussian_kernel(seeds, seeds, stage.sigma_mm)
        self.kernel = thin_plate_matrix(points_mm, seeds) @ at_seeds
        stiffness = (stage.noise_mm / stage.prior_mm) ** 2
        normal = self.kernel.T @ self.kernel + stiffness * at_seeds
        normal[np.diag_indices_from(normal)] += _JITTER
        self._factor = cho_factor(normal, overwrite_a=True)

    def fit(self, residual_mm: np.ndarray) -> np.ndarray:
        """The field [V, 3] closest to residuals [V, 3]."""
        return self.kernel @ cho_solve(self._factor, self.kernel.T @ residual_mm)


def gaussian_kernel(points_mm: np.ndarray, seeds_mm: np.ndarray, sigma_mm: float) -> np.ndarray:
    """exp(-|x - s|^2 / 2 sigma^2) for points [V, 3] and seeds [S, 3]: [V, S]."""
    return np.exp(cdist(points_mm, seeds_mm, "sqeuclidean") * (-0.5 / sigma_mm**2))


def _fit_level(level: _Level, base: Surface, target: Surface, is_cut: np.ndarray) -> np.ndarray:
    """The field [V, 3] of one stage on top of the surface reached so far."""
    stage = level.stage
    normal_weight_mm = float(np.clip(0.4 * stage.sigma_mm, 3.0, 8.0))
    matcher = Matcher(target.vertices_mm, target.normals, normal_weight_mm, is_cut)
    probes = np.flatnonzero(~is_cut)
    probes = probes[:: max(1, len(probes) // 5000)]
    field = np.zeros_like(base.vertices_mm)
    for _ in range(stage.iterations):
        current = base.with_vertices(base.vertices_mm + field)
        step, weight = _desired_step(current, matcher, probes, stage, normal_weight_mm)
        field = level.fit(field + weight[:, None] * step)
    return field


def _desired_step(
    current: Surface, matcher: Matcher, probes: np.ndarray, stage: Stage, normal_weight_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where each vertex wants to go [V, 3] and how much that counts [V]: both directions averaged."""
    vertices, normals = current.vertices_mm, current.normals
    forth = matcher.query(vertices, normals)
    own = Matcher(vertices, normals, normal_weight_mm)
    back = own.query(matcher.points_mm[probes], matcher.normals[probes])
    # A complete target may shorten a process, so its template vertices are all heard; a cut target may not.
    kept_forth = trim(forth, stage.keep_fraction if matcher.is_cut.any() else 1.0)
    kept_back = trim(back, stage.keep_fraction)
    weight = kept_forth.astype(np.float64)
    pull = weight[:, None] * _slide(
        vertices, matcher.points_mm[forth.index], matcher.normals[forth.index], stage.tangential
    )
    owner, source = back.index[kept_back], probes[kept_back]
    step_back = _slide(vertices[owner], matcher.points_mm[source], matcher.normals[source], stage.tangential)
    np.add.at(pull, owner, step_back)
    weight += np.bincount(owner, minlength=len(vertices))
    return pull / np.maximum(weight, 1e-9)[:, None], np.minimum(weight, 1.0)


def _slide(points_mm: np.ndarray, matched_mm: np.ndarray, normals: np.ndarray, tangential: float) -> np.ndarray:
    """Steps to the matched tangent planes plus a part of the way along them."""
    step = matched_mm - points_mm
    across = (step * normals).sum(axis=1, keepdims=True) * normals
    return across + tangential * (step - across)


def _assess(result: Surface, target: Surface, is_cut: np.ndarray) -> NonrigidResult:
    """Distances in both directions and the number of triangles that cross others."""
    back = surface_distance_mm(target, result)[~is_cut]
    return NonrigidResult(result.vertices_mm, surface_distance_mm(result, target), back, self_intersections(result))
