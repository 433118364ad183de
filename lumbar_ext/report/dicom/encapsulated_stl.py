"""Meshes as DICOM Encapsulated STL objects, one a vertebra (DICOM PS3.3, A.85.1)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import EncapsulatedSTLStorage, ExplicitVRLittleEndian, generate_uid

from lumbar_ext import __version__
from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.geometry.axes import lps_from_world
from lumbar_ext.mesh.files import read_mesh, write_stl
from lumbar_ext.report.dicom.header import (
    MANUFACTURER,
    MODEL_NAME,
    RESEARCH_ONLY,
    NewSeries,
    declare_scheme,
    own_code,
    reference,
)

_COPIED = (
    "StudyInstanceUID StudyDate StudyTime StudyID AccessionNumber ReferringPhysicianName "
    "PatientName PatientID PatientBirthDate PatientSex"
).split()


def encapsulated_meshes(folder: Path, radiographs: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """The meshes of a reconstruction's folder, in DICOM's patient axes and one frame of reference of their own.

    Args:
        folder: a reconstruction's folder.
        radiographs: view to header of the radiograph.

    Returns:
        File name to object: "L1" .. "L5", of the levels that were found.
    """
    series, frame_uid = NewSeries.make(1, "meshes"), generate_uid(None)
    found = [level for level in LEVELS if (folder / f"{level}.stl").is_file()]
    return {level: _encapsulated(folder / f"{level}.stl", level, radiographs, series, frame_uid) for level in found}


def _encapsulated(
    stl: Path, level: str, radiographs: Mapping[str, Dataset], series: NewSeries, frame_uid: str
) -> Dataset:
    data = _header(radiographs["ap"], series)
    data.InstanceNumber = LEVELS.index(level) + 1
    data.FrameOfReferenceUID, data.PositionReferenceIndicator = frame_uid, ""
    content = _in_patient_axes(stl)
    data.DocumentTitle = f"Vertebra {level} from two radiographs"
    data.ContentDescription = f"{level}, patient axes, mm. {RESEARCH_ONLY}"[:64]
    data.ConceptNameCodeSequence = [_item(own_code("model", "Radiographic 3D model"))]
    declare_scheme(data)
    data.MIMETypeOfEncapsulatedDocument = "model/stl"
    data.EncapsulatedDocumentLength = len(content)
    data.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    data.MeasurementUnitsCodeSequence = [_item(codes.UCUM.Millimeter)]
    data.ModelModification, data.ModelMirroring = "NO", "NO"
    data.SourceInstanceSequence = [_source(radiographs[view]) for view in VIEWS]
    data.ReferencedSeriesSequence = _series(radiographs)
    return data


def _header(radiograph: Dataset, series: NewSeries) -> Dataset:
    """Patient, study, series, equipment and time."""
    data, source, now = Dataset(), reference(radiograph), datetime.now()
    for keyword in _COPIED:
        setattr(data, keyword, source.get(keyword))
    data.SpecificCharacterSet = source.SpecificCharacterSet
    data.SOPClassUID, data.SOPInstanceUID = EncapsulatedSTLStorage, generate_uid(None)
    data.Modality, data.SeriesInstanceUID = "M3D", series.uid
    data.SeriesNumber, data.SeriesDescription = series.number, series.description
    data.Manufacturer, data.ManufacturerModelName = MANUFACTURER, MODEL_NAME
    data.SoftwareVersions, data.DeviceSerialNumber = __version__, __version__
    data.ContentDate, data.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    data.AcquisitionDateTime = ""
    data.BurnedInAnnotation = "NO"
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    return data


def _in_patient_axes(stl: Path) -> bytes:
    vertices_mm, triangles = read_mesh(stl)
    with tempfile.TemporaryDirectory(prefix="lumbar_ext-") as folder:
        turned = Path(folder) / "patient.stl"
        write_stl(turned, lps_from_world(vertices_mm), triangles)
        return turned.read_bytes()


def _item(code: object) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def _source(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return item


def _series(radiographs: Mapping[str, Dataset]) -> list[Dataset]:
    """The radiographs by series, for the Common Instance Reference module."""
    by_uid: dict[str, Dataset] = {}
    for view in VIEWS:
        header = radiographs[view]
        item = by_uid.setdefault(header.SeriesInstanceUID, Dataset())
        item.SeriesInstanceUID = header.SeriesInstanceUID
        item.ReferencedInstanceSequence = [*item.get("ReferencedInstanceSequence", ()), _source(header)]
    return list(by_uid.values())
