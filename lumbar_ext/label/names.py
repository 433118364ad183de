"""What the name of an image in the studies folder tells: its view, its partner and its calibration.

A pair is named `CASE_ap.png` (or .dcm, .nii.gz) and `CASE_lat.png`, its calibration `CASE_calibration.json`.
"""

from __future__ import annotations

import re
from pathlib import Path

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.radiographs.dicom_folder import DicomRadiograph, read_header
from lumbar_ext.radiographs.dicom_view import tell_view

_NAME = re.compile(r"(?P<case>.*)_(?P<view>ap|lat)", re.IGNORECASE)


def view_of(image_id: str, path: Path) -> str:
    """The view of an image: by its name, else by its DICOM header.

    Raises:
        InputError: if neither tells it.
    """
    match = _NAME.fullmatch(image_id)
    if match:
        return match["view"].lower()
    radiograph = dicom_radiograph(path)
    view = radiograph and tell_view(radiograph).view
    if view:
        return view
    raise InputError(f"{image_id}: cannot tell the view; expected a name ending in _ap or _lat, or the parameter view")


def dicom_radiograph(path: Path) -> DicomRadiograph | None:
    """A DICOM file with its header, None for a file of another kind or none.

    Raises:
        InputError: if it is damaged.
    """
    header = read_header(path) if path.is_file() else None
    return None if header is None else DicomRadiograph(path, header)


def partner_of(image_id: str) -> str:
    """The name of the other view of the same case.

    Raises:
        InputError: if the name does not end in _ap or _lat.
    """
    match = _NAME.fullmatch(image_id)
    if not match:
        raise InputError(f"{image_id}: cannot tell the other view; expected a name ending in _ap or _lat")
    (other,) = (view for view in VIEWS if view != match["view"].lower())
    return f"{match['case']}_{other}"


def calibration_of(image_id: str, folder: Path) -> Path | None:
    """The calibration file of the case, if there is one in the folder.

    Raises:
        InputError: if it is a link that leads out of the folder.
    """
    match = _NAME.fullmatch(image_id)
    path = folder / f"{match['case'] if match else image_id}_calibration.json"
    if path.is_file() and not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{path.name}: a link that leads out of the studies folder")
    return path if path.is_file() else None
