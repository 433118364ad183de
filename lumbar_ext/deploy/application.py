"""The application: loader, reconstruction bundle, DICOM writers."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.deploy.conditions import CountCondition
from monai.deploy.core import AppContext, Application

from lumbar_ext.deploy.archive_operators import ArchivedStudy, ArchiveFetchOperator, ArchiveStoreOperator
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
        study: where the radiographs come from and the results go to, in place of the input folder.
    """

    def __init__(
        self,
        argv: list[str] | None = None,
        overrides: Mapping[str, Any] | None = None,
        study: ArchivedStudy | None = None,
    ) -> None:
        super().__init__()
        self.paths: AppContext = Application.init_app_context(argv)
        self.overrides = dict(overrides or {})
        self.study = study
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
        loader = self._loader(once)
        reconstruct = BundleOperator(
            self, bundle_root=bundle, inputs=INPUTS, output_dir=output_dir, overrides=self.overrides, name=BUNDLE
        )
        self.add_flow(loader, reconstruct, {(name, name) for name in INPUTS})
        store = self.study and ArchiveStoreOperator(self, study=self.study, writers=list(ENCODERS), name="store")
        for name, encode in ENCODERS.items():
            writer = DicomWriterOperator(
                self,
                encode=encode,
                output_dir=output_dir / DICOM_FOLDER,
                hand_on=store is not None,
                name=f"{name}_writer",
            )
            self.add_flow(loader, writer, {("pair", "pair")})
            self.add_flow(reconstruct, writer, {("folder", "folder")})
            if store is not None:
                self.add_flow(writer, store, {("files", name)})

    def _loader(self, once: CountCondition) -> StudyLoaderOperator:
        """The loader, behind the operator that fetches where the study lies in an archive."""
        given, work = self.paths.input_path, self._work.name
        if self.study is None:
            return StudyLoaderOperator(self, once, name="loader", input_path=given, work_folder=work)
        fetch = ArchiveFetchOperator(self, once, name="fetch", study=self.study, input_path=given, work_folder=work)
        loader = StudyLoaderOperator(self, name="loader", input_path=None, work_folder=work)
        self.add_flow(fetch, loader, {("folder", "folder")})
        return loader
