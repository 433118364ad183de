"""Reliability of confidences: how often what is held probable comes true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

RELIABILITY_BINS = 10  # of equal width, in [0, 1]


@dataclass(frozen=True)
class Reliability:
    """Confidence against truth in ten bins of equal width; empty bins are left out.

    Args:
        confidence: [K] mean confidence of a bin.
        frequency: [K] share of its members that came true.
        counts: [K] members.
    """

    confidence: np.ndarray
    frequency: np.ndarray
    counts: np.ndarray

    @property
    def expected_error(self) -> float:
        """Expected calibration error: mean of |confidence - frequency| over all members."""
        return float((self.counts * np.abs(self.confidence - self.frequency)).sum() / max(1, self.counts.sum()))


def reliability(confidence: np.ndarray, outcomes: np.ndarray) -> Reliability:
    """The reliability of confidences [N] in [0, 1] for outcomes [N] (bool)."""
    confidence, outcomes = np.asarray(confidence, float), np.asarray(outcomes, float)
    bins = np.minimum((confidence * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    members = [bins == k for k in range(RELIABILITY_BINS) if np.any(bins == k)]
    return Reliability(
        confidence=np.array([confidence[m].mean() for m in members]),
        frequency=np.array([outcomes[m].mean() for m in members]),
        counts=np.array([int(m.sum()) for m in members]),
    )


def save_diagram(curves: Mapping[str, Reliability], radius_mm: float, output: str | Path) -> None:
    """Draws the curves, one panel each, with the share of landmarks in each bin below; needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.1 * len(curves), 3.6), layout="constrained")
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for panel, (name, curve) in zip(panels, curves.items(), strict=True):
        panel.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        panel.bar(curve.confidence, curve.counts / curve.counts.sum(), width=0.08, color="0.85")
        panel.plot(curve.confidence, curve.frequency, marker="o", color="tab:blue")
        panel.set(title=f"{name}\ncalibration error {curve.expected_error:.3f}", xlim=(0, 1), ylim=(0, 1))
        panel.set_xlabel("confidence")
    panels[0].set_ylabel(f"error below {radius_mm:g} mm\n(grey: share of landmarks)")
    figure.savefig(output, dpi=110)
