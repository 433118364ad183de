"""A grade for each vertebra: is its reconstruction good, should it be checked, or has it failed?

Four signs, each against a limit for "check" and one for "failed"; the worst decides. Vertebrae between which an angle was
measured that nobody has have failed (`without_impossible`). What the registration itself warned about is at least to be
checked: this is the only judge of a vertebra. The limits were chosen on simulated validation studies; how many errors of more
than 2 mm they catch is printed by `evaluation.grade_tables` and stated in the bundle's `docs/measurements.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.landmarks.triangulated import Landmarks3D
from lumbar_ext.measurements.values.definitions import BY_ID
from lumbar_ext.measurements.values.reference_ranges import possible_range
from lumbar_ext.registration.parameters import Bounds
from lumbar_ext.registration.result import VertebraFit


class Grade(StrEnum):
    """How far a reconstructed vertebra can be relied on."""

    GOOD = "good"
    CHECK = "check"
    FAILED = "failed"


@dataclass(frozen=True)
class Limits:
    """Values from which on a sign counts.

    Args:
        residual: mean absolute difference of prediction and decomposition over the silhouette, the worse view.
        gap_mm: median distance of the rays of the two views over the vertebra's landmarks.
        bound_hits: parameters that stand on their bounds.
        vertex_sd_mm: mean calibrated standard deviation of a vertex along its normal.
    """

    residual: float
    gap_mm: float
    bound_hits: int
    vertex_sd_mm: float


CHECK = Limits(residual=0.06, gap_mm=3.5, bound_hits=2, vertex_sd_mm=4.0)
FAILED = Limits(residual=0.16, gap_mm=12.0, bound_hits=8, vertex_sd_mm=8.0)


@dataclass(frozen=True)
class Quality:
    """The grade of a vertebra and what it rests on; signs are None where they cannot be had.

    Args:
        grade: the worst of the signs.
        residual, gap_mm, bound_hits, vertex_sd_mm: see `Limits`.
        reasons: the signs that are beyond a limit, each a phrase.
    """

    grade: Grade
    residual: float | None
    gap_mm: float | None
    bound_hits: int | None
    vertex_sd_mm: float | None
    reasons: tuple[str, ...]


def vertebra_quality(
    fit: VertebraFit, landmarks: Landmarks3D | None, vertex_sd_mm: np.ndarray | None, bounds: Bounds | None = None
) -> Quality:
    """Grades a registered vertebra.

    Args:
        fit: the registered vertebra.
        landmarks: the triangulated landmarks it started from.
        vertex_sd_mm: [V] calibrated; None where unknown.
        bounds: of the registration, the defaults if omitted.
    """
    residual = float(np.nanmax(list(fit.loss.values()))) if fit.loss else None
    gap = None
    if landmarks is not None:
        gaps = landmarks.gap_mm[LEVELS.index(fit.level)]
        gap = float(np.nanmedian(gaps)) if np.isfinite(gaps).any() else None
    deviation = None if vertex_sd_mm is None else float(np.mean(vertex_sd_mm))
    return graded(residual, gap, bound_hits(fit, bounds or Bounds()), deviation, fit.warnings)


def missing_quality(reason: str) -> Quality:
    """The quality of a vertebra that was not reconstructed."""
    return Quality(Grade.FAILED, None, None, None, None, (reason,))


def graded(
    residual: float | None, gap_mm: float | None, hits: int, vertex_sd_mm: float | None, doubts: tuple[str, ...] = ()
) -> Quality:
    """The quality of signs; doubts are what the registration warned about."""
    signs = (
        (residual, CHECK.residual, FAILED.residual, "differs from the decomposition by {:.2f} over its silhouette"),
        (gap_mm, CHECK.gap_mm, FAILED.gap_mm, "the landmarks of the two views pass {:.1f} mm apart"),
        (hits, CHECK.bound_hits, FAILED.bound_hits, "{:.0f} parameters stand on their bounds"),
        (vertex_sd_mm, CHECK.vertex_sd_mm, FAILED.vertex_sd_mm, "its surface is uncertain by {:.1f} mm"),
    )
    known = [sign for sign in signs if sign[0] is not None and np.isfinite(sign[0])]
    reasons = (*(text.format(value) for value, check, _, text in known if value >= check), *doubts)
    failed = any(value >= limit for value, _, limit, _ in known)
    grade = Grade.FAILED if failed else Grade.CHECK if reasons else Grade.GOOD
    return Quality(grade, residual, gap_mm, hits, vertex_sd_mm, reasons)


def without_impossible(quality: Mapping[str, Quality], found: Mapping[tuple[str, str], float]) -> dict[str, Quality]:
    """The same, but the vertebrae between which nobody has the angle that was measured have failed.

    Args:
        quality: by level.
        found: values by subject, such as "L1-L5", and definition.
    """
    graded_anew = dict(quality)
    for (subject, name), value in found.items():
        possible = possible_range(name, subject)
        if possible is None or possible.reached_by(value, value):
            continue
        title = BY_ID[name].title
        reason = f"{title} would be {value:.0f} deg, people have {possible.low:g} to {possible.high:g}"
        upper, lower = (LEVELS.index(level) for level in subject.split("-"))
        for level in LEVELS[upper : lower + 1]:
            own = graded_anew[level]
            graded_anew[level] = replace(own, grade=Grade.FAILED, reasons=(*own.reasons, reason))
    return graded_anew


def bound_hits(fit: VertebraFit, bounds: Bounds) -> int:
    """How many parameters of a vertebra's pose and shape model stand on their bounds.

    Free-form coefficients do not count: they take up what the shape model lacks, and more of it the better the pictures are
    fitted. On the sample study, seven to seventeen of them a vertebra stand on their bounds after two second looks, which bring
    the mean error from 1.27 to 1.18 mm.
    """
    return int(bounds.reached(np.concatenate([fit.pose, fit.coefficients])).sum())
