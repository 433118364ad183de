"""The paper's Tables 1 to 3 with our rows beside the paper's, and a fourth one on levels and findings, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.evaluation.network.evaluated_view import EvaluatedView
from lumbar_ext.evaluation.network.paper import PAPER, TYPES, PaperRow
from lumbar_ext.evaluation.network.score_summary import NORMAL, Summary, by_finding, by_set, of_view, summarise

ByView = Mapping[str, Summary | None]
_PAPER_LABEL = "*Yu et al., {name}, real X-rays*"


def paper_tables(views: Sequence[EvaluatedView], paper_rows: Sequence[str] = ("full",)) -> str:
    """All tables of an evaluation.

    Args:
        views: of one or more sets; each set becomes a row.
        paper_rows: names of `paper.PAPER` that stand beside ours.
    """
    sets = by_set(views)
    rows = {f"{name}, simulated": summaries_by_view(members) for name, members in sets.items()}
    return "\n\n".join([comparison_tables(rows, paper_rows), _table4(sets)])


def comparison_tables(rows: Mapping[str, ByView], paper_rows: Sequence[str]) -> str:
    """Tables 1, 2 and 3 for named rows of ours."""
    paper = {_PAPER_LABEL.format(name=name): PAPER[name] for name in paper_rows}
    return "\n\n".join([_table1(rows, paper), _table2(rows, paper), _table3(rows, paper)])


def summaries_by_view(views: Sequence[EvaluatedView]) -> dict[str, Summary | None]:
    """The summary of each view's members; None where there are none."""
    return {view: summarise(of_view(views, view)) if of_view(views, view) else None for view in VIEWS}


def _table1(rows: Mapping[str, ByView], paper: Mapping[str, Mapping[str, PaperRow]]) -> str:
    lines = [f"| {label} | " + " | ".join(_images(row.get)) + " | | | |" for label, row in paper.items()]
    for label, row in rows.items():
        bone = [_pair(row.get, "bone_psnr_db", ".1f"), _pair(row.get, "bone_ssim", ".3f"), _pair(row.get, "views", "d")]
        lines.append(f"| {label} | " + " | ".join([*_images(row.get), *bone]) + " |")
    header = ["", "Dice", "PSNR, dB", "SSIM", "PSNR in bone, dB", "SSIM in bone", "views"]
    return _table("Table 1. Decomposition, AP / LAT.", header, lines)


def _images(of_view: Callable) -> list[str]:
    return [_pair(of_view, name, spec) for name, spec in (("dice", ".3f"), ("psnr_db", ".1f"), ("ssim", ".3f"))]


def _pair(of_view: Callable, name: str, spec: str) -> str:
    return " / ".join("-" if (row := of_view(view)) is None else format(getattr(row, name), spec) for view in VIEWS)


def _table2(rows: Mapping[str, ByView], paper: Mapping[str, Mapping[str, PaperRow]]) -> str:
    def cells(row: Summary | PaperRow) -> str:
        return " | ".join(f"{row.error_mm[name]:.2f}" for name in (*TYPES, "total"))

    lines = _rows_per_view(rows, paper, cells)
    return _table("Table 2. Mean landmark error on the detector, mm.", ["", "view", *_type_names(), "total"], lines)


def _table3(rows: Mapping[str, ByView], paper: Mapping[str, Mapping[str, PaperRow]]) -> str:
    def cells(row: Summary | PaperRow) -> str:
        ours = isinstance(row, Summary)
        rates = [[100 * r for r in row.sdr[name]] if ours else row.sdr_percent[name] for name in TYPES]
        return " | ".join(" / ".join(f"{rate:.1f}" for rate in three) for three in rates)

    lines = _rows_per_view(rows, paper, cells)
    title = "Table 3. Success detection rate within 2 / 4 / 6 mm, %; missed landmarks are failures."
    return _table(title, ["", "view", *_type_names()], lines)


def _rows_per_view(rows: Mapping, paper: Mapping, cells: Callable) -> list[str]:
    return [
        f"| {label} | {view.upper()} | {cells(row[view])} |"
        for view in VIEWS
        for label, row in [*paper.items(), *rows.items()]
        if row[view] is not None
    ]


def _type_names() -> list[str]:
    return [name.replace("_", " ") for name in TYPES]


def _table4(sets: Mapping[str, Sequence[EvaluatedView]]) -> str:
    """Levels and main scores of each set, and of the views with each finding in it; both views together."""
    groups: dict[str, Sequence[EvaluatedView]] = {}
    for name, views in sets.items():
        groups[f"{name}, simulated"] = views
        findings = by_finding(views)
        if set(findings) != {NORMAL}:
            groups |= {f"{name}: {finding}": members for finding, members in findings.items()}
    header = ["", "views", "missed vertebrae, %", "wrong level, %", "miscounted views, %", "Dice", "PSNR, dB"]
    lines = [_levels(label, members) for label, members in groups.items()]
    return _table("Table 4. Levels and findings.", [*header, "landmarks, mm"], lines)


def _levels(label: str, views: Sequence[EvaluatedView]) -> str:
    row = summarise(views)
    rates = " | ".join(f"{100 * rate:.1f}" for rate in (row.missed, row.wrong, row.miscounted))
    return f"| {label} | {row.views} | {rates} | {row.dice:.3f} | {row.psnr_db:.1f} | {row.error_mm['total']:.2f} |"


def _table(title: str, header: Sequence[str], lines: Sequence[str]) -> str:
    return "\n".join([title, "", "| " + " | ".join(header) + " |", "|---" * len(header) + "|", *lines])
