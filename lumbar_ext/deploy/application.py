"""The application: loader, reconstruction bundle, DICOM writers."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.deploy.conditions import CountCondition
from monai.deploy.core import AppContext, Application

from lumbar_ext.deploy.bundle_operator import BundleOperator
from lumbar_ext.deploy.loader_operator import INPUTS, StudyLoaderOperator
from lumbar_ext.deploy.writer_operators import DicomWriterOperator
from lumbar_ext.errors import InputError
from lumbar_ext.report.dicom.export import ENCODERS

BUNDLE = "lumbar_reconstruction"
DICOM_FOLDER = "dicom"


class LumbarReconstructionApp(Application):
    """DICOM radiographs to meshes, report and DICOM objects.

    Paths come from the SDK: `-i`, `-m`, `-o` on the command line, else `HOLOSCAN_INPUT_PATH`, `HOLOSCAN_MODEL_PATH` and
    `HOLOSCAN_OUTPUT_PATH` as in a MAP. The model folder holds the bundles `lumbar_reconstruction` and `lumbar_multitask`.

    Args:
        argv: the command line, that of the process by default.
        overrides: config ids of the reconstruction bundle and their values.
    """

    def __init__(self, argv: list[str] | None = None, overrides: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.paths: AppContext = Application.init_app_context(argv)
        self.overrides = dict(overrides or {})
        self._work = tempfile.TemporaryDirectory(prefix="lumbar_ext-")

    def compose(self) -> None:
        """Connects the operators; each runs once.

        Raises:
            InputError: if the model folder does not hold the bundle.
        """
        output_dir = Path(self.paths.output_path)
        bundle = Path(self.paths.model_path) / BUNDLE
        if not bundle.is_dir():
            raise InputError(f"{self.paths.model_path}: no folder {BUNDLE} in it, expected the folder of the bundles")
        once = CountCondition(self, 1)
        files = {"input_path": self.paths.input_path, "work_folder": self._work.name}
        loader = StudyLoaderOperator(self, once, name="loader", **files)
        reconstruct = BundleOperator(
            self, bundle_root=bundle, inputs=INPUTS, output_dir=output_dir, overrides=self.overrides, name=BUNDLE
        )
        self.add_flow(loader, reconstruct, {(name, name) for name in INPUTS})
        for name, encode in ENCODERS.items():
            writer = DicomWriterOperator(
                self, encode=encode, output_dir=output_dir / DICOM_FOLDER, name=f"{name}_writer"
            )
            self.add_flow(loader, writer, {("pair", "pair")})
            self.add_flow(reconstruct, writer, {("folder", "folder")})
