"""What all DICOM objects made of a reconstruction share: the source's patient and study, the maker, the terms."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from lumbar_ext.report.dicom.carried_over import UTF_8, carried_over

MANUFACTURER = "lumbar_ext"
MODEL_NAME = "lumbar_reconstruction"
RESEARCH_ONLY = "Research only, not a medical device"
SCHEME = "99LUMBAREXT"
"""Designator of the terms that no public coding scheme has, the ids of `docs/measurements.md` among them."""

FIRST_SERIES_NUMBER = 9001  # beyond what modalities give their own series
VERTEBRAE = {f"L{i}": getattr(codes.SCT, f"L{i}Vertebra") for i in range(1, 6)}
_MAY_BE_EMPTY = (
    "AccessionNumber PatientBirthDate PatientID PatientName PatientSex ReferringPhysicianName StudyDate StudyID StudyTime"
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
        """The series at a place among the results, with a new UID."""
        return cls(FIRST_SERIES_NUMBER + place, f"Lumbar spine {what} ({RESEARCH_ONLY})"[:64], generate_uid(None))


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
