"""One operator for every bundle: it runs the bundle's own inference config on named inputs."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow
from monai.deploy.core import Fragment, Operator, OperatorSpec

from lumbar_ext.workflow.bundle_workflow import bundle_workflow, run_on


class BundleOperator(Operator):
    """Runs a MONAI bundle as its `ConfigWorkflow`, unchanged: the bundle reads the inputs and writes the results.

    The received inputs become the one item of the config's `dataset#data`, under their names, together with
    `output_dir`. Input ports: one for each name, any values. Output port `folder`: the output folder.

    Args:
        fragment: the application.
        bundle_root: folder of the bundle.
        inputs: names of the inputs, as the bundle's first transform reads them.
        output_dir: folder for the results.
        overrides: config ids (with #) and their values, as on MONAI's command line.
    """

    def __init__(
        self,
        fragment: Fragment,
        *args: Any,
        bundle_root: str | Path,
        inputs: Sequence[str],
        output_dir: str | Path,
        overrides: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.bundle_root = Path(bundle_root).resolve()
        self.inputs = tuple(inputs)
        self.output_dir = Path(output_dir)
        self.overrides = dict(overrides or {})
        self._workflow: ConfigWorkflow | None = None
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """One input port a name, one output port."""
        for name in self.inputs:
            spec.input(name)
        spec.output("folder")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Runs the bundle.

        Raises:
            InputError: if the bundle is no bundle or cannot use the inputs.
        """
        item = {name: op_input.receive(name) for name in self.inputs} | {"output_dir": str(self.output_dir)}
        start = time.perf_counter()
        if self._workflow is None:
            self._workflow = bundle_workflow(self.bundle_root, output_dir=str(self.output_dir), **self.overrides)
        run_on(self._workflow, item)
        seconds = time.perf_counter() - start
        logging.getLogger(__name__).info("%s: done in %.1f s", self.bundle_root.name, seconds)
        op_output.emit(self.output_dir, "folder")
