"""Trainings and evaluations of the first generation's network, one after the other: cross-validation, ablation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.network.network_tables import ByView, summaries_by_view
from lumbar_ext.evaluation.network.score_summary import Summary
from lumbar_ext.io.atomic import write_text

_DIGITS = 6  # of numbers in CSV files


@dataclass(frozen=True)
class TrainingRun:
    """One training with its evaluation.

    Args:
        bundle_root: folder of the multi-task bundle.
        folder: where weights, logs and the evaluation go.
        sets: what is evaluated, see `EvaluationViews`.
        options: config entries for training and evaluation, `#` between levels.
        overlays: further config files of the training, such as `first_generation_stream.json`.
    """

    bundle_root: Path
    folder: Path
    sets: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    overlays: Sequence[str] = ()

    def summaries(self) -> ByView:
        """By view, what the trained network reaches; trains and evaluates unless that was done before."""
        done = self.folder / "summary.json"
        if not done.is_file():
            self._run("first_generation_train.json", *self.overlays, output_dir=str(self.folder))
            evaluation = self._run(
                "first_generation_train.json",
                "first_generation_evaluate.json",
                sets=dict(self.sets),
                output_dir=str(self.folder),
            )
            found = summaries_by_view(evaluation.parser.get_parsed_content("report").views)
            write_text(done, _as_json(found))
        return _from_json(done)

    def _run(self, *configs: str, **entries: Any) -> ConfigWorkflow:
        files = [self.bundle_root / "configs" / name for name in configs]
        for file in files:
            if not file.is_file():
                raise InputError(f"{file}: no such file; bundle_root must be the folder of the multi-task bundle")
        workflow = ConfigWorkflow(
            config_file=[str(file) for file in files],
            meta_file=str(self.bundle_root / "configs" / "metadata.json"),
            logging_file=str(self.bundle_root / "configs" / "logging.conf"),
            workflow_type="train",
            bundle_root=str(self.bundle_root),
            ckpt_dir=str(self.folder),
            **{**self.options, **entries},
        )
        for key in self.options:
            if key.split("#")[0] not in workflow.parser.config:
                raise InputError(f"--{key}: no entry of {', '.join(configs)}")
        workflow.initialize()
        workflow.run()
        workflow.finalize()
        return workflow


def _as_json(summaries: ByView) -> str:
    return json.dumps({view: row and _rounded(asdict(row)) for view, row in summaries.items()}, indent=1) + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return round(value, _DIGITS) if isinstance(value, float) else value


def _from_json(path: Path) -> dict[str, Summary | None]:
    document = json.loads(path.read_text(encoding="utf-8"))
    return {view: row and Summary(**row) for view, row in document.items()}
