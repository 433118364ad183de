"""The first operator: from a folder of DICOM files to the named inputs of the reconstruction bundle."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.radiographs.cameras.dicom_calibration import provide_calibration
from lumbar_ext.radiographs.dicom_folder import find_radiographs
from lumbar_ext.radiographs.dicom_pairing import pair_radiographs
from lumbar_ext.workflow.stages import INPUTS


class StudyLoaderOperator(Operator):
    """Pairs the AP and the lateral radiograph of a study and finds their calibration.

    Input port, where no folder is given: `folder`. Output ports: `ap_image`, `lat_image`, `calibration` (paths as text) and
    `pair` (`RadiographPair`, for the writers).

    Args:
        fragment: the application.
        input_path: folder of DICOM files; None where another operator emits it.
        work_folder: an existing folder for a calibration from DICOM headers.
    """

    def __init__(
        self, fragment: Fragment, *args: Any, input_path: str | Path | None, work_folder: str | Path, **kwargs: Any
    ) -> None:
        self.input_path = input_path and Path(input_path)
        self.work_folder = Path(work_folder)
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declares the ports: the folder if it is not known, one output for each of the bundle's inputs and the headers."""
        if self.input_path is None:
            spec.input("folder")
        for name in (*INPUTS, "pair"):
            spec.output(name)

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Reads the headers and emits what the bundle and the writers need.

        Raises:
            InputError: if the folder does not hold one pair of radiographs with a calibration.
        """
        logger = logging.getLogger(__name__)
        folder = self.input_path or op_input.receive("folder")
        pair = pair_radiographs(find_radiographs(folder))
        calibration = provide_calibration(pair, folder, self.work_folder)
        for remark in pair.remarks:
            logger.warning(remark)
        for view in VIEWS:
            logger.info("%s view: %s", view, pair[view].path)
            op_output.emit(str(pair[view].path), f"{view}_image")
        logger.info("calibration: %s", calibration)
        op_output.emit(str(calibration), "calibration")
        op_output.emit(pair, "pair")
