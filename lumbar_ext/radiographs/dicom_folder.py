"""The radiographs among the files of a folder, known by their DICOM headers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from lumbar_ext.errors import InputError
from lumbar_ext.io.dicom_header import element_numbers, element_text, is_dicom, read_dataset

MODALITIES = ("DX", "CR", "RF", "XA", "RG")
_IDENTITY = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_SUFFIXES = (".dcm", ".dicom", ".ima")
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"


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
        """A data element as text, empty where it is absent; InputError where it cannot be read."""
        return element_text(self.header, keyword, self.path) or ""

    def number(self, keyword: str) -> float | None:
        """A data element as a number, None where it is absent; InputError where it is no number."""
        numbers = element_numbers(self.header, keyword, self.path)
        return None if numbers is None else numbers[0]


def find_radiographs(folder: str | Path) -> list[DicomRadiograph]:
    """The radiographs in a folder and the folders beneath it, sorted by path.

    Other DICOM objects (reports, presentation states, secondary captures, volumes), other files, and links that lead out of
    the folder are left out. One file stands for a folder that holds it alone.

    Raises:
        InputError: if there is no radiograph, or a file that calls itself DICOM cannot be read, or a radiograph lacks
            the identifiers that every DICOM file has.
    """
    folder = Path(folder)
    files = [folder] if folder.is_file() else _files_within(folder)
    headers = {path: read_header(path) for path in files if not path.name.startswith(".")}
    found = []
    for path, header in headers.items():
        if header is None:
            continue
        if "SOPClassUID" not in header and "Modality" not in header:
            raise InputError(f"{path}: a damaged DICOM file, cut short or without a header")
        modality = element_text(header, "Modality", path)
        if modality in MODALITIES and "Rows" in header:
            found.append(_checked(DicomRadiograph(path, header)))
        else:
            logging.getLogger(__name__).info("%s: left out, no radiograph (%s)", path, modality)
    if not found:
        raise InputError(f"{folder}: holds no DICOM radiograph (modality {', '.join(MODALITIES)}), expected two")
    return found


def _files_within(folder: Path) -> list[Path]:
    """The files of a folder: a study that somebody sends must not make a server read its other files."""
    root, found = folder.resolve(), []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.resolve().is_relative_to(root):
            found.append(path)
        else:
            logging.getLogger(__name__).warning("%s: left out, a link that leads out of the folder", path)
    return found


def read_header(path: Path) -> Dataset | None:
    """The header of a DICOM file; None for other files and for the directory file of a CD.

    Raises:
        InputError: if the file cannot be read, is damaged, or is called DICOM by its name alone.
    """
    if path.name.upper().startswith("DICOMDIR"):
        return None
    try:
        known = is_dicom(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not known:
        if path.suffix.lower() in _SUFFIXES:
            raise InputError(f"{path}: not a DICOM file in spite of its name; it is empty, damaged or cut short")
        return None
    header = read_dataset(path, with_pixels=False)
    return None if _is_directory(path, header) else header


def _is_directory(path: Path, header: Dataset) -> bool:
    """Whether this is the directory of a set of files (DICOMDIR), under whatever name a file system shows it."""
    meta = getattr(header, "file_meta", None)
    return meta is not None and element_text(meta, "MediaStorageSOPClassUID", path) == _DIRECTORY_CLASS


def _checked(radiograph: DicomRadiograph) -> DicomRadiograph:
    missing = [name for name in _IDENTITY if name not in radiograph.header]
    if missing:
        raise InputError(f"{radiograph.path}: lacks {', '.join(missing)}, expected a complete DICOM header")
    return radiograph
