"""DICOM radiographs (DX, CR, RF and their kin), decoded by GDCM through ITK."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.radiographs.radiograph import Polarity, Radiograph

_PATIENT_ID, _STUDY_DATE, _VIEW_POSITION = "0010|0020", "0008|0020", "0018|5101"
_IMAGER_PIXEL_SPACING, _PIXEL_SPACING, _NOMINAL_SCANNED_SPACING = "0018|1164", "0028|0030", "0018|2010"
_SPACING_CALIBRATION = "0028|0a02"
_PHOTOMETRIC, _BITS_STORED, _RESCALE_SLOPE = "0028|0004", "0028|0101", "0028|1053"
_INTENSITY_SIGN, _LUT_SHAPE, _PATIENT_ORIENTATION = "0028|1041", "2050|0020", "0020|0020"
_CALIBRATED_TO_PATIENT = ("GEOMETRY", "FIDUCIAL")


def is_dicom(path: Path) -> bool:
    """Whether the content is DICOM: by the `DICM` mark or, without a preamble, by its first data element."""
    with path.open("rb") as stream:
        head = stream.read(132)
    # Files without the preamble start with a tag of group 2 or 8 in little endian.
    return head[128:132] == b"DICM" or (head[:2] in (b"\x02\x00", b"\x08\x00") and head[3:4] == b"\x00")


def decode_dicom(path: Path) -> Radiograph:
    """Reads a DICOM image with one frame; rescaling and MONOCHROME1 inversion are applied, so larger values display
    brighter.

    Raises:
        InputError: if GDCM cannot read the file, or it holds several frames or colour.
    """
    reader = _open(path)
    tags = reader.GetMetaDataDictionary()
    photometric = _text(tags, _PHOTOMETRIC) or ""
    if reader.GetNumberOfComponents() != 1 or not photometric.startswith("MONOCHROME"):
        raise InputError(
            f"{path}: a DICOM image with photometric interpretation {photometric!r}, expected MONOCHROME1 or 2"
        )
    frames = int(np.prod([reader.GetDimensions(axis) for axis in range(2, reader.GetNumberOfDimensions())]))
    if frames != 1:
        raise InputError(f"{path}: a DICOM image of {frames} frames, expected one radiograph with a single frame")
    spacing_mm, spacing_remarks = _detector_spacing(path, tags)
    polarity = _polarity(tags, photometric)
    return Radiograph(
        pixels=_read_displayed(path, reader, photometric),
        path=path,
        bit_depth=int(_text(tags, _BITS_STORED) or 16),
        pixel_spacing_mm=spacing_mm,
        polarity=polarity,
        polarity_from="nothing" if polarity == "unknown" else "tags",
        patient_id=_text(tags, _PATIENT_ID),
        study_date=_text(tags, _STUDY_DATE),
        view_position=_text(tags, _VIEW_POSITION),
        orientation=_orientation(tags),
        remarks=spacing_remarks,
    )


def _open(path: Path):
    import itk

    reader = itk.GDCMImageIO.New()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    return reader


def _read_displayed(path: Path, reader, photometric: str) -> np.ndarray:
    """Pixels float32 [rows, columns], rescaled, larger is brighter: GDCM itself inverts MONOCHROME1."""
    try:
        return _read_pixels(path, reader)
    except RuntimeError as error:
        if photometric != "MONOCHROME1":
            raise _unreadable(path, error) from error
    # GDCM refuses to invert signed pixels of fewer bits than allocated: read them as MONOCHROME2, invert here.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "monochrome2.dcm"
        copy.write_bytes(path.read_bytes().replace(b"MONOCHROME1", b"MONOCHROME2", 1))
        try:
            stored = _read_pixels(copy, _open(copy))
        except RuntimeError as error:
            raise _unreadable(path, error) from error
    return stored.min() + stored.max() - stored


def _read_pixels(path: Path, image_io) -> np.ndarray:
    import itk

    reader = itk.ImageFileReader[itk.Image[itk.F, 3]].New()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    reader.Update()
    return np.array(itk.array_from_image(reader.GetOutput())[0], dtype=np.float32)


def _unreadable(path: Path, error: RuntimeError) -> InputError:
    reason = " ".join(str(error).split())[-120:]
    return InputError(
        f"{path}: GDCM cannot read an image from this DICOM file ({reason}); it is damaged, cut short, no image "
        "object, or compressed in a way GDCM does not know"
    )


def _text(tags, key: str) -> str | None:
    if not tags.HasKey(key):
        return None
    return str(tags[key]).strip(" \0") or None


def _detector_spacing(path: Path, tags) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """(du, dv) on the detector, and remarks.

    Imager Pixel Spacing (0018,1164) is measured at the detector. Pixel Spacing (0028,0030) equals it unless calibrated
    to the patient, which the Calibration Type (0028,0A02) tells; Nominal Scanned Pixel Spacing (0018,2010) is that of a
    scanned film (DICOM PS3.3, C.8.11.3, C.8.11.4, 10.7.1). All hold the row distance dv first.
    """
    imager = _spacing(path, tags, _IMAGER_PIXEL_SPACING)
    if imager:
        return imager, ()
    plain = _spacing(path, tags, _PIXEL_SPACING)
    calibration = _text(tags, _SPACING_CALIBRATION)
    if plain and calibration in _CALIBRATED_TO_PATIENT:
        remark = (
            f"{path}: Pixel Spacing is calibrated to the patient ({calibration}), not the detector's; it is not used"
        )
        return None, (remark,)
    return plain or _spacing(path, tags, _NOMINAL_SCANNED_SPACING), ()


def _spacing(path: Path, tags, key: str) -> tuple[float, float] | None:
    text = _text(tags, key)
    if text is None:
        return None
    try:
        dv, du = (float(part) for part in text.split("\\"))
    except ValueError as error:
        raise InputError(
            f"{path}: DICOM tag ({key.replace('|', ',')}) is {text!r}, expected two numbers dv\\du in mm"
        ) from error
    if not (0 < du < np.inf and 0 < dv < np.inf):
        raise InputError(
            f"{path}: DICOM tag ({key.replace('|', ',')}) is {text!r}, expected two positive numbers dv\\du in mm"
        )
    return du, dv


def _polarity(tags, photometric: str) -> Polarity:
    """Bone is bright as displayed where the tags agree with each other; unknown where they do not.

    Low stored values display bright for MONOCHROME1. They mean bone where Pixel Intensity Relationship Sign (0028,1041)
    is +1, and Presentation LUT Shape (2050,0020) is INVERSE where they are to display bright (DICOM PS3.3, C.8.11.3).
    Raw images "for processing" are often MONOCHROME2 with sign +1, so bone is dark; other files carry wrong signs and
    shapes; some hide an inversion in a negative rescale slope. Then only the image itself can tell.
    """
    low_is_bright = photometric == "MONOCHROME1"
    low_is_bone = {"1": True, "+1": True, "-1": False}.get(_text(tags, _INTENSITY_SIGN) or "", low_is_bright)
    inverse_shape = {"INVERSE": True, "IDENTITY": False}.get(_text(tags, _LUT_SHAPE) or "", low_is_bright)
    plain_slope = not (_text(tags, _RESCALE_SLOPE) or "1").startswith("-")
    agree = low_is_bone == inverse_shape == low_is_bright and plain_slope
    return "bone_bright" if agree else "unknown"


def _orientation(tags) -> tuple[str, str] | None:
    """Main directions (letters of A, P, L, R, H, F) in which u and v grow, from Patient Orientation (0020,0020)."""
    parts = (_text(tags, _PATIENT_ORIENTATION) or "").split("\\")
    letters = tuple(part.strip()[:1] for part in parts)
    return letters if len(letters) == 2 and all(letter in "APLRHF" and letter for letter in letters) else None
