"""Level means and pooled real deviations from a few registered shapes per level.

With about six real shapes a level, no level has enough modes of its own. Correspondence is shared by all levels, so
how a real L2 differs from the mean L2 is a plausible difference of an L3 too: every training subject contributes its
deviation to every level, its own where it has one, else that of its nearest level, weakened by the distance. Size is
taken out first and modelled apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import fit_rigid
from lumbar_ext.shape.correspondence.cohort_registration import RegisteredShape
from lumbar_ext.shape.correspondence.mirror import MirrorMap
from lumbar_ext.shape.model.alignment import generalized_procrustes
from lumbar_ext.shape.model.reference import Reference

_BORROWED_FACTOR = (1.0, 0.9, 0.75, 0.6, 0.5)
"""Strength of a deviation borrowed from 0, 1, 2, 3, 4 levels away."""


@dataclass(frozen=True)
class LevelStatistics:
    """What is known of real shapes.

    Args:
        means_mm: [5, V, 3] level means in vertebra frames, of the size of the size subject.
        deviations_mm: [N, 5, V, 3] size-free deviations of N training subjects from the means.
        deviation_names: N subject names.
    """

    means_mm: np.ndarray
    deviations_mm: np.ndarray
    deviation_names: tuple[str, ...]


def level_statistics(
    shapes: list[RegisteredShape], reference: Reference, size_subject: str | None, mirror: MirrorMap | None = None
) -> LevelStatistics:
    """Means and deviations of the training shapes.

    Args:
        shapes: registered training shapes in vertebra frames.
        reference: the shared topology.
        size_subject: the subject that sets the size of the means; of its own it gives no deviation, being an average.
            None for the mean size of all subjects.
        mirror: makes the means symmetric, so that a few lopsided shapes do not tilt a whole population.

    Raises:
        InputError: if a level has no training shape of positive weight.
    """
    used = [s for s in shapes if s.shape.weight > 0]
    for level, name in enumerate(LEVELS):
        if not any(s.shape.level_index == level for s in used):
            raise InputError(f"the training shapes hold no {name} of positive weight: every level needs one")
    sizes = _subject_log_sizes(used, size_subject)
    means = np.stack([_level_mean(used, sizes, reference, level) for level in range(len(LEVELS))])
    if mirror is not None:
        means = np.stack([_symmetric(mean, mirror, reference) for mean in means])
    own: dict[str, dict[int, np.ndarray]] = {}
    for s in used:
        if s.shape.subject != size_subject:
            deviation = size_free_deviation(s.vertices_mm, means[s.shape.level_index])
            own.setdefault(s.shape.subject, {})[s.shape.level_index] = min(1.0, np.sqrt(s.shape.weight)) * deviation
    names = tuple(own)
    deviations = np.stack([spread_over_levels(own[name]) for name in names]) if names else np.zeros((0, *means.shape))
    return LevelStatistics(means, deviations, names)


def size_free_deviation(vertices_mm: np.ndarray, mean_mm: np.ndarray) -> np.ndarray:
    """Deviation [V, 3] of a shape from a mean after rigid alignment, without its component along a change of size."""
    deviation = fit_rigid(vertices_mm, mean_mm).apply(vertices_mm) - mean_mm
    growth = mean_mm - mean_mm.mean(axis=0)
    return deviation - (deviation * growth).sum() / (growth**2).sum() * growth


def spread_over_levels(own: dict[int, np.ndarray]) -> np.ndarray:
    """Deviations [5, V, 3] of a subject known at some levels: other levels borrow from the nearest.

    Args:
        own: deviation [V, 3] by level index.
    """
    rows = []
    for level in range(len(LEVELS)):
        nearest = min(own, key=lambda known: abs(known - level))
        rows.append(_BORROWED_FACTOR[abs(nearest - level)] * own[nearest])
    return np.stack(rows)


def complete_subject(shapes: list[RegisteredShape], statistics: LevelStatistics, reference: Reference) -> np.ndarray:
    """All five levels [5, V, 3] of one real subject; levels it lacks or that weigh zero are the mean plus borrowed
    deviations.

    Args:
        shapes: the subject's registered shapes.
        statistics: means of the training shapes.
        reference: the shared topology.
    """
    # A subject of no weight at all was left out of the statistics as a whole, not for broken levels.
    used = [s for s in shapes if s.shape.weight > 0 or s.shape.split == "test"] or shapes
    real = {s.shape.level_index: s.vertices_mm for s in used}
    own = {level: size_free_deviation(v, statistics.means_mm[level]) for level, v in real.items()}
    size = float(np.mean([_log_size(v) - _log_size(statistics.means_mm[level]) for level, v in real.items()]))
    filled = statistics.means_mm * np.exp(size) + spread_over_levels(own)
    return np.stack([real[i] if i in real else reference.in_vertebra_frame(filled[i]) for i in range(len(LEVELS))])


def _log_size(vertices_mm: np.ndarray) -> float:
    """Log of the root mean square distance of the vertices from their centroid (centroid size)."""
    return float(np.log(np.sqrt(((vertices_mm - vertices_mm.mean(axis=0)) ** 2).sum(axis=1).mean())))


def _subject_log_sizes(shapes: list[RegisteredShape], size_subject: str | None) -> dict[str, float]:
    """Log size of each subject relative to the size subject, or to the mean of all where there is none, from
    `log size = level effect + subject effect` by least squares.

    The level effects make subjects comparable that were seen at different levels.
    """
    subjects = sorted({s.shape.subject for s in shapes})
    design = np.zeros((len(shapes) + 1, len(LEVELS) + len(subjects)))
    sizes = np.zeros(len(shapes) + 1)
    for row, s in enumerate(shapes):
        weight = np.sqrt(s.shape.weight)
        design[row, s.shape.level_index] = design[row, len(LEVELS) + subjects.index(s.shape.subject)] = weight
        sizes[row] = weight * _log_size(s.vertices_mm)
    # The last row fixes what the rest leaves open: who has size zero.
    fixed = subjects.index(size_subject) if size_subject in subjects else slice(None)
    design[-1, len(LEVELS) :][fixed] = 1e3
    solution = np.linalg.lstsq(design, sizes, rcond=None)[0]
    return dict(zip(subjects, solution[len(LEVELS) :], strict=True))


def _level_mean(shapes: list[RegisteredShape], sizes: dict[str, float], reference: Reference, level: int) -> np.ndarray:
    """Weighted mean [V, 3] of the shapes of a level, each brought to the common size, in its vertebra frame."""
    here = [s for s in shapes if s.shape.level_index == level]
    scaled = np.stack([s.vertices_mm * np.exp(-sizes[s.shape.subject]) for s in here])
    weights = np.array([s.shape.weight for s in here])
    aligned = generalized_procrustes(scaled).shapes_mm
    return reference.in_vertebra_frame(np.einsum("n,nvc->vc", weights / weights.sum(), aligned))


def _symmetric(mean_mm: np.ndarray, mirror: MirrorMap, reference: Reference) -> np.ndarray:
    """The mean [V, 3] of a shape and its mirror image, in its vertebra frame."""
    both = generalized_procrustes(np.stack([mean_mm, mirror.apply(mean_mm)]))
    return reference.in_vertebra_frame(both.mean_mm)
