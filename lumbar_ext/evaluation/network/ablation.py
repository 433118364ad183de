"""The paper's ablation: FFM, no FFM and single-task networks of the first generation, trained alike for as many iterations.

A fourth row leaves out the absolute error, which the paper's loss does not have.

    lumbar-ext ablate --bundle_root bundles/lumbar_multitask --dataset_dir cohort \
        --output_dir runs/ablation --iterations 2000 --batch_size 4

Every further option is an entry of `first_generation_train.json`. An interrupted run goes on with the same command; variants
that are done are not run again. Prints and writes (`ablation.md`) the paper's Tables 1 to 3 with our rows.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.network.network_tables import ByView, comparison_tables
from lumbar_ext.evaluation.network.paper import PAPER
from lumbar_ext.evaluation.network.runs import TrainingRun
from lumbar_ext.io.atomic import write_text

_IMAGE_TERMS = ("ncc", "l2", "l1")
_LANDMARK_TERMS = ("focal", "centre_offset", "landmark_offsets")
VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "no_ffm": {"network_def#ffm": False},
    "no_l1": {"loss#l1": 0.0},
    "decomposition_only": {"network_def#tasks": "decomposition"} | {f"loss#{name}": 0.0 for name in _LANDMARK_TERMS},
    "landmarks_only": {"network_def#tasks": "landmarks"} | {f"loss#{name}": 0.0 for name in _IMAGE_TERMS},
}
# the learning rate falls as a cosine in this many steps
EPOCHS = 10


def schedule(iterations: int) -> dict[str, Any]:
    """Config entries of a training of that many iterations, validated at its end.

    Raises:
        InputError: unless it is a positive multiple of ten.
    """
    if iterations < EPOCHS or iterations % EPOCHS:
        raise InputError(f"iterations: expected a positive multiple of {EPOCHS}, found {iterations}")
    cosine = "torch.optim.lr_scheduler.CosineAnnealingLR"
    return {
        "max_epochs": EPOCHS,
        "epoch_length": iterations // EPOCHS,
        "val_interval": EPOCHS,
        "lr_scheduler": {"_target_": cosine, "optimizer": "@optimizer", "T_max": EPOCHS},
    }


def ablate(bundle_root: str, dataset_dir: str, output_dir: str, iterations: int = 200, **options: Any) -> None:
    """Trains and evaluates the variants, prints and writes the tables.

    Args:
        bundle_root: folder of the multi-task bundle.
        dataset_dir: folder with `train` and `validation`.
        output_dir: folder of the variants.
        iterations: of each variant, a multiple of ten.
        options: entries of `first_generation_train.json`; `sets` names other studies to evaluate on.
    """
    sets = options.pop("sets", {"validation": str(Path(dataset_dir) / "validation")})
    common = {"dataset_dir": dataset_dir, **options, **schedule(int(iterations))}
    found = {
        name: TrainingRun(Path(bundle_root), Path(output_dir) / name, sets, common | changes).summaries()
        for name, changes in VARIANTS.items()
    }
    title = f"Each variant: {iterations} iterations of {common.get('batch_size', 8)} images, the same data and seed."
    text = title + "\n\n" + comparison_tables(ablation_rows(found), list(PAPER))
    write_text(Path(output_dir) / "ablation.md", text + "\n")
    print(text, flush=True)


def ablation_rows(found: dict[str, ByView]) -> dict[str, ByView]:
    """Our rows; the two single-task networks make one row: images of the one, landmarks of the other."""
    images = ("dice", "psnr_db", "ssim", "bone_psnr_db", "bone_ssim")
    single = {
        view: replace(row, **{name: getattr(found["decomposition_only"][view], name) for name in images})
        for view, row in found["landmarks_only"].items()
    }
    rows = {"full": found["full"], "no FFM": found["no_ffm"], "no L1 term": found["no_l1"], "single task": single}
    return {f"{name}, simulated": row for name, row in rows.items()}
