"""Quality of a shape model: compactness, generality and specificity (Davies, Twining and Taylor 2008).

Generality: how far a real shape outside the model is from its best instance. Specificity: how far a random instance
is from the nearest real shape. Both are errors: with more modes generality falls and specificity rises.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.geometry import fit_rigid
from lumbar_ext.shape.atlas import Atlas
from lumbar_ext.shape.point_distribution import VertebraShapeModel
from lumbar_ext.shape.surface import Surface, surface_distance_mm

_FIT_ROUNDS = 4
_LARGEST_COEFFICIENT = 3.0


@dataclass(frozen=True)
class Quality:
    """A distance between two surfaces, both directions averaged.

    Args:
        mean_mm: mean surface distance.
        p95_mm: 95th percentile.
    """

    mean_mm: float
    p95_mm: float


def best_instance(model: VertebraShapeModel, vertices_mm: np.ndarray, level: int, n_modes: int) -> np.ndarray:
    """The instance of one level closest to corresponding vertices, pose and coefficients found in turns.

    Args:
        model: the model.
        vertices_mm: [V, 3] target in correspondence, any frame.
        level: 0 for L1 to 4 for L5.
        n_modes: modes to use; coefficients stay within 3 standard deviations, as in a registration.

    Returns:
        [V, 3] in the frame of the target.
    """
    mean = model.mean[level].numpy().astype(np.float64)
    modes = model.modes[level, :n_modes].numpy().astype(np.float64).reshape(n_modes, -1)
    limit = _LARGEST_COEFFICIENT * model.standard_deviations[level, :n_modes].numpy().astype(np.float64)
    instance = mean
    for _ in range(_FIT_ROUNDS):
        model_from_target = fit_rigid(vertices_mm, instance)
        deviation = (model_from_target.apply(vertices_mm) - mean).ravel()
        instance = mean + (np.clip(modes @ deviation, -limit, limit) @ modes).reshape(mean.shape)
    return model_from_target.inverse().apply(instance)


def generality(model: VertebraShapeModel, vertices_mm: np.ndarray, level: int, n_modes: int) -> Quality:
    """Surface distance of a real shape to its best instance.

    Args:
        model: the model, which must not have seen the shape.
        vertices_mm: [V, 3] the shape in correspondence.
        level: 0 for L1 to 4 for L5.
        n_modes: modes to use.
    """
    triangles = model.triangles.numpy()
    instance = Surface(best_instance(model, vertices_mm, level, n_modes), triangles)
    return symmetric_distance(instance, Surface(vertices_mm, triangles))


def symmetric_distance(first: Surface, second: Surface) -> Quality:
    """Surface distance in both directions."""
    both = np.concatenate([surface_distance_mm(first, second), surface_distance_mm(second, first)])
    return Quality(float(both.mean()), float(np.percentile(both, 95)))


def compactness(model: VertebraShapeModel) -> np.ndarray:
    """[5, K] cumulative part of the stored variance."""
    variance = model.standard_deviations.numpy().astype(np.float64) ** 2
    return np.cumsum(variance, axis=1) / variance.sum(axis=1, keepdims=True)


def specificity(
    model: VertebraShapeModel, atlas: Atlas, level: int, n_modes: int, *, samples: int = 10, seed: int = 0
) -> float:
    """Mean over random instances of the RMS vertex distance to the nearest real training shape, after rigid
    alignment, mm.

    Real shapes are the level mean plus each size-free real deviation, so instances are brought to the mean's size
    first.
    """
    rng = np.random.default_rng(seed)
    real = atlas.means_mm[level] + atlas.deviations_mm[:, level]
    coefficients = torch.zeros(samples, len(LEVELS), n_modes)
    coefficients[:, level] = torch.as_tensor(rng.standard_normal((samples, n_modes)), dtype=torch.float32)
    instances = model(coefficients)[:, level].numpy()
    size = np.linalg.norm(atlas.means_mm[level] - atlas.means_mm[level].mean(axis=0))
    errors = []
    for instance in instances:
        instance = instance * (size / np.linalg.norm(instance - instance.mean(axis=0)))
        distances = [np.sqrt(((fit_rigid(instance, r).apply(instance) - r) ** 2).sum(axis=1).mean()) for r in real]
        errors.append(min(distances))
    return float(np.mean(errors))


def quality_rows(model: VertebraShapeModel, atlas: Atlas, seed: int) -> list[dict]:
    """Compactness and specificity per level at 14, 30 and all modes, as rows of a CSV."""
    rows = []
    cumulative = compactness(model)
    for level, name in enumerate(LEVELS):
        for modes in sorted({m for m in (1, 14, 30, model.n_modes) if m <= model.n_modes}):
            row = {"level": name, "subject": "", "modes": modes, "mean_mm": "", "p95_mm": ""}
            rows.append({"measure": "compactness", **row, "value": f"{cumulative[level, modes - 1]:.3f}"})
            if len(atlas.deviations_mm):
                value = f"{specificity(model, atlas, level, modes, seed=seed):.3f}"
                rows.append({"measure": "specificity_rms_mm", **row, "value": value})
    return rows
