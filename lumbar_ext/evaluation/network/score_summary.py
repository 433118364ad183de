"""Many evaluated views to the numbers of the paper's tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lumbar_ext.evaluation.network.evaluated_view import EvaluatedView
from lumbar_ext.metrics.landmark_scores import LANDMARK_GROUPS, SDR_RADII_MM, mean_of_known, success_detection_rate

NORMAL = "no finding"


@dataclass(frozen=True)
class Summary:
    """Means over views; landmark numbers are pooled over all landmarks, vertebra rates over all vertebrae.

    Args:
        views: number of views.
        dice, psnr_db, ssim: whole image, as the paper has them.
        bone_psnr_db, bone_ssim: at pixels of true bone.
        error_mm: mean landmark error by type and "total"; missed vertebrae do not count.
        sdr: success detection rate by type and "total", at 2, 4 and 6 mm; missed landmarks are failures.
        missed: missed over true vertebrae.
        wrong: wrongly named or invented over reported vertebrae.
        miscounted: share of views that report another number of vertebrae than there are.
    """

    views: int
    dice: float
    psnr_db: float
    ssim: float
    bone_psnr_db: float
    bone_ssim: float
    error_mm: dict[str, float]
    sdr: dict[str, tuple[float, ...]]
    missed: float
    wrong: float
    miscounted: float


def summarise(views: Sequence[EvaluatedView]) -> Summary:
    """The summary of at least one view."""
    scores = [view.measured.scores for view in views]
    levels = [view.measured.levels for view in views]
    errors = np.stack([level.error_mm for level in levels])
    visible = np.stack([level.visible for level in levels])
    groups = {**LANDMARK_GROUPS, "total": tuple(range(errors.shape[-1]))}
    images = ("dice", "psnr_db", "ssim", "bone_psnr_db", "bone_ssim")
    present, seen, wrong = (
        np.stack([getattr(level, name) for level in levels]) for name in ("present", "seen", "wrong")
    )
    return Summary(
        views=len(views),
        **{name: _finite_mean([getattr(score, name) for score in scores]) for name in images},
        error_mm={name: mean_of_known(errors[..., columns]) for name, columns in groups.items()},
        sdr={name: _rates(errors[..., columns], visible[..., columns]) for name, columns in groups.items()},
        missed=float((present & ~seen).sum() / max(1, present.sum())),
        wrong=float(wrong.sum() / max(1, seen.sum())),
        miscounted=float(np.mean([score.miscounted for score in scores])),
    )


def _finite_mean(values: list[float]) -> float:
    return mean_of_known(np.where(np.isfinite(values), values, np.nan))


def _rates(errors: np.ndarray, visible: np.ndarray) -> tuple[float, ...]:
    return tuple(success_detection_rate(errors[visible], radius) for radius in SDR_RADII_MM)


def by_set(views: Sequence[EvaluatedView]) -> dict[str, list[EvaluatedView]]:
    """The views of each set, in the order in which the sets appear."""
    groups: dict[str, list[EvaluatedView]] = {}
    for view in views:
        groups.setdefault(view.set_name, []).append(view)
    return groups


def by_finding(views: Sequence[EvaluatedView]) -> dict[str, list[EvaluatedView]]:
    """The views with each finding, those without first; a view with two findings stands in both groups."""
    groups: dict[str, list[EvaluatedView]] = {NORMAL: []}
    for view in views:
        for finding in view.findings or (NORMAL,):
            groups.setdefault(finding, []).append(view)
    return {name: members for name, members in groups.items() if members}


def of_view(views: Sequence[EvaluatedView], name: str) -> list[EvaluatedView]:
    """Those of the views that are `name`: "ap" or "lat"."""
    return [view for view in views if view.view == name]
