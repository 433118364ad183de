"""The report as a DICOM Encapsulated PDF object (DICOM PS3.3, A.45.1)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import EncapsulatedPDFStorage

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.report.dicom.header import RESEARCH_ONLY, NewSeries, code_item, encapsulated, source_item

REPORT = "report.pdf"


def encapsulated_report(folder: Path, radiographs: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """The report of a reconstruction's folder.

    Args:
        folder: a reconstruction's folder.
        radiographs: view to header of the radiograph.

    Returns:
        File name to object: "report"; nothing if the reconstruction was asked for no PDF.
    """
    path = folder / REPORT
    if not path.is_file():
        return {}
    data = encapsulated(
        radiographs["ap"], NewSeries.make(3, "report"), EncapsulatedPDFStorage, "DOC", path.read_bytes()
    )
    data.InstanceNumber = 1
    data.ConversionType = "WSD"
    data.DocumentTitle = f"Lumbar spine from two radiographs. {RESEARCH_ONLY}"
    data.ConceptNameCodeSequence = [code_item(codes.DCM.ImagingMeasurementReport)]
    data.MIMETypeOfEncapsulatedDocument = "application/pdf"
    # It shows the patient's identifier and both radiographs.
    data.BurnedInAnnotation = "YES"
    data.SourceInstanceSequence = [source_item(radiographs[view]) for view in VIEWS]
    return {"report": data}
