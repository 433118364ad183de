"""Scree, compactness, generality and specificity of a model as rows of tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from tqdm import tqdm

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.shape.correspondence.cohort_registration import RegisteredShape
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.shape.population.atlas import Atlas
from lumbar_ext.shape.quality.measures import FITS, best_instance, compactness, specificity, symmetric_distance

STATED_MODES = (14, 30)
"""Numbers of modes that tables state beside all of them; 14 is the paper's."""


def mode_counts(model: VertebraShapeModel, counts: Iterable[int] = STATED_MODES) -> list[int]:
    """The counts a model has, and all its modes."""
    return sorted({c for c in counts if c < model.n_modes} | {model.n_modes})


def scree_rows(model: VertebraShapeModel) -> list[dict]:
    """Variance of every mode and level: per vertex, and as a part of the variance of all stored modes."""
    cumulative = compactness(model)
    variance = model.standard_deviations.double().numpy() ** 2
    per_vertex = variance / model.mean.shape[1]
    return [
        {
            "level": name,
            "mode": mode + 1,
            "variance_mm2": f"{per_vertex[level, mode]:.6f}",
            "fraction": f"{variance[level, mode] / variance[level].sum():.5f}",
            "cumulative": f"{cumulative[level, mode]:.5f}",
        }
        for level, name in enumerate(LEVELS)
        for mode in range(model.n_modes)
    ]


def generality_rows(kind: str, model: VertebraShapeModel, shapes: Sequence[RegisteredShape]) -> list[dict]:
    """Distance of real shapes that the model has not seen to their best instances, by both fits.

    Args:
        kind: "held_out" or "leave_one_out".
        model: the model.
        shapes: registered shapes.
    """
    rows = []
    triangles = model.triangles.numpy()
    for s in tqdm(shapes, desc=f"generality, {kind.replace('_', ' ')}", unit="shape", disable=None, leave=False):
        target = Surface(s.vertices_mm, triangles)
        for modes in mode_counts(model):
            for fit in FITS:
                instance = best_instance(model, s.vertices_mm, s.shape.level_index, modes, fit)
                error = symmetric_distance(Surface(instance, triangles), target)
                rows.append(
                    {
                        "measure": f"generality_{kind}",
                        "level": s.shape.level,
                        "subject": s.shape.subject,
                        "modes": modes,
                        "fit": fit,
                        "mean_mm": f"{error.mean_mm:.3f}",
                        "p95_mm": f"{error.p95_mm:.3f}",
                    }
                )
    return rows


def specificity_rows(model: VertebraShapeModel, atlas: Atlas, seed: int) -> list[dict]:
    """RMS distance of random instances to the nearest real shape; empty without real deviations."""
    if len(atlas.deviations_mm) == 0:
        return []
    return [
        {
            "measure": "specificity_rms",
            "level": name,
            "subject": "",
            "modes": modes,
            "fit": "",
            "mean_mm": f"{specificity(model, atlas, level, modes, seed=seed):.3f}",
            "p95_mm": "",
        }
        for level, name in enumerate(LEVELS)
        for modes in mode_counts(model, (1, 5, *STATED_MODES, 45))
    ]


def summary_rows(rows: Sequence[dict]) -> list[dict]:
    """Mean over levels of each subject, and over all shapes, of the generality rows, for a short table."""
    table = []
    keys = sorted({(r["measure"], r["subject"], r["modes"], r["fit"]) for r in rows if r["subject"]})
    for measure, subject, modes, fit in keys:
        found = [
            r for r in rows if (r["measure"], r["subject"], r["modes"], r["fit"]) == (measure, subject, modes, fit)
        ]
        table.append(_mean_row(found, measure, subject, modes, fit))
    for measure, modes, fit in sorted({(k[0], k[2], k[3]) for k in keys}):
        found = [r for r in rows if (r["measure"], r["modes"], r["fit"]) == (measure, modes, fit)]
        table.append(_mean_row(found, measure, "all", modes, fit))
    return table


def _mean_row(rows: Sequence[dict], measure: str, subject: str, modes: int, fit: str) -> dict:
    mean, p95 = (np.mean([float(r[key]) for r in rows]) for key in ("mean_mm", "p95_mm"))
    return {
        "measure": measure,
        "subject": subject,
        "shapes": len(rows),
        "modes": modes,
        "fit": fit,
        "mean_mm": f"{mean:.3f}",
        "p95_mm": f"{p95:.3f}",
    }
