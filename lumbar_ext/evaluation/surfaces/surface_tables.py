"""Tables of surface errors as Markdown: the paper's Table 4 with its numbers beside, and what it does not tell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.evaluation.surfaces.regions import REGIONS
from lumbar_ext.evaluation.surfaces.surface_error import REGION_FIELDS, SurfaceError
from lumbar_ext.registration.result import DEEP_MM

_PLAIN, _WEIGHTED = "Yu et al., plain absolute error", "Yu et al., landmark-weighted"
PAPER_ROWS = {
    "mean distance": {
        _PLAIN: "0.90 ± 0.32|0.91 ± 0.30|0.91 ± 0.36|0.92 ± 0.38|1.01 ± 0.34|0.93 ± 0.34",
        _WEIGHTED: "0.79 ± 0.17|0.77 ± 0.12|0.79 ± 0.14|0.78 ± 0.13|0.88 ± 0.16|0.80 ± 0.15",
    },
    "Hausdorff distance": {
        _PLAIN: "6.15 ± 1.68|6.18 ± 1.94|6.08 ± 2.04|6.74 ± 2.27|6.99 ± 1.90|6.43 ± 2.00",
        _WEIGHTED: "5.56 ± 1.16|5.00 ± 1.07|5.29 ± 1.34|6.01 ± 1.41|5.94 ± 1.19|5.56 ± 1.29",
    },
}
"""Table 4 of Yu et al. (arXiv 2503.14573): eight people, real X-rays, mm."""


def error_tables(errors: list[SurfaceError]) -> str:
    """All tables of some errors, one group for each set of studies and kind of input; of several sets, a summary first."""
    groups = dict.fromkeys((error.set_name, error.inputs) for error in errors)
    several = len({name for name, _ in groups}) > 1
    parts = ["## All sets, simulated radiographs", _summary_table(errors)] if several else []
    for name, inputs in groups:
        own = [error for error in errors if (error.set_name, error.inputs) == (name, inputs)]
        studies = len({error.study for error in own})
        parts.append(f"## Simulated studies ({studies}), {', '.join(filter(None, (name, inputs)))}")
        parts.append(_paper_table("mean distance", own, lambda e: e.mean_mm))
        parts.append(_paper_table("Hausdorff distance", own, lambda e: e.hausdorff_mm))
        parts.append(_further_table(own))
        parts.append(_region_table(own))
        parts.append(_contact_table(own))
    return "\n\n".join(parts)


def _summary_table(errors: list[SurfaceError]) -> str:
    rows = [["set", "input", "method", "mean ± SD, mm", "median, mm", "Hausdorff, mm", "below 1 mm", "found"]]
    for key in dict.fromkeys((e.set_name, e.inputs, e.method) for e in errors):
        own = [e for e in errors if (e.set_name, e.inputs, e.method) == key]
        means = [e.mean_mm for e in own if not e.missing]
        below = sum(mean < 1 for mean in means) / len(own)
        median = f"{np.median(means):.2f}" if means else ""
        spreads = _spread([e.mean_mm for e in own]), median, _spread([e.hausdorff_mm for e in own])
        rows.append([*key, *spreads, f"{below:.0%}", f"{len(means)} of {len(own)}"])
    return _markdown(rows)


def _by_method(errors: list[SurfaceError]) -> dict[str, list[SurfaceError]]:
    return {name: [e for e in errors if e.method == name] for name in dict.fromkeys(e.method for e in errors)}


def _paper_table(title: str, errors: list[SurfaceError], value: Callable[[SurfaceError], float]) -> str:
    rows = [[f"{title}, mm", *LEVELS, "all", "found"]]
    rows += [[f"*{name} (real X-rays)*", *cells.split("|"), ""] for name, cells in PAPER_ROWS[title].items()]
    for name, own in _by_method(errors).items():
        cells = [_spread([value(e) for e in own if level in (e.level, "all")]) for level in (*LEVELS, "all")]
        found = sum(not e.missing for e in own)
        rows.append([name, *cells, f"{found} of {len(own)}"])
    return _markdown(rows)


def _further_table(errors: list[SurfaceError]) -> str:
    header = "mean of all found|median, mm|symmetric, mm|95th percentile, mm|Dice|ASD, mm|HD95, mm|NSD 1 mm"
    rows = [[*header.split("|"), "below 1 mm", "s a study"]]
    for name, own in _by_method(errors).items():
        found = [e for e in own if not e.missing]
        if not found:
            rows.append([name, *[""] * (len(rows[0]) - 1)])
            continue
        names = ("symmetric_mm", "percentile95_mm", "dice", "voxel_asd_mm", "voxel_hd95_mm", "voxel_nsd")
        means = [f"{np.mean([getattr(e, field) for e in found]):.{3 if field == 'dice' else 2}f}" for field in names]
        seconds = np.median([e.seconds for e in found])
        below = sum(e.mean_mm < 1 for e in found) / len(own)
        rows.append([name, f"{np.median([e.mean_mm for e in found]):.2f}", *means, f"{below:.0%}", f"{seconds:.1f}"])
    return _markdown(rows)


def _region_table(errors: list[SurfaceError]) -> str:
    rows = [["mean distance by region, mm", *REGIONS]]
    for name, own in _by_method(errors).items():
        rows.append([name, *(_spread([getattr(e, field) for e in own]) for field in REGION_FIELDS)])
    return _markdown(rows)


def _contact_table(errors: list[SurfaceError]) -> str:
    """Sums over the vertebrae of a spine, means over spines; the deepest of all."""
    deep = f"deeper than {DEEP_MM:g} mm, a spine"
    rows = [["neighbours", "vertices inside one, a spine", deep, "deepest, mm", "crossing triangles, a spine"]]
    for name, own in _by_method(errors).items():
        found = [e for e in own if np.isfinite(e.vertices_inside)]
        if not found:
            rows.append([name, *[""] * (len(rows[0]) - 1)])
            continue
        spines = len({e.study for e in found})
        names = ("vertices_inside", "vertices_deep", "crossing_triangles")
        inside, deep, crossing = (f"{sum(getattr(e, field) for e in found) / spines:.1f}" for field in names)
        rows.append([name, inside, deep, f"{max(e.deepest_mm for e in found):.2f}", crossing])
    return _markdown(rows)


def _spread(values: list[float]) -> str:
    known = np.array(values, dtype=float)[np.isfinite(values)]
    return f"{known.mean():.2f} ± {known.std():.2f}" if len(known) else ""


def _markdown(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])
