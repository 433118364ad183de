"""Cameras from the DICOM headers of an isocentric system, where they suffice.

A C-arm turns about its isocentre. Its header tells the distances from the source to the isocentre and to the detector,
two angles and the pixel spacing, so both cameras are known in one frame with the isocentre as origin, IF the person did
not move between the two images and the central ray meets the middle of the detector. A radiography stand has no
isocentre: there "source to patient" is the distance to the table or bucky (DICOM PS3.3, C.8.11.5), the person turns
between the images, and the headers can never suffice.
"""

from __future__ import annotations

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.geometry import BiplanarGeometry, Camera, ConeBeam
from lumbar_ext.io.dicom_header import element_numbers
from lumbar_ext.radiographs.dicom_folder import DicomRadiograph
from lumbar_ext.radiographs.dicom_pairing import RadiographPair

NEEDED = (
    "DistanceSourceToDetector",
    "DistanceSourceToPatient",
    "PositionerPrimaryAngle",
    "PositionerSecondaryAngle",
    "ImagerPixelSpacing",
)
_TILTS = ("DetectorPrimaryAngle", "DetectorSecondaryAngle")
# of the letters of Patient Orientation, PS3.3 C.7.6.1.1.1
WORLD_DIRECTIONS = {"A": (1, 0, 0), "P": (-1, 0, 0), "L": (0, 1, 0), "R": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}


def missing_for_calibration(radiograph: DicomRadiograph) -> list[str]:
    """What a header lacks to tell its camera; empty if it suffices."""
    lacks = [keyword for keyword in (*NEEDED, "Rows", "Columns") if not radiograph.text(keyword)]
    if radiograph.text("Modality") != "XA" and radiograph.text("PositionerType") != "CARM":
        lacks.append("PositionerType CARM (or modality XA)")
    tilted = [keyword for keyword in _TILTS if abs(radiograph.number(keyword) or 0.0) > 0.1]
    return lacks + [f"{keyword} 0" for keyword in tilted]


def calibration_from_tags(pair: RadiographPair) -> BiplanarGeometry:
    """Both cameras, isocentre at the world's origin.

    Raises:
        InputError: if a header does not suffice, or the two views do not differ in direction.
    """
    for radiograph in (pair.ap, pair.lat):
        lacks = missing_for_calibration(radiograph)
        if lacks:
            raise InputError(f"{radiograph.path}: no calibration from the DICOM header, which lacks {', '.join(lacks)}")
    return BiplanarGeometry(camera_from_tags(pair.ap), camera_from_tags(pair.lat))


def camera_from_tags(radiograph: DicomRadiograph) -> Camera:
    """The camera of an isocentric system with the isocentre at the origin.

    The primary angle a turns the detector from the person's front (0) to the left (90 deg), the secondary angle b towards
    the head (DICOM PS3.3, C.8.7.5.1.2), so the detector stands in the direction (cos a cos b, sin a cos b, sin b) of the
    isocentre. Columns grow with a and rows against b, as one looks from the detector's side, unless Patient Orientation
    says that the image is stored mirrored or turned.

    Raises:
        InputError: if a distance, spacing or size is impossible.
    """
    a, b = np.radians([radiograph.number("PositionerPrimaryAngle"), radiograph.number("PositionerSecondaryAngle")])
    to_detector = np.array([np.cos(a) * np.cos(b), np.sin(a) * np.cos(b), np.sin(b)])
    u_axis = np.array([-np.sin(a), np.cos(a), 0.0])
    v_axis = np.array([np.cos(a) * np.sin(b), np.sin(a) * np.sin(b), -np.cos(b)])
    source_to_detector_mm = radiograph.number("DistanceSourceToDetector")
    source_to_isocentre_mm = radiograph.number("DistanceSourceToPatient")
    if not 0 < source_to_isocentre_mm < source_to_detector_mm:
        raise InputError(
            f"{radiograph.path}: DistanceSourceToPatient {source_to_isocentre_mm:g} mm and DistanceSourceToDetector "
            f"{source_to_detector_mm:g} mm, expected 0 < the former < the latter"
        )
    u_axis, v_axis = _as_stored(radiograph, u_axis, v_axis)
    dv, du = element_numbers(radiograph.header, "ImagerPixelSpacing", radiograph.path, count=2)
    size_px = (int(radiograph.number("Columns")), int(radiograph.number("Rows")))
    half_mm = (np.array(size_px) - 1) / 2 * (du, dv)
    centre_mm = (source_to_detector_mm - source_to_isocentre_mm) * to_detector
    origin_mm = centre_mm - half_mm[0] * u_axis - half_mm[1] * v_axis
    try:
        return ConeBeam(-source_to_isocentre_mm * to_detector, origin_mm, u_axis, v_axis, (du, dv), size_px)
    except InputError as error:
        raise InputError(f"{radiograph.path}: no camera from the DICOM header: {error}") from error


def _as_stored(radiograph: DicomRadiograph, u_axis: np.ndarray, v_axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The axes turned and mirrored to what Patient Orientation says, as they are where it says nothing."""
    letters = [part.strip()[:1] for part in radiograph.text("PatientOrientation").split("\\")]
    if len(letters) != 2 or not all(letter in WORLD_DIRECTIONS for letter in letters):
        return u_axis, v_axis
    along_u, along_v = (np.array(WORLD_DIRECTIONS[letter]) for letter in letters)
    if abs(v_axis @ along_u) > abs(u_axis @ along_u):
        u_axis, v_axis = v_axis, u_axis
    return u_axis * (-1 if u_axis @ along_u < 0 else 1), v_axis * (-1 if v_axis @ along_v < 0 else 1)
