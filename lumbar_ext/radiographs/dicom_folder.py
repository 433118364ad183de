"""The radiographs among the files of a folder, known by their DICOM headers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from lumbar_ext.errors import InputError
from lumbar_ext.radiographs.dicom import is_dicom

MODALITIES = ("DX", "CR", "RF", "XA", "RG")
_IDENTITY = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_SUFFIXES = (".dcm", ".dicom", ".ima")


@dataclass(frozen=True)
class DicomRadiograph:
    """A radiograph on disk.

    Args:
        path: the file.
        header: its data elements, without the pixels.
    """

    path: Path
    header: Dataset

    def text(self, keyword: str) -> str:
        """A data element as text, empty where it is absent."""
        return str(self.header.get(keyword) or "").strip()

    def number(self, keyword: str) -> float | None:
        """A data element as a number, None where it is absent."""
        value = self.header.get(keyword)
        return None if value is None or value == "" else float(value)


def find_radiographs(folder: str | Path) -> list[DicomRadiograph]:
    """The radiographs in a folder and the folders beneath it, sorted by path.

    Other DICOM objects (reports, presentation states, secondary captures, volumes) and other files are left out. One
    file stands for a folder that holds it alone.

    Raises:
        InputError: if there is no radiograph, or a file that calls itself DICOM cannot be read, or a radiograph lacks
            the identifiers that every DICOM file has.
    """
    folder = Path(folder)
    files = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
    headers = {path: read_header(path) for path in files if not path.name.startswith(".")}
    found = []
    for path, header in headers.items():
        if header is None:
            continue
        if "SOPClassUID" not in header and "Modality" not in header:
            raise InputError(f"{path}: a damaged DICOM file, cut short or without a header")
        if header.get("Modality") in MODALITIES and "Rows" in header:
            found.append(_checked(DicomRadiograph(path, header)))
        else:
            logging.getLogger(__name__).info("%s: left out, no radiograph (%s)", path, header.get("Modality"))
    if not found:
        raise InputError(f"{folder}: holds no DICOM radiograph (modality {', '.join(MODALITIES)}), expected two")
    return found


def read_header(path: Path) -> Dataset | None:
    """The header of a DICOM file; None for other files and for a DICOMDIR.

    Raises:
        InputError: if the file cannot be read, is damaged, or is called DICOM by its name alone.
    """
    if path.name == "DICOMDIR":
        return None
    try:
        if not is_dicom(path):
            if path.suffix.lower() in _SUFFIXES:
                raise InputError(f"{path}: not a DICOM file in spite of its name; it is empty, damaged or cut short")
            return None
        return pydicom.dcmread(path, stop_before_pixels=True, force=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (EOFError, KeyError, ValueError, AttributeError, NotImplementedError) as error:
        raise InputError(f"{path}: a damaged DICOM file ({error})") from error


def _checked(radiograph: DicomRadiograph) -> DicomRadiograph:
    missing = [name for name in _IDENTITY if name not in radiograph.header]
    if missing:
        raise InputError(f"{radiograph.path}: lacks {', '.join(missing)}, expected a complete DICOM header")
    return radiograph
