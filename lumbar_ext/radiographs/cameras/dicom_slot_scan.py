"""Cameras of a biplanar slot scanner from its DICOM headers, where they suffice.

Both films are scanned at once, row by row, by two fans of rays whose central rays cross in the isocentre. So one row of the two
films lies at one height, and the isocentre in the middle of the columns of both. The headers tell the distance from each source
to the isocentre: Distance Source to Isocenter (0018,9402) or, in its absence, Distance Source to Patient (0018,1111), for the
person stands there; which side each source stood on: View Position (0018,5101) AP or PA, and LL or RL, the side next to the
detector; and how the films are laid: Patient Orientation (0020,0020).

In which plane Imager Pixel Spacing (0018,1164) holds is no part of the standard. Of one pair whose tags are public
(TomLeppens99/SpineModelling, 987 and 918 mm, 0.1794 mm) the lateral spacing is what a detector of 0.254 mm pixels at 1300 mm
has at the isocentre, so that is the rule here, and `spacing_plane` changes it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import BiplanarGeometry, SlotScan
from lumbar_ext.io import write_calibration
from lumbar_ext.io.dicom_header import element_numbers, slot_scanner
from lumbar_ext.radiographs.cameras.dicom_cameras import WORLD_DIRECTIONS
from lumbar_ext.radiographs.dicom_folder import DicomRadiograph, read_header
from lumbar_ext.radiographs.dicom_pairing import RadiographPair

SPACING_PLANES = ("isocentre", "detector")
_TO_SOURCE = {
    "ap": {"AP": (1, 0, 0), "PA": (-1, 0, 0)},
    "lat": {"LL": (0, -1, 0), "RL": (0, 1, 0)},
}
"""Where the source stands from the isocentre: opposite the side that is next to the detector."""


def missing_for_slot_scans(pair: RadiographPair, spacing_plane: str = "isocentre") -> list[str]:
    """What the headers lack to tell the cameras, each a phrase; empty if they suffice."""
    lacks = [
        f"{pair[view].path.name} lacks {what}" for view in VIEWS for what in _missing(pair[view], view, spacing_plane)
    ]
    if not lacks and len({(own.text("Rows"), _spacing_mm(own)[1]) for own in (pair.ap, pair.lat)}) > 1:
        lacks.append("the films differ in their rows, so that one may be cut")
    return lacks


def slot_scans_from_tags(pair: RadiographPair, spacing_plane: str = "isocentre") -> BiplanarGeometry:
    """Both cameras, isocentre at the world's origin, which lies in the middle row.

    Args:
        pair: the films of one scan.
        spacing_plane: one of `SPACING_PLANES`, in which the distance of columns holds that the headers state. That of rows is
            taken for the way of the scanner.

    Raises:
        InputError: for another plane, if the headers do not suffice, or state impossible distances.
    """
    if spacing_plane not in SPACING_PLANES:
        raise InputError(f"spacing_plane is {spacing_plane!r}, expected one of {', '.join(SPACING_PLANES)}")
    lacks = missing_for_slot_scans(pair, spacing_plane)
    if lacks:
        raise InputError(f"no calibration from the DICOM headers of these slot scans: {'; '.join(lacks)}")
    return BiplanarGeometry(**{view: _camera(pair[view], view, spacing_plane) for view in VIEWS})


def _missing(radiograph: DicomRadiograph, view: str, spacing_plane: str) -> list[str]:
    lacks = [keyword for keyword in ("ImagerPixelSpacing", "Rows", "Columns") if not radiograph.text(keyword)]
    if _isocentre_mm(radiograph) is None:
        lacks.append("DistanceSourceToIsocenter")
    if spacing_plane == "detector" and radiograph.number("DistanceSourceToDetector") is None:
        lacks.append("DistanceSourceToDetector")
    if radiograph.text("ViewPosition") not in _TO_SOURCE[view]:
        lacks.append(f"ViewPosition {' or '.join(_TO_SOURCE[view])}")
    if _axes(radiograph) is None:
        lacks.append("PatientOrientation whose columns run to the feet or the head")
    return lacks


def _camera(radiograph: DicomRadiograph, view: str, spacing_plane: str) -> SlotScan:
    isocentre_mm, (du, dv) = _isocentre_mm(radiograph), _spacing_mm(radiograph)
    beyond_mm = 0.0
    if spacing_plane == "detector":
        beyond_mm = radiograph.number("DistanceSourceToDetector") - isocentre_mm
        if beyond_mm <= 0:
            raise InputError(
                f"{radiograph.path}: the source is {isocentre_mm:g} mm from the isocentre and "
                f"{isocentre_mm + beyond_mm:g} mm from the detector, expected the former to be less"
            )
    to_source = np.array(_TO_SOURCE[view][radiograph.text("ViewPosition")], dtype=float)
    u_axis, v_axis = _axes(radiograph)
    size_px = (int(radiograph.number("Columns")), int(radiograph.number("Rows")))
    half_mm = (np.array(size_px) - 1) / 2 * (du, dv)
    origin_mm = -beyond_mm * to_source - half_mm[0] * u_axis - half_mm[1] * v_axis
    return SlotScan(isocentre_mm * to_source, origin_mm, u_axis, v_axis, (du, dv), size_px, isocentre_mm)


def _isocentre_mm(radiograph: DicomRadiograph) -> float | None:
    found = radiograph.number("DistanceSourceToIsocenter")
    return radiograph.number("DistanceSourceToPatient") if found is None else found


def _spacing_mm(radiograph: DicomRadiograph) -> tuple[float, float]:
    dv, du = element_numbers(radiograph.header, "ImagerPixelSpacing", radiograph.path, count=2)
    return du, dv


def _axes(radiograph: DicomRadiograph) -> tuple[np.ndarray, np.ndarray] | None:
    """World directions in which u and v grow; None where they are not told, or v is not upright."""
    letters = [part.strip()[:1] for part in radiograph.text("PatientOrientation").split("\\")]
    if len(letters) != 2 or not all(letter in WORLD_DIRECTIONS for letter in letters) or letters[1] not in "HF":
        return None
    u_axis, v_axis = (np.array(WORLD_DIRECTIONS[letter], dtype=float) for letter in letters)
    return (u_axis, v_axis) if u_axis @ v_axis == 0 else None


def write_slot_calibration(ap_image: str, lat_image: str, output: str, *, spacing_plane: str = "isocentre") -> None:
    """Writes the calibration of two slot scans from their DICOM headers.

    Args:
        ap_image: DICOM file of the frontal film.
        lat_image: that of the lateral film of the same scan.
        output: the JSON file to write.
        spacing_plane: "isocentre" or "detector", where the Imager Pixel Spacing of the headers holds.

    Raises:
        InputError: as `slot_scans_from_tags`, or for a file that is not of a slot scanner.
    """
    found = {}
    for view, path in zip(VIEWS, (Path(ap_image), Path(lat_image)), strict=True):
        header = read_header(path) if path.is_file() else None
        if header is None:
            raise InputError(f"{path}: not a DICOM file, expected the {view} film of a slot scanner")
        if slot_scanner(header, path) is None:
            raise InputError(f"{path}: not of a slot scanner by its header, so these rules do not hold for it")
        found[view] = DicomRadiograph(path, header)
    write_calibration(slot_scans_from_tags(RadiographPair(**found), spacing_plane), output)
    print(f"{output}: the spacing of columns is taken to hold at the {spacing_plane}")
