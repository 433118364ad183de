"""DICOM radiographs (DX, CR, RF and their kin): from stored values to bone-bright or displayed pixels.

docs/radiographs.md tells what each combination of elements gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from lumbar_ext.errors import InputError
from lumbar_ext.io.dicom_header import (
    element_integer,
    element_name,
    element_numbers,
    element_text,
    read_dataset,
    refused_slot_scan,
    sequence_items,
    slot_scanner,
)
from lumbar_ext.io.dicom_pixels import StoredImage, read_stored, require_grey
from lumbar_ext.io.input_file import one_line
from lumbar_ext.radiographs.radiograph import Polarity, Radiograph

_CALIBRATED_TO_PATIENT = ("GEOMETRY", "FIDUCIAL")


@dataclass(frozen=True)
class _Display:
    """How stored values become pixels, by the header.

    Args:
        inverted: whether low values display bright.
        polarity: of the pixels as they are displayed.
        raw: whether the image is not for display: values are as the detector gave them, without rescaling.
        linear: whether they are proportional to its signal.
    """

    inverted: bool
    polarity: Polarity
    raw: bool = False
    linear: bool = False


def decode_dicom(path: Path, *, slot_scans: bool = False) -> Radiograph:
    """Reads a DICOM image with one frame; rescaling and MONOCHROME1 inversion are applied, so larger values display
    brighter; raw images ("for processing") are laid bone bright, and as logarithms.

    Args:
        path: the file.
        slot_scans: whether those of slot scanners are wanted, too.

    Raises:
        InputError: if the file cannot be read, is no radiograph with one grey frame, is one of a slot scanner that is not
            wanted, or its header contradicts its pixels.
    """
    data = read_dataset(path, with_pixels=True)
    device = slot_scanner(data, path)
    if device and not slot_scans:
        raise refused_slot_scan(path, device)
    photometric = require_grey(path, data)
    image = read_stored(path, data)
    display = _display(path, data, photometric)
    spacing_mm, spacing_remarks = _detector_spacing(path, data)
    pixel_remarks = [*image.remarks, *_padding_remark(image)]
    return Radiograph(
        pixels=_pixels(path, data, image, display),
        path=path,
        bit_depth=image.bits,
        pixel_spacing_mm=spacing_mm,
        polarity=display.polarity,
        polarity_from="nothing" if display.polarity == "unknown" else "tags",
        patient_id=element_text(data, "PatientID", path),
        study_date=element_text(data, "StudyDate", path),
        view_position=element_text(data, "ViewPosition", path),
        orientation=_orientation(path, data),
        padding=image.padding,
        slot_scanner=device,
        remarks=(*spacing_remarks, *(f"{path}: {remark}" for remark in pixel_remarks)),
    )


def _padding_remark(image: StoredImage) -> list[str]:
    if image.padding is None:
        return []
    return [f"{image.padding.mean():.1%} of the pixels are padding by the header; they are left out of account"]


def _pixels(path: Path, data: Dataset, image: StoredImage, display: _Display) -> np.ndarray:
    """Pixels float32 [rows, columns], larger is brighter; padding holds the middle of the others."""
    low, high = image.limits
    if display.linear:
        # The part of the beam that is left; one step of the detector is the least that it can tell.
        signal = image.values - low if display.inverted else high - image.values
        pixels = -np.log(np.maximum(signal, 1).astype(np.float32) / np.float32(high - low))
    else:
        slope, intercept = (1.0, 0.0) if display.raw else _rescale(path, data, image)
        scaled = image.values * np.float64(slope) + intercept if (slope, intercept) != (1, 0) else image.values
        pixels = slope * (low + high) + 2 * intercept - scaled if display.inverted else scaled
    pixels = np.ascontiguousarray(pixels, dtype=np.float32)
    if image.padding is not None:
        pixels[image.padding] = np.median(pixels[~image.padding])
    return pixels


def _rescale(path: Path, data: Dataset, image: StoredImage) -> tuple[float, float]:
    """Rescale Slope and Intercept.

    Raises:
        InputError: if the result could not tell grey values apart in single precision.
    """
    (slope,) = element_numbers(data, "RescaleSlope", path) or (1.0,)
    (intercept,) = element_numbers(data, "RescaleIntercept", path) or (0.0,)
    if not 1e-6 * max(abs(slope * end + intercept) for end in image.limits) < abs(slope) < 1e20:
        raise InputError(
            f"{path}: Rescale Slope {slope:g} and Intercept {intercept:g}, which leave no grey values apart"
        )
    return slope, intercept


def _detector_spacing(path: Path, data: Dataset) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """(du, dv) on the detector, and remarks.

    Imager Pixel Spacing (0018,1164) is measured at the detector. Pixel Spacing (0028,0030) equals it unless calibrated
    to the patient, which the Calibration Type (0028,0A02) tells; Nominal Scanned Pixel Spacing (0018,2010) is that of a
    scanned film (DICOM PS3.3, C.8.11.3, C.8.11.4, 10.7.1). All hold the row distance dv first.
    """
    imager = _spacing(path, data, "ImagerPixelSpacing")
    if imager:
        return imager, ()
    plain = _spacing(path, data, "PixelSpacing")
    calibration = element_text(data, "PixelSpacingCalibrationType", path)
    if plain and calibration in _CALIBRATED_TO_PATIENT:
        remark = (
            f"{path}: Pixel Spacing is calibrated to the patient ({calibration}), not the detector's; it is not used"
        )
        return None, (remark,)
    return plain or _spacing(path, data, "NominalScannedPixelSpacing"), ()


def _spacing(path: Path, data: Dataset, keyword: str) -> tuple[float, float] | None:
    numbers = element_numbers(data, keyword, path, count=2)
    if numbers is None:
        return None
    dv, du = numbers
    if not (0 < du < np.inf and 0 < dv < np.inf):
        raise InputError(
            f"{path}: DICOM tag {element_name(keyword)} is {dv:g}\\{du:g}, expected two positive numbers dv\\du in mm"
        )
    return du, dv


def _display(path: Path, data: Dataset, photometric: str) -> _Display:
    """How values are displayed, and whether bone is bright then: where the elements agree with each other.

    Low stored values display bright for MONOCHROME1. They mean bone where Pixel Intensity Relationship Sign (0028,1041)
    is +1, and Presentation LUT Shape (2050,0020) is INVERSE where they are to display bright (DICOM PS3.3, C.8.11.3).
    Tables may turn the display once more, and so may a negative slope; and files carry wrong signs and shapes. Where
    anything disagrees, only the image itself can tell.

    Raw images ("for processing") are for no display: there the sign alone counts, and values proportional to the
    detector's signal (LIN) are no attenuation yet.
    """
    low_is_bright = photometric == "MONOCHROME1"
    low_is_bone = {1: True, -1: False}.get(element_integer(data, "PixelIntensityRelationshipSign", path))
    shape = {"INVERSE": True, "IDENTITY": False}.get(element_text(data, "PresentationLUTShape", path) or "")
    if element_text(data, "PresentationIntentType", path) == "FOR PROCESSING" and low_is_bone is not None:
        linear = element_text(data, "PixelIntensityRelationship", path) == "LIN"
        return _Display(low_is_bone, "bone_bright", raw=True, linear=linear)
    (slope,) = element_numbers(data, "RescaleSlope", path) or (1.0,)
    turned_by_table = sum(
        _falls(path, data, name) for name in ("ModalityLUTSequence", "VOILUTSequence", "PresentationLUTSequence")
    )
    agree = low_is_bone in (None, low_is_bright) and shape in (None, low_is_bright)
    plain = slope > 0 and not turned_by_table
    return _Display(low_is_bright != (turned_by_table % 2 == 1), "bone_bright" if agree and plain else "unknown")


def _falls(path: Path, data: Dataset, keyword: str) -> bool:
    """Whether the first table of a sequence falls from its first to its last value."""
    for item in sequence_items(data, keyword, path)[:1]:
        try:
            table = item.LUTData
            table = np.frombuffer(table[: len(table) // 2 * 2], "<u2") if isinstance(table, bytes) else table
            return len(table) > 1 and int(table[-1]) < int(table[0])
        except Exception as error:
            raise InputError(f"{path}: the table of {keyword} cannot be read ({one_line(error)})") from error
    return False


def _orientation(path: Path, data: Dataset) -> tuple[str, str] | None:
    """Main directions (letters of A, P, L, R, H, F) in which u and v grow, from Patient Orientation (0020,0020)."""
    parts = (element_text(data, "PatientOrientation", path) or "").split("\\")
    letters = tuple(part.strip()[:1] for part in parts)
    return letters if len(letters) == 2 and all(letter in "APLRHF" and letter for letter in letters) else None
