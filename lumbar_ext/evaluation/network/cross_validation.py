"""Cross-validation of the first generation's network by subject: no person is in training and validation of the same fold.

    lumbar-ext cross-validate --bundle_root bundles/lumbar_multitask --train_dir cohort/train \
        --output_dir runs/folds --folds 5 --max_epochs 20

Every further option is an entry of `first_generation_train.json`. An interrupted run goes on with the same command. Writes
each fold's weights and evaluation, `folds.csv` and `folds.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.network.evaluated_view import write_table
from lumbar_ext.evaluation.network.network_tables import ByView
from lumbar_ext.evaluation.network.runs import TrainingRun
from lumbar_ext.io.atomic import write_text
from lumbar_ext.studies.findings import study_subject
from lumbar_ext.training.view_records import list_studies

FOLD_COLUMNS = ("dice", "psnr_db", "ssim", "landmark_mm", "sdr_4mm", "missed", "wrong")


def subject_folds(studies: Sequence[Path], folds: int, seed: int = 0) -> list[list[Path]]:
    """Splits studies into parts of nearly equal size, every subject's studies in one part.

    Subjects with many studies are dealt first, each to the smallest part; ties in random order.

    Raises:
        InputError: with fewer than two folds, or fewer subjects than folds.
    """
    by_subject: dict[str, list[Path]] = {}
    for study in studies:
        by_subject.setdefault(study_subject(study), []).append(study)
    if not 2 <= folds <= len(by_subject):
        raise InputError(f"folds: expected 2 to {len(by_subject)}, the number of subjects, found {folds}")
    subjects = sorted(by_subject)
    np.random.default_rng(seed).shuffle(subjects)
    parts: list[list[Path]] = [[] for _ in range(folds)]
    for subject in sorted(subjects, key=lambda name: -len(by_subject[name])):
        min(parts, key=len).extend(by_subject[subject])
    return [sorted(part) for part in parts]


def cross_validate(
    bundle_root: str, train_dir: str, output_dir: str, folds: int = 5, seed: int = 0, **options: Any
) -> None:
    """Trains and evaluates every fold, prints and writes the means.

    Args:
        bundle_root: folder of the multi-task bundle.
        train_dir: studies to split.
        output_dir: folder of the folds.
        folds: number of parts.
        seed: of the split.
        options: entries of `first_generation_train.json`.
    """
    parts = subject_folds(list_studies(train_dir, options.pop("study_limit", None)), int(folds), int(seed))
    results = []
    for index, held_out in enumerate(parts):
        training = sorted(study for part in parts if part is not held_out for study in part)
        studies = {
            "train_studies": [str(study) for study in training],
            "validation_studies": [str(study) for study in held_out],
        }
        sets = {f"fold {index + 1}": studies["validation_studies"]}
        run = TrainingRun(Path(bundle_root), Path(output_dir) / f"fold_{index + 1}", sets, {**options, **studies})
        results.append(run.summaries())
    rows = [{"fold": str(index + 1)} | fold_row(result) for index, result in enumerate(results)]
    write_table(Path(output_dir) / "folds.csv", list(rows[0]), rows)
    table = fold_table(rows)
    write_text(Path(output_dir) / "folds.md", table + "\n")
    print(table, flush=True)


def fold_row(result: ByView) -> dict[str, float]:
    """The columns of one fold, by view."""
    row = {}
    for view in VIEWS:
        if (summary := result[view]) is None:
            continue
        values = {name: getattr(summary, name, None) for name in FOLD_COLUMNS}
        values |= {"landmark_mm": summary.error_mm["total"], "sdr_4mm": summary.sdr["total"][1]}
        row |= {f"{view}_{name}": float(value) for name, value in values.items()}
    return row


def fold_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table: one row a quantity and view, mean ± SD over folds, then each fold."""
    names = [name for name in rows[0] if name != "fold"]
    header = ["", "mean ± SD", *(f"fold {row['fold']}" for row in rows)]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for name in names:
        values = np.array([row[name] for row in rows])
        cells = [f"{values.mean():.3f} ± {values.std(ddof=1):.3f}", *(f"{value:.3f}" for value in values)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
