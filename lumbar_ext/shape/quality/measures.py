"""Quality of a shape model: compactness, generality and specificity (Davies, Twining and Taylor 2008).

Generality: how far a real shape outside the model is from its best instance. Specificity: how far a random instance
is from the nearest real shape. Both are errors: with more modes generality falls and specificity rises.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.mesh.surface import Surface, surface_distance_mm
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.shape.model.surface_fit import LinearModel, fit_by_correspondence, fit_to_surface
from lumbar_ext.shape.population.atlas import Atlas

FITS = ("surface", "correspondence")
"""How the best instance is found: see `generality`."""


@dataclass(frozen=True)
class SurfaceDistance:
    """A distance between two surfaces, both directions averaged, every part of a surface counting by its area.

    Args:
        mean_mm: mean surface distance.
        p95_mm: 95th percentile.
    """

    mean_mm: float
    p95_mm: float


def linear_model(model: VertebraShapeModel, level: int, n_modes: int) -> LinearModel:
    """One level of a model with its first modes, double precision."""
    modes = model.modes[level, :n_modes].double() * model.standard_deviations[level, :n_modes, None, None].double()
    return LinearModel(model.mean[level].double().numpy(), modes.numpy(), model.triangles.numpy())


def best_instance(
    model: VertebraShapeModel, vertices_mm: np.ndarray, level: int, n_modes: int, fit: str = "surface"
) -> np.ndarray:
    """The instance of one level closest to a shape; coefficients stay within 3 standard deviations.

    Args:
        model: the model.
        vertices_mm: [V, 3] target in correspondence, any frame.
        level: 0 for L1 to 4 for L5.
        n_modes: modes to use.
        fit: "correspondence" for the least squares distance of corresponding vertices, "surface" to go on from there
            to the least squares distance of the surfaces, as in `surface_fit`.

    Returns:
        [V, 3] in the frame of the target.

    Raises:
        ValueError: if `fit` is unknown.
    """
    if fit not in FITS:
        raise ValueError(f"fit must be one of {', '.join(FITS)}, found {fit!r}")
    linear = linear_model(model, level, n_modes)
    start = fit_by_correspondence(linear, np.asarray(vertices_mm, dtype=np.float64))
    if fit == "correspondence":
        return start.vertices_mm
    return fit_to_surface(linear, Surface(vertices_mm, linear.triangles), start).vertices_mm


def generality(
    model: VertebraShapeModel, vertices_mm: np.ndarray, level: int, n_modes: int, fit: str = "surface"
) -> SurfaceDistance:
    """Surface distance of a real shape to its best instance.

    Args:
        model: the model, which must not have seen the shape.
        vertices_mm: [V, 3] the shape in correspondence.
        level: 0 for L1 to 4 for L5.
        n_modes: modes to use.
        fit: what the best instance is closest in, see `best_instance`.
    """
    triangles = model.triangles.numpy()
    instance = Surface(best_instance(model, vertices_mm, level, n_modes, fit), triangles)
    return symmetric_distance(instance, Surface(vertices_mm, triangles))


def symmetric_distance(first: Surface, second: Surface) -> SurfaceDistance:
    """Surface distance in both directions, vertices weighted by their areas."""
    both = np.concatenate([surface_distance_mm(first, second), surface_distance_mm(second, first)])
    areas = np.concatenate([s.vertex_areas_mm2 / s.vertex_areas_mm2.sum() for s in (first, second)]) / 2
    order = np.argsort(both)
    rank = np.searchsorted(np.cumsum(areas[order]), 0.95)
    return SurfaceDistance(float(areas @ both), float(both[order[min(rank, len(both) - 1)]]))


def compactness(model: VertebraShapeModel) -> np.ndarray:
    """[5, K] cumulative part of the stored variance."""
    variance = model.standard_deviations.double().numpy() ** 2
    return np.cumsum(variance, axis=1) / variance.sum(axis=1, keepdims=True)


def specificity(
    model: VertebraShapeModel, atlas: Atlas, level: int, n_modes: int, *, samples: int = 30, seed: int = 0
) -> float:
    """Mean over random instances of the RMS vertex distance to the nearest real training shape, after rigid
    alignment, mm.

    Real shapes are the level mean plus each size-free real deviation, so instances are brought to the mean's size
    first.
    """
    rng = np.random.default_rng(seed)
    real = atlas.means_mm[level] + atlas.deviations_mm[:, level]
    coefficients = torch.zeros(samples, len(LEVELS), n_modes)
    # The first coefficients are the same whatever the number of modes, so that curves show the modes and no luck.
    drawn = rng.standard_normal((samples, model.n_modes))[:, :n_modes]
    coefficients[:, level] = torch.as_tensor(drawn, dtype=torch.float32)
    instances = model(coefficients)[:, level].double().numpy()
    instances = instances - instances.mean(axis=1, keepdims=True)
    size = np.linalg.norm(atlas.means_mm[level] - atlas.means_mm[level].mean(axis=0))
    instances *= size / np.linalg.norm(instances, axis=(1, 2), keepdims=True)
    return float(_rms_after_alignment(instances, real - real.mean(axis=1, keepdims=True)).min(axis=1).mean())


def _rms_after_alignment(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[A, B] RMS vertex distances of centred shapes [A, V, 3] and [B, V, 3] after the best rotation of each pair.

    With singular values s of the covariance, the best rotation leaves `|a|^2 + |b|^2 - 2 (s1 + s2 +- s3)`, minus where
    the covariance has a negative determinant (Kabsch 1976).
    """
    covariance = np.einsum("avi,bvj->abij", first, second, optimize=True)
    values = np.linalg.svd(covariance, compute_uv=False)
    values[..., 2] *= np.sign(np.linalg.det(covariance))
    squares = [(s**2).sum(axis=(1, 2)) for s in (first, second)]
    left = squares[0][:, None] + squares[1][None] - 2 * values.sum(axis=-1)
    return np.sqrt(np.maximum(left, 0) / first.shape[1])
