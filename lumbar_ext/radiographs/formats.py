"""Reading a radiograph whose format is told by its content."""

from __future__ import annotations

import warnings
from pathlib import Path

from lumbar_ext.errors import InputError
from lumbar_ext.io.dicom_header import is_dicom
from lumbar_ext.io.input_file import MAX_RADIOGRAPH_BYTES, require_file
from lumbar_ext.io.nifti_file import is_nifti
from lumbar_ext.radiographs.dicom_radiograph import decode_dicom
from lumbar_ext.radiographs.nifti import decode_nifti
from lumbar_ext.radiographs.png import PNG_SIGNATURE, decode_png
from lumbar_ext.radiographs.radiograph import Radiograph

_WANTED = "a radiograph as DICOM, 8- or 16-bit grey PNG, or NIfTI"


def read_radiograph(path: str | Path, *, slot_scans: bool = False) -> Radiograph:
    """Reads a DICOM, PNG or NIfTI radiograph, whatever the file's name.

    The pixels are as displayed: rescaled, and inverted for MONOCHROME1. The spacing is the detector's: for DICOM,
    ImagerPixelSpacing, else an uncalibrated PixelSpacing; for NIfTI the header's; none for PNG. The polarity is what
    DICOM tags say; "unknown" for PNG and NIfTI (`with_bone_bright` settles it).

    Args:
        path: the file.
        slot_scans: whether images of slot scanners are wanted, too: who has no camera of theirs would take them for a cone
            beam's.

    Raises:
        InputError: if the file is missing, unreadable, no image, a volume or several frames, in colour, constant, of a slot
            scanner that is not wanted, or holds values that are not finite.

    Warns:
        UserWarning: for each remark of the radiograph.
    """
    path = require_file(path, _WANTED, MAX_RADIOGRAPH_BYTES)
    try:
        radiograph = _decode(path, slot_scans)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    for remark in radiograph.remarks:
        warnings.warn(remark, stacklevel=2)
    return radiograph


def _decode(path: Path, slot_scans: bool) -> Radiograph:
    with path.open("rb") as stream:
        head = stream.read(8)
    if head == PNG_SIGNATURE:
        return decode_png(path)
    if is_nifti(path):
        return decode_nifti(path)
    if is_dicom(path):
        return decode_dicom(path, slot_scans=slot_scans)
    raise InputError(f"{path}: not an image of a known format, expected {_WANTED}")
