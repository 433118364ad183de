"""What all DICOM objects made of a reconstruction share: the source's patient and study, the maker, the terms."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import UTC, datetime

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from lumbar_ext import __version__
from lumbar_ext.report.dicom.carried_over import UTF_8, carried_over

MANUFACTURER = "lumbar_ext"
MODEL_NAME = "lumbar_reconstruction"
RESEARCH_ONLY = "Research only, not a medical device"
SCHEME = "99LUMBAREXT"
"""Designator of the terms that no public coding scheme has, the ids of `docs/measurements.md` among them."""

_FIRST_MINUTE = datetime(2026, 1, 1, tzinfo=UTC)
_SERIES = "Lumbar spine"
MEASUREMENTS_SERIES = f"{_SERIES} measurements"
"""How the description of a report's series begins: in an archive it tells that results are there."""

VERTEBRAE = {f"L{i}": getattr(codes.SCT, f"L{i}Vertebra") for i in range(1, 6)}
_MAY_BE_EMPTY = (
    "AccessionNumber PatientBirthDate PatientID PatientName PatientSex ReferringPhysicianName StudyDate StudyID StudyTime"
).split()
_COPIED = (
    "StudyInstanceUID StudyDate StudyTime StudyID AccessionNumber ReferringPhysicianName "
    "PatientName PatientID PatientBirthDate PatientSex"
).split()
_UIDS = "StudyInstanceUID SeriesInstanceUID SOPInstanceUID SOPClassUID".split()


@dataclass(frozen=True)
class NewSeries:
    """A series of results.

    Args:
        number: series number.
        description: for its list in a viewer.
        uid: series instance UID.
    """

    number: int
    description: str
    uid: str

    @classmethod
    def make(cls, place: int, what: str) -> NewSeries:
        """The series at a place among the results, with a new UID.

        Its number is the minute of the export since 2026, times ten, and the place: a later export is listed behind an
        earlier one.
        """
        minute = int((datetime.now(UTC) - _FIRST_MINUTE).total_seconds() // 60)
        return cls(10 * minute + place + 1, f"{_SERIES} {what} ({RESEARCH_ONLY})"[:64], generate_uid(None))

    def complete(self, data: Dataset) -> None:
        """Gives an object the description of its series, and the moment at which that was made, if it has none."""
        now = datetime.now()
        data.SeriesDescription = self.description
        data.SeriesDate, data.SeriesTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")


def own_code(value: str, meaning: str) -> Code:
    """A term of ours; meanings have at most 64 characters (DICOM PS3.5, 6.2)."""
    return Code(value, SCHEME, meaning[:64])


def reference(radiograph: Dataset) -> Dataset:
    """A radiograph's header with the elements present and valid, if empty, that every image has; texts in UTF-8."""
    header = copy.copy(radiograph)
    for keyword in (*_MAY_BE_EMPTY, *_UIDS):
        setattr(header, keyword, carried_over(radiograph, keyword))
    header.SpecificCharacterSet = UTF_8
    return header


def declare_scheme(data: Dataset) -> None:
    """Says in an object what the designator `SCHEME` stands for."""
    item = Dataset()
    item.CodingSchemeDesignator = SCHEME
    item.CodingSchemeName = "Ids of lumbar_ext's measurements, docs/measurements.md of lumbar_reconstruction"
    item.CodingSchemeResponsibleOrganization = MANUFACTURER
    data.CodingSchemeIdentificationSequence = [item]


def encapsulated(radiograph: Dataset, series: NewSeries, sop_class: UID, modality: str, content: bytes) -> Dataset:
    """A document as a DICOM object: patient and study of a radiograph, series, equipment, time and the bytes.

    Args:
        radiograph: header of the radiograph.
        series: of the object.
        sop_class: Encapsulated STL or PDF.
        modality: of that class.
        content: of the file.
    """
    data, source, now = Dataset(), reference(radiograph), datetime.now()
    for keyword in _COPIED:
        setattr(data, keyword, source.get(keyword))
    data.SpecificCharacterSet = source.SpecificCharacterSet
    data.SOPClassUID, data.SOPInstanceUID = sop_class, generate_uid(None)
    data.Modality, data.SeriesInstanceUID, data.SeriesNumber = modality, series.uid, series.number
    series.complete(data)
    data.Manufacturer, data.ManufacturerModelName = MANUFACTURER, MODEL_NAME
    data.SoftwareVersions, data.DeviceSerialNumber = __version__, __version__
    data.ContentDate, data.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    data.AcquisitionDateTime = ""
    data.EncapsulatedDocumentLength = len(content)
    data.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    return data


def code_item(code: Code) -> Dataset:
    """A term as an item of a sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def source_item(header: Dataset) -> Dataset:
    """A reference to an object as an item of a sequence."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return item
