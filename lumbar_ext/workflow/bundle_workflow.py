"""A MONAI bundle as its own `ConfigWorkflow`, unchanged, for the command line and the programs that embed one."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from monai.bundle import ConfigParser, ConfigWorkflow

from lumbar_ext.errors import InputError
from lumbar_ext.workflow.error_reporting import bare_input_errors
from lumbar_ext.workflow.options import refuse_unknown_entry


def bundle_workflow(
    bundle_root: str | Path,
    configs: Sequence[str] = ("inference",),
    workflow_type: Literal["infer", "train"] = "infer",
    **overrides: Any,
) -> ConfigWorkflow:
    """The initialised workflow of configs of a bundle.

    Args:
        bundle_root: folder of the bundle.
        configs: names in its folder `configs`, without suffix, in the order in which they are merged.
        workflow_type: as MONAI calls it.
        overrides: config ids (with #) and their values, as on MONAI's command line.

    Raises:
        InputError: if there is no such config, or the bundle refuses its content.
    """
    folder = Path(bundle_root) / "configs"
    files = _config_files(folder, configs, f"a bundle in {bundle_root}")
    workflow = ConfigWorkflow(
        config_file=[str(file) for file in files],
        meta_file=str(folder / "metadata.json"),
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


def run_bundle(
    bundle_root: str | Path,
    configs: Sequence[str],
    workflow_type: Literal["infer", "train"],
    entries: Mapping[str, Any],
    *,
    finalize: bool = True,
    own_process: bool = True,
) -> ConfigWorkflow:
    """Runs configs of a bundle, as `python -m monai.bundle run` does, and returns the finished workflow.

    Args:
        bundle_root: folder of the bundle.
        configs: names in its folder `configs`, without suffix, in the order in which they are merged.
        workflow_type: as MONAI calls it.
        entries: config ids (with #) and their values; text stays text, whatever it begins with.
        finalize: whether to run the config's `finalize`, which says on the terminal what came of it.
        own_process: whether the process is there for this run, and its logging is set up by the bundle's `logging.conf`.

    Raises:
        InputError: if a config does not exist, an entry is none of theirs, or the bundle refuses its content.
    """
    folder = Path(bundle_root) / "configs"
    known = sorted(path.stem for path in folder.glob("*.json"))
    files = _config_files(folder, configs, f"one of the configs {', '.join(known)}")
    parser = ConfigParser()
    parser.read_config([str(file) for file in files])
    for name in entries:
        refuse_unknown_entry(name, parser)
    # It tells which file it reads the logging from, which no user asked.
    logging.getLogger("monai.bundle.workflows").setLevel(logging.WARNING)
    workflow = ConfigWorkflow(
        config_file=[str(file) for file in files],
        meta_file=str(folder / "metadata.json"),
        logging_file=str(folder / "logging.conf") if own_process else False,
        workflow_type=workflow_type,
        bundle_root=str(bundle_root),
        **{name: as_it_is(value) for name, value in entries.items()},
    )
    with bare_input_errors():
        workflow.initialize()
        workflow.run()
        if finalize:
            workflow.finalize()
    return workflow


def _config_files(folder: Path, names: Sequence[str], expected: str) -> list[Path]:
    files = [folder / f"{name}.json" for name in names]
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: no such file, expected {expected}")
    return files


def as_it_is(value: Any) -> Any:
    """Text that MONAI would take for an expression, a reference or a file to read, as an expression that gives the text."""
    if not isinstance(value, str) or not re.search("[$@%#]", value):
        return value
    return "$" + re.sub("[$@%#]", lambda sign: f"\\x{ord(sign[0]):02x}", repr(value))
