"""A small biplanar study, and a writer of DICOM files, for the tests of this folder."""

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid

from lumbar_ext.geometry import BiplanarGeometry, ConeBeam

DIGITAL_XRAY = "1.2.840.10008.5.1.4.1.1.1.1"


@pytest.fixture
def geometry() -> BiplanarGeometry:
    """AP from the front, lateral from the left, different sizes and spacings."""
    ap = ConeBeam([1000, 0, 0], [-300, -32, 47], [0, 1, 0], [0, 0, -1], (1.0, 1.5), (64, 63))
    lat = ConeBeam([0, 1000, 0], [30, -300, 47], [-1, 0, 0], [0, 0, -1], (1.2, 1.2), (51, 80))
    return BiplanarGeometry(ap, lat)


@pytest.fixture
def trunk():
    """A function that makes a bone-bright image [rows, columns] of a trunk between air, uint16."""

    def make(rows: int, columns: int, seed: int = 0) -> np.ndarray:
        u = np.linspace(-1, 1, columns)
        thickness = np.sqrt(np.clip(1 - (u / 0.8) ** 2, 0, None))
        spine = 0.4 * (np.abs(u) < 0.12)
        levels = 1 + 0.1 * np.sin(np.arange(rows) / 3.0)[:, None]
        noise = np.random.default_rng(seed).normal(0, 0.01, (rows, columns))
        return np.clip((thickness + spine) * levels * 20000 + 2000 + 20000 * noise, 0, 65535).astype(np.uint16)

    return make


@pytest.fixture
def write_dicom():
    """The function that writes a DICOM file."""
    return _write_dicom


def _write_dicom(path: Path, stored: np.ndarray, *, bits_stored: int = 16, rle: bool = False, **tags) -> Path:
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
