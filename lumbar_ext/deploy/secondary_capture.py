"""The overlay pictures as DICOM secondary captures beside their radiographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from highdicom.sc import SCImage
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.deploy.pairing import RadiographPair
from lumbar_ext.deploy.result_header import MANUFACTURER, NewSeries, reference


def overlay_captures(folder: Path, pair: RadiographPair) -> dict[str, Dataset]:
    """The pictures `overlay_ap.png` and `overlay_lat.png` of a reconstruction's folder.

    Returns:
        File name to object: "overlay_ap" and "overlay_lat".
    """
    series = NewSeries.make(2, "overlay")
    return {f"overlay_{view}": _capture(folder, view, pair, series) for view in VIEWS}


def _capture(folder: Path, view: str, pair: RadiographPair, series: NewSeries) -> Dataset:
    with Image.open(folder / f"overlay_{view}.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    source = pair[view].header
    capture = SCImage.from_ref_dataset(
        reference(pair[view]),
        pixel_array=pixels,
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
    capture.PatientOrientation = source.get("PatientOrientation", "")
    capture.SeriesDescription = series.description
    capture.BurnedInAnnotation = "YES"
    capture.SourceImageSequence = [Dataset()]
    capture.SourceImageSequence[0].ReferencedSOPClassUID = source.SOPClassUID
    capture.SourceImageSequence[0].ReferencedSOPInstanceUID = source.SOPInstanceUID
    return capture
