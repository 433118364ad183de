"""The overlay pictures as DICOM secondary captures beside their radiographs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from highdicom.sc import SCImage
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.report.dicom.carried_over import orientation
from lumbar_ext.report.dicom.header import MANUFACTURER, NewSeries, reference


def overlay_captures(folder: Path, radiographs: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """The pictures `overlay_ap.png` and `overlay_lat.png` of a reconstruction's folder.

    Args:
        folder: a reconstruction's folder.
        radiographs: view to header of the radiograph.

    Returns:
        File name to object: "overlay_ap" and "overlay_lat".

    Raises:
        InputError: if a picture is missing or damaged.
    """
    series = NewSeries.make(2, "overlay")
    return {f"overlay_{view}": _capture(folder, view, radiographs[view], series) for view in VIEWS}


def _capture(folder: Path, view: str, source: Dataset, series: NewSeries) -> Dataset:
    capture = SCImage.from_ref_dataset(
        reference(source),
        pixel_array=_pixels(folder / f"overlay_{view}.png"),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        series_instance_uid=series.uid,
        series_number=series.number,
        sop_instance_uid=generate_uid(None),
        instance_number=VIEWS.index(view) + 1,
        manufacturer=MANUFACTURER,
        patient_orientation=("L", "F"),
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    # highdicom insists on letters; the picture is laid as the radiograph is, whose header may not tell.
    capture.PatientOrientation = orientation(source)
    series.complete(capture)
    capture.BurnedInAnnotation, capture.BodyPartExamined = "YES", "LSPINE"
    capture.SourceImageSequence = [Dataset()]
    capture.SourceImageSequence[0].ReferencedSOPClassUID = source.SOPClassUID
    capture.SourceImageSequence[0].ReferencedSOPInstanceUID = source.SOPInstanceUID
    return capture


def _pixels(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a picture ({error}), expected one of a reconstruction") from error
