"""Radiographs without their person: copies that hold the picture and how it was taken, and nothing else.

What stays is a list, not what goes: an attribute that nobody thought of, private or new, cannot slip through. Whatever is made
of the copies (meshes, reports, DICOM objects, logs) then cannot name the person either, file names included.
"""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, generate_uid

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import refuse_to_replace, staged_output
from lumbar_ext.io.dicom_header import is_dicom, read_dataset
from lumbar_ext.radiographs.formats import read_radiograph

_KEPT = (
    # the picture
    "SOPClassUID Modality ConversionType PresentationIntentType Rows Columns NumberOfFrames SamplesPerPixel "
    "PhotometricInterpretation BitsAllocated BitsStored HighBit PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit "
    "PixelAspectRatio SmallestImagePixelValue LargestImagePixelValue LossyImageCompression PixelData "
    # how its values are meant
    "PixelIntensityRelationship PixelIntensityRelationshipSign RescaleIntercept RescaleSlope RescaleType "
    "WindowCenter WindowWidth VOILUTFunction ModalityLUTSequence VOILUTSequence PresentationLUTShape PresentationLUTSequence "
    # where it lies
    "PixelSpacing PixelSpacingCalibrationType ImagerPixelSpacing NominalScannedPixelSpacing "
    "EstimatedRadiographicMagnificationFactor PatientOrientation ViewPosition Laterality ImageLaterality BodyPartExamined "
    "DistanceSourceToDetector DistanceSourceToPatient DistanceSourceToIsocenter PositionerType PositionerPrimaryAngle "
    "PositionerSecondaryAngle DetectorPrimaryAngle DetectorSecondaryAngle "
    # what took it
    "Manufacturer ManufacturerModelName KVP"
).split()
_IN_A_TABLE = "LUTDescriptor LUTData ModalityLUTType".split()
_COPIES = tuple(f"{view}.dcm" for view in VIEWS)
_FIRST_OVERLAY, _LAST_OVERLAY = 0x6000, 0x60FF
_OVERLAY_BIT = 0x0102


def deidentify(ap_image: str, lat_image: str, output_dir: str, *, pseudonym: str = "anonymous") -> None:
    """Writes both DICOM radiographs without name, ids, dates, free texts and private attributes, as `ap.dcm` and `lat.dcm`.

    Identifiers of study, series and image are new and cannot be traced back; both films are of one study again. Letters that
    were burned into the pixels stay: look at the pictures.

    Args:
        ap_image: the AP radiograph, a DICOM file.
        lat_image: the lateral one.
        output_dir: folder to fill.
        pseudonym: takes the place of the patient's name and id, at most 64 characters.

    Raises:
        InputError: for a file that is no DICOM radiograph, says that a person's data are burned into its pixels, or keeps an
            overlay among the bits of its pixels, and where a copy would take an original's place; nothing is written then.
    """
    if not pseudonym or len(pseudonym) > 64 or "\\" in pseudonym or not pseudonym.isprintable():
        raise InputError(f"pseudonym is {pseudonym!r}, expected 1 to 64 printable characters without a backslash")
    study = {
        "StudyInstanceUID": generate_uid(),
        "PatientID": pseudonym,
        "PatientName": f"{pseudonym.replace('^', ' ')}^",
    }
    refuse_to_replace((ap_image, lat_image), output_dir, _COPIES)
    copies = {view: _copy(Path(path), study) for view, path in zip(VIEWS, (ap_image, lat_image), strict=True)}
    with staged_output(output_dir, _COPIES) as staging:
        for view, copy in copies.items():
            copy.save_as(staging / f"{view}.dcm", enforce_file_format=True)


def _copy(path: Path, study: dict[str, str]) -> Dataset:
    read_radiograph(path, slot_scans=True)
    if not is_dicom(path):
        raise InputError(f"{path}: no DICOM file, expected one; pictures of other formats hold no names")
    source = read_dataset(path, with_pixels=True)
    if str(source.get("BurnedInAnnotation", "")).upper() == "YES":
        raise InputError(f"{path}: says that annotations are burned into its pixels, which may name the person")
    for group in range(_FIRST_OVERLAY, _LAST_OVERLAY + 1, 2):
        if source.get_item((group, _OVERLAY_BIT)) is not None and int(source[group, _OVERLAY_BIT].value or 0):
            raise InputError(f"{path}: keeps an overlay among the bits of its pixels, which may name the person")
    copy = Dataset()
    for keyword in _KEPT:
        if keyword in source:
            copy.add(source[keyword])
            if source[keyword].VR == "SQ":
                setattr(copy, keyword, [_kept(item, _IN_A_TABLE) for item in source[keyword].value])
    copy.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in {**study, "SeriesInstanceUID": generate_uid(), "SOPInstanceUID": generate_uid()}.items():
        setattr(copy, keyword, value)
    copy.PatientIdentityRemoved, copy.DeidentificationMethod = "YES", "lumbar_ext: what stays is listed"
    copy.file_meta = FileMetaDataset()
    syntax = getattr(source, "file_meta", Dataset()).get("TransferSyntaxUID", ImplicitVRLittleEndian)
    copy.file_meta.TransferSyntaxUID = syntax
    copy.file_meta.MediaStorageSOPClassUID = copy.SOPClassUID
    copy.file_meta.MediaStorageSOPInstanceUID = copy.SOPInstanceUID
    return copy


def _kept(item: Dataset, keywords: list[str]) -> Dataset:
    copy = Dataset()
    for keyword in keywords:
        if keyword in item:
            copy.add(item[keyword])
    return copy
