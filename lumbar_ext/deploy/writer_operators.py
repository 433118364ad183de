"""The last operators: a reconstruction's files as DICOM objects of the same study."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec
from pydicom.dataset import Dataset

from lumbar_ext.deploy.pairing import RadiographPair
from lumbar_ext.errors import InputError
from lumbar_ext.io import atomic_path

Encode = Callable[[Path, RadiographPair], dict[str, Dataset]]
"""From a reconstruction's folder and the radiographs to DICOM objects by file name (without suffix)."""


class DicomWriterOperator(Operator):
    """Writes the DICOM objects that a function makes of a reconstruction.

    Input ports: `folder` (the reconstruction's files) and `pair` (`RadiographPair`).

    Args:
        fragment: the application.
        encode: makes the objects.
        output_dir: folder for the files, made if absent.
    """

    def __init__(self, fragment: Fragment, *args: Any, encode: Encode, output_dir: str | Path, **kwargs: Any) -> None:
        self.encode = encode
        self.output_dir = Path(output_dir)
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Two inputs."""
        spec.input("folder")
        spec.input("pair")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Encodes and writes; a file is complete or absent.

        Raises:
            InputError: if a file cannot be written.
        """
        objects = self.encode(op_input.receive("folder"), op_input.receive("pair"))
        for name, dataset in objects.items():
            path = self.output_dir / f"{name}.dcm"
            try:
                self.output_dir.mkdir(parents=True, exist_ok=True)
                with atomic_path(path) as temporary:
                    dataset.save_as(temporary, enforce_file_format=True)
            except OSError as error:
                raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
            logging.getLogger(__name__).info("written: %s", path)
