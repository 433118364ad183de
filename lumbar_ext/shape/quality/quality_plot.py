"""Plots of a model's scree, compactness, generality and specificity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import LEVELS

_SIZE_INCH = (6.4, 4.2)  # width and height of a plot
_PAPER_MODES = 14  # modes that the paper's registration uses


def plot_quality(folder: Path, scree: Sequence[dict], quality: Sequence[dict]) -> list[Path]:
    """Draws what there is to draw.

    Args:
        folder: where `scree.png`, `compactness.png`, `generality.png` and `specificity.png` go.
        scree: rows of `quality_table.scree_rows`.
        quality: rows of `quality_table.generality_rows` and `specificity_rows`; may be empty.

    Returns:
        The files written.
    """
    files = [
        _lines(folder / "scree.png", "variance of the mode, mm² a vertex", _by_level(scree, "variance_mm2"), log=True),
        _lines(folder / "compactness.png", "part of the stored variance", _by_level(scree, "cumulative")),
    ]
    generality = {
        f"{kind.replace('_', ' ')}, {fit} fit": _mean_curve(quality, f"generality_{kind}", fit)
        for kind in ("held_out", "leave_one_out")
        for fit in ("surface", "correspondence")
    }
    specificity = {level: _level_curve(quality, "specificity_rms", level) for level in LEVELS}
    for name, label, curves in (
        ("generality.png", "mean surface distance, mm", generality),
        ("specificity.png", "distance to the nearest real shape, mm RMS", specificity),
    ):
        curves = {key: curve for key, curve in curves.items() if len(curve)}
        if curves:
            files.append(_lines(folder / name, label, curves, marker="o"))
    return files


def _by_level(rows: Sequence[dict], value: str) -> dict[str, np.ndarray]:
    """[K, 2] mode and value of each level."""
    return {
        level: np.array([(float(r["mode"]), float(r[value])) for r in rows if r["level"] == level]) for level in LEVELS
    }


def _mean_curve(rows: Sequence[dict], measure: str, fit: str) -> np.ndarray:
    """[C, 2] number of modes and mean over all shapes."""
    found = [r for r in rows if r["measure"] == measure and r["fit"] == fit]
    counts = sorted({int(r["modes"]) for r in found})
    return np.array([(c, np.mean([float(r["mean_mm"]) for r in found if int(r["modes"]) == c])) for c in counts])


def _level_curve(rows: Sequence[dict], measure: str, level: str) -> np.ndarray:
    found = [r for r in rows if r["measure"] == measure and r["level"] == level]
    return np.array(sorted((int(r["modes"]), float(r["mean_mm"])) for r in found))


def _lines(path: Path, label: str, curves: dict[str, np.ndarray], *, log: bool = False, marker: str = "") -> Path:
    """One line a curve [., 2] over the number of modes, with the paper's 14 marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_INCH, layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        axes.plot(curve[:, 0], curve[:, 1], marker=marker, markersize=4, label=name)
    axes.axvline(_PAPER_MODES, color="grey", linewidth=0.8, linestyle=":")
    axes.set_xlabel("modes (dotted: the 14 of Yu et al.)")
    axes.set_ylabel(label)
    if log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=110)
    return path
