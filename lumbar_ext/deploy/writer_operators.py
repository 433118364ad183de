"""The last operators: a reconstruction's files as DICOM objects of the same study."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.report.dicom.export import Encode, write_objects
from lumbar_ext.report.dicom.ownership import check_ownership


class DicomWriterOperator(Operator):
    """Writes the DICOM objects of one kind that belong to a reconstruction.

    Input ports: `folder` (the reconstruction's files) and `pair` (`RadiographPair`). Output port, where they
    are handed on: `files`, a list of paths.

    Args:
        fragment: the application.
        encode: makes the objects.
        output_dir: folder for the files, made if absent.
        hand_on: whether another operator receives the paths.
    """

    def __init__(
        self,
        fragment: Fragment,
        *args: Any,
        encode: Encode,
        output_dir: str | Path,
        hand_on: bool = False,
        **kwargs: Any,
    ) -> None:
        self.encode = encode
        self.hand_on = hand_on
        self.output_dir = Path(output_dir)
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declares the ports: the results' folder and the pair's headers; the files, if they are handed on."""
        spec.input("folder")
        spec.input("pair")
        if self.hand_on:
            spec.output("files")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Encodes and writes; the files are complete or absent.

        Raises:
            InputError: if the folder holds no reconstruction of these radiographs, or a file cannot be written.
        """
        folder, pair = op_input.receive("folder"), op_input.receive("pair")
        headers = {view: pair[view].header for view in VIEWS}
        check_ownership(folder, {view: pair[view].path for view in VIEWS}, headers)
        objects = self.encode(folder, headers)
        paths = write_objects(objects, self.output_dir)
        for path in paths:
            logging.getLogger(__name__).info("written: %s", path)
        if self.hand_on:
            op_output.emit(paths, "files")
