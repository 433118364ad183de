"""Closest-point matching that respects normals: the search runs in six dimensions, position and scaled normal.

A match on the far side of a thin process or across the vertebral canal has an opposite normal and is therefore far
away in this space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

_COMPATIBLE_COSINE = 0.3  # of the normals of matching points, 73 deg: opposite walls of a lamina never match


@dataclass(frozen=True)
class Matches:
    """Answers of a matcher for N query points.

    Args:
        index: [N] matched points of the searched cloud.
        distance_mm: [N] distance in position only.
        is_valid: [N] False where normals disagree or the match lies on a cut area.
    """

    index: np.ndarray
    distance_mm: np.ndarray
    is_valid: np.ndarray


class Matcher:
    """Searches one oriented point cloud.

    Args:
        points_mm: [P, 3] positions.
        normals: [P, 3] unit outward normals.
        normal_weight_mm: how many mm of distance a turn of the normal by 60 degrees is worth.
        is_cut: [P] points that are not bone surface: matches with them are invalid.
    """

    def __init__(
        self, points_mm: np.ndarray, normals: np.ndarray, normal_weight_mm: float, is_cut: np.ndarray | None = None
    ) -> None:
        self.points_mm = points_mm
        self.normals = normals
        self.is_cut = np.zeros(len(points_mm), dtype=bool) if is_cut is None else is_cut
        self._weight = normal_weight_mm
        self._tree = cKDTree(np.concatenate([points_mm, normal_weight_mm * normals], axis=1))

    def query(self, points_mm: np.ndarray, normals: np.ndarray) -> Matches:
        """Matches oriented query points [N, 3] with their normals [N, 3]."""
        _, index = self._tree.query(np.concatenate([points_mm, self._weight * normals], axis=1))
        cosine = (normals * self.normals[index]).sum(axis=1)
        distance = np.linalg.norm(points_mm - self.points_mm[index], axis=1)
        return Matches(index, distance, (cosine > _COMPATIBLE_COSINE) & ~self.is_cut[index])


def trim(matches: Matches, keep_fraction: float) -> np.ndarray:
    """[N] mask of the valid matches without the most distant ones (trimmed ICP, Chetverikov 2005).

    Args:
        matches: matches of a query.
        keep_fraction: part of the valid matches to keep, in (0, 1].
    """
    if not matches.is_valid.any():
        return matches.is_valid
    limit = np.quantile(matches.distance_mm[matches.is_valid], keep_fraction)
    return matches.is_valid & (matches.distance_mm <= limit)
