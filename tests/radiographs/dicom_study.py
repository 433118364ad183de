"""The sample study as the DICOM files that a radiography system would send."""

from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

SAMPLE = Path(__file__).parents[2] / "bundles" / "lumbar_reconstruction" / "sample"
SPACING_MM = 0.4169921875
STUDY_UID = generate_uid(entropy_srcs=["lumbar_ext sample study"])


def write_sample_study(folder: Path, *, calibration: bool = True, **tags) -> Path:
    """Writes `IM0001` (AP) and `IM0002` (lateral), told apart by their series descriptions, and the calibration.

    Further tags apply to both images; `ap` and `lat` give dictionaries of tags of one image, None leaves a tag out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = {view: tags.pop(view, {}) for view in ("ap", "lat")}
    for number, (view, description) in enumerate((("ap", "L-Spine a.p."), ("lat", "L-Spine lateral")), start=1):
        pixels = np.asarray(Image.open(SAMPLE / f"{view}.png"))
        write_image(folder / f"IM{number:04d}", pixels, {"SeriesDescription": description, **tags, **own[view]})
    if calibration:
        (folder / "calibration.json").write_bytes((SAMPLE / "calibration.json").read_bytes())
    return folder


def write_image(path: Path, pixels: np.ndarray, tags: dict) -> Path:
    """Writes 16-bit pixels [rows, columns] as a digital X-ray image."""
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = DigitalXRayImageStorageForPresentation, generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = STUDY_UID, generate_uid()
    data.Modality, data.PresentationIntentType = "DX", "FOR PRESENTATION"
    data.PatientID, data.PatientName, data.StudyDate = "SIM-1", "Simulated^Subject", "20260101"
    data.StudyTime, data.StudyID, data.AccessionNumber = "120000", "1", "A1"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.ImagerPixelSpacing = [SPACING_MM, SPACING_MM]
    data.PixelData = pixels.astype("<u2").tobytes()
    for keyword, value in tags.items():
        if value is None:
            data.pop(keyword, None)
        else:
            setattr(data, keyword, value)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    if int(pydicom.__version__.split(".")[0]) >= 3:
        data.save_as(path, enforce_file_format=True)
    else:  # MONAI Label's environment
        data.is_little_endian, data.is_implicit_VR = True, False
        data.save_as(path, write_like_original=False)
    return path
