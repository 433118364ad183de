"""A MONAI bundle as its own `ConfigWorkflow`, unchanged, for the applications that embed one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from monai.bundle import ConfigWorkflow

from lumbar_ext.errors import InputError
from lumbar_ext.workflow.error_reporting import bare_input_errors


def bundle_workflow(
    bundle_root: str | Path, workflow_type: Literal["infer", "train"] = "infer", **overrides: Any
) -> ConfigWorkflow:
    """The initialised workflow of a bundle's `inference.json` or `train.json`.

    Args:
        bundle_root: folder of the bundle.
        workflow_type: which config.
        overrides: config ids (with #) and their values, as on MONAI's command line.

    Raises:
        InputError: if there is no such config, or the bundle refuses its content.
    """
    configs = Path(bundle_root) / "configs"
    config = configs / {"infer": "inference.json", "train": "train.json"}[workflow_type]
    if not config.is_file():
        raise InputError(f"{config}: no such file, expected a bundle in {bundle_root}")
    workflow = ConfigWorkflow(
        config_file=str(config),
        meta_file=str(configs / "metadata.json"),
        logging_file=False,
        workflow_type=workflow_type,
        bundle_root=str(bundle_root),
        **overrides,
    )
    with bare_input_errors():
        workflow.initialize()
    return workflow


def run_on(workflow: ConfigWorkflow, item: Mapping[str, Any]) -> None:
    """Runs an inference workflow on one item, which the bundle's first transform reads, and on nothing else.

    After a failure the workflow is spent: Ignite's engine does nothing, in silence, in the run after one that failed.

    Raises:
        InputError: if the bundle cannot use the item.
    """
    workflow.dataset.data = [dict(item)]
    with bare_input_errors():
        workflow.run()
