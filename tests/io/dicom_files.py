"""DICOM radiographs written for tests."""

from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid

DIGITAL_XRAY = "1.2.840.10008.5.1.4.1.1.1.1"


def write_dicom(path: Path, stored: np.ndarray, *, bits_stored: int = 16, rle: bool = False, **tags) -> Path:
    """Writes stored values [rows, columns] (or [frames, rows, columns]); further tags by DICOM keyword."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DIGITAL_XRAY
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = DIGITAL_XRAY, meta.MediaStorageSOPInstanceUID, "DX"
    data.Rows, data.Columns = stored.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 8 * stored.dtype.itemsize, bits_stored, bits_stored - 1
    data.PixelRepresentation = int(stored.dtype.kind == "i")
    if stored.ndim == 3:
        data.NumberOfFrames = len(stored)
    for keyword, value in tags.items():
        setattr(data, keyword, value)
    kept_bits = stored.astype(f"u{stored.dtype.itemsize}") & (2**bits_stored - 1)
    data.PixelData = kept_bits.tobytes()
    if rle:
        data.compress(RLELossless)
    data.save_as(path, enforce_file_format=True)
    return path
