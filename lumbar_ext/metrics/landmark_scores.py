"""Agreement of predicted with true landmarks: distance by type, success detection rate, missed and wrong levels."""

from __future__ import annotations

import numpy as np

# of the paper's tables, by index in `anatomy.LANDMARKS`
LANDMARK_GROUPS = {"endplate": (0, 1), "transverse_process": (2, 3), "pedicle": (4, 5), "spinous_process": (6,)}
SDR_RADII_MM = (2.0, 4.0, 6.0)  # of the paper's success detection rates


def group_means(distances: np.ndarray) -> dict[str, float]:
    """Mean distance per landmark type from [n, 7] distances; NaN without any."""
    if not len(distances):
        return dict.fromkeys(LANDMARK_GROUPS, float("nan"))
    return {name: mean_of_known(distances[:, columns]) for name, columns in LANDMARK_GROUPS.items()}


def mean_of_known(values: np.ndarray) -> float:
    """Mean without NaN values; NaN when there is nothing else."""
    known = np.asarray(values)[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def success_detection_rate(distances_mm: np.ndarray, radius_mm: float) -> float:
    """Fraction of distances at or below `radius_mm`; NaN distances (missed landmarks) count as failures."""
    distances_mm = np.asarray(distances_mm)
    return float((distances_mm <= radius_mm).mean()) if distances_mm.size else float("nan")


def wrong_levels(
    predicted_centres: np.ndarray, predicted: np.ndarray, true_centres: np.ndarray, true: np.ndarray
) -> np.ndarray:
    """Which predicted levels lie nearer to the true centre of another level than to their own, [5] bool.

    Args:
        predicted_centres, true_centres: [5, 2], one unit.
        predicted, true: [5] bool, presence. A predicted level that is truly absent counts as wrong.
    """
    wrong = np.zeros(len(predicted), bool)
    for level in np.flatnonzero(predicted):
        distance = np.linalg.norm(np.asarray(true_centres) - np.asarray(predicted_centres)[level], axis=-1)
        distance = np.where(true, distance, np.inf)
        wrong[level] = not true[level] or np.argmin(distance) != level
    return wrong
