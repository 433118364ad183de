"""How far the quality grades can be trusted: the study's grades beside true errors, on several sets of studies.

    lumbar-ext check-grades "{'plain': 'a/vertebra_quality.csv', 'findings': 'b/vertebra_quality.csv'}" --picture grades.png

The tables are written by the measurement study, see `evaluation.measurement_study`. A grade means something where vertebrae
that are graded good are nearly all right and those that are wrong are nearly all doubted.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.measurement_study import QUALITY_COLUMNS
from lumbar_ext.measurements.uncertainty.grade import CHECK, Grade

GOOD_ERROR_MM = 1.0
"""Mean distance to the truth below which a vertebra should be that is graded good."""
LARGE_ERROR_MM = 2.0
"""Mean distance to the truth from which on a vertebra's quality grade should raise a doubt."""

_SIGNS = {
    "residual": "difference to the decomposition",
    "gap_mm": "gap of landmark rays",
    "bound_hits": "parameters at bounds",
    "vertex_sd_mm": "uncertainty of the surface",
    "look": "difference to the second look",
}
_TRIED = {
    "residual": (0.03, 0.035, 0.04, 0.045, 0.05, 0.06, 0.07),
    "look": (np.inf, 0.06),
    "vertex_sd_mm": (4.0, 6.0),
}
"""Limits for "check" around today's, by sign; infinity is none."""

_BINS = 6  # of a reliability plot, with equal numbers of vertebrae
_NORMAL_95 = 1.96  # half width of the central 95 % of a standard normal distribution


@dataclass(frozen=True)
class GradedRow:
    """A vertebra of a study.

    Args:
        study, level: which.
        grade: as the report states it.
        error_mm: mean distance to the truth; NaN for one that was not found.
        doubts: how many reasons the report gives for its grade.
        signs: by column, NaN where unknown.
    """

    study: str
    level: str
    grade: Grade
    error_mm: float
    doubts: int
    signs: dict[str, float]

    @property
    def found(self) -> bool:
        """Whether there is a mesh."""
        return bool(np.isfinite(self.error_mm))


def check_grades(sets: dict[str, str], picture: str | None = None, *, limits: bool = False) -> None:
    """Prints how grades and true errors go together on each set, and draws how reliable they are.

    Args:
        sets: by name, a study's `vertebra_quality.csv`.
        picture: PNG file for the plot; none by default.
        limits: print what other limits would have done, too; of validation sets, to choose them.

    Raises:
        InputError: if a file cannot be used.
    """
    graded = read_graded(sets)
    print(grade_table(graded))
    print(f"\n{sign_table(graded)}")
    if limits:
        print(f"\n{limits_table(graded)}")
    if picture:
        _draw(picture, graded)


def read_graded(sets: Mapping[str, str | Path]) -> dict[str, list[GradedRow]]:
    """The vertebrae of each set.

    Raises:
        InputError: if there is no set, or a file is missing, of another kind or empty.
    """
    if not sets:
        raise InputError("sets: expected at least one name with its vertebra_quality.csv, found none")
    return {name: _read(path) for name, path in sets.items()}


def _read(path: str | Path) -> list[GradedRow]:
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        found = [
            GradedRow(
                row["study"],
                row["level"],
                Grade(row["grade"]),
                float(row["error_mm"] or "nan"),
                int(row["doubts"]),
                {name: float(row[name] or "nan") for name in _SIGNS},
            )
            for row in rows
        ]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{path}: {error}; expected the vertebra_quality.csv of a measurement study with the columns "
            f"{', '.join(QUALITY_COLUMNS)}"
        ) from error
    if not found:
        raise InputError(f"{path}: holds no vertebra")
    return found


def grade_table(sets: Mapping[str, Sequence[GradedRow]]) -> str:
    """A Markdown table, a row a set: are the good ones good, are the wrong ones doubted, what does the doubt cost?"""
    lines = [
        f"| set | vertebrae | not found | graded good | good and below {GOOD_ERROR_MM:g} mm | good and below 1.5 mm | "
        f"above {LARGE_ERROR_MM:g} mm and not good | up to {LARGE_ERROR_MM:g} mm and doubted | "
        "mean error: good / check / failed, mm |",
        "|---" * 9 + "|",
    ]
    everything = {**sets, "all": [row for own in sets.values() for row in own]} if len(sets) > 1 else sets
    for name, rows in everything.items():
        found = [row for row in rows if row.found]
        good = [row for row in found if row.grade is Grade.GOOD]
        wrong = [row for row in found if row.error_mm > LARGE_ERROR_MM]
        right = [row for row in found if row.error_mm <= LARGE_ERROR_MM]
        means = [[row.error_mm for row in found if row.grade is grade] for grade in Grade]
        cells = [
            str(len(rows)),
            str(len(rows) - len(found)),
            _share(len(good), len(found)),
            _share(sum(row.error_mm < GOOD_ERROR_MM for row in good), len(good)),
            _share(sum(row.error_mm < 1.5 for row in good), len(good)),
            _share(sum(row.grade is not Grade.GOOD for row in wrong), len(wrong)),
            _share(sum(row.grade is not Grade.GOOD for row in right), len(right)),
            " / ".join(f"{np.mean(own):.2f}" if own else "-" for own in means),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole}" + (f" ({part / whole:.0%})" if whole else "")


def sign_table(sets: Mapping[str, Sequence[GradedRow]]) -> str:
    """A Markdown table of the rank correlation (Spearman) of every sign with the true error."""
    lines = [f"| set | {' | '.join(_SIGNS.values())} |", "|---" * (len(_SIGNS) + 1) + "|"]
    for name, rows in sets.items():
        errors = np.array([row.error_mm for row in rows])
        values = [rank_correlation(np.array([row.signs[sign] for row in rows]), errors) for sign in _SIGNS]
        cells = ["" if np.isnan(value) else f"{value:.2f}" for value in values]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's, of the pairs that are known; NaN where fewer than three are, or one of both does not vary."""
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < 3 or np.ptp(a[known]) == 0 or np.ptp(b[known]) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(a[known]), rankdata(b[known]))[0, 1])


def limits_table(sets: Mapping[str, Sequence[GradedRow]]) -> str:
    """What other limits for "check" would have done on all sets together, by rows; "none" is no limit.

    Signs other than these keep their part in the grade.
    """
    lines = [
        f"| {', '.join(_SIGNS[sign] for sign in _TRIED)} | graded good | good and below {GOOD_ERROR_MM:g} mm | "
        f"above {LARGE_ERROR_MM:g} mm and not good |",
        "|---" * 4 + "|",
    ]
    for values in product(*_TRIED.values()):
        limits = dict(zip(_TRIED, values, strict=True))
        found = [_regraded(row, limits) for own in sets.values() for row in own if row.found]
        good = [row for row in found if row.grade is Grade.GOOD]
        wrong = [row for row in found if row.error_mm > LARGE_ERROR_MM]
        cells = [
            ", ".join("none" if np.isinf(value) else f"{value:g}" for value in values),
            _share(len(good), len(found)),
            _share(sum(row.error_mm < GOOD_ERROR_MM for row in good), len(good)),
            _share(sum(row.grade is not Grade.GOOD for row in wrong), len(wrong)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _regraded(row: GradedRow, limits: Mapping[str, float]) -> GradedRow:
    """The row under other limits for "check"; what has failed stays failed, and what is doubted for another reason doubted."""
    today = {sign: getattr(CHECK, sign, np.inf) for sign in limits}
    others = row.doubts - sum(row.signs[sign] >= limit for sign, limit in today.items())
    doubted = others > 0 or any(row.signs[sign] >= limit for sign, limit in limits.items())
    return row if row.grade is Grade.FAILED else replace(row, grade=Grade.CHECK if doubted else Grade.GOOD)


def _draw(picture: str, sets: Mapping[str, Sequence[GradedRow]]) -> None:
    """Left, the true errors by grade and set; right, how the share of small and of large errors follows the difference to the
    decomposition, with 95 % intervals (Wilson)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
    colours = {Grade.GOOD: "#009E73", Grade.CHECK: "#E69F00", Grade.FAILED: "#D55E00"}
    rng = np.random.default_rng(0)
    for place, rows in enumerate(sets.values()):
        for shift, (grade, colour) in zip((-0.25, 0.0, 0.25), colours.items(), strict=True):
            errors = np.array([row.error_mm for row in rows if row.found and row.grade is grade])
            places = place + shift + rng.uniform(-0.08, 0.08, len(errors))
            left.plot(places, errors, ".", color=colour, markersize=4, label=str(grade) if place == 0 else None)
    for limit in (GOOD_ERROR_MM, LARGE_ERROR_MM):
        left.axhline(limit, color="0.6", linestyle="--", linewidth=0.8)
    left.set_xticks(range(len(sets)), list(sets), rotation=20, ha="right")
    left.set(ylabel="mean distance to the truth, mm", ylim=(0, None))
    left.legend(title="graded", loc="upper left")
    rows = sorted((row for own in sets.values() for row in own if row.found), key=lambda row: row.signs["residual"])
    rows = [row for row in rows if np.isfinite(row.signs["residual"])]
    for title, colour, marker, count in (
        (f"below {GOOD_ERROR_MM:g} mm", "#0072B2", "o", lambda row: row.error_mm < GOOD_ERROR_MM),
        (f"above {LARGE_ERROR_MM:g} mm", "#D55E00", "s", lambda row: row.error_mm > LARGE_ERROR_MM),
    ):
        parts = [part for part in np.array_split(np.arange(len(rows)), min(_BINS, len(rows))) if len(part)]
        middles = [np.median([rows[i].signs["residual"] for i in part]) for part in parts]
        shares = np.array([np.mean([count(rows[i]) for i in part]) for part in parts])
        low, high = wilson(shares, np.array([len(part) for part in parts]))
        spread = np.clip([shares - low, high - shares], 0, None)
        right.errorbar(middles, shares, yerr=spread, color=colour, marker=marker, capsize=3, label=title)
    right.axvline(CHECK.residual, color="0.6", linestyle="--", linewidth=0.8, label="limit for check")
    right.set(xlabel="difference to the decomposition", ylabel="share of vertebrae, all sets", ylim=(-0.03, 1.03))
    right.legend(loc="center right")
    figure.savefig(picture, dpi=110)
    plt.close(figure)


def wilson(shares: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 95 % interval of shares [n] of counts [n] (Wilson, J Am Stat Assoc 1927;22:209)."""
    square = _NORMAL_95**2 / counts
    middle = shares + square / 2
    half = np.sqrt(square * (shares * (1 - shares) + square / 4))
    return (middle - half) / (1 + square), (middle + half) / (1 + square)
