"""A folder with the slices of a CT, against ITK's reader."""

import itk
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from scipy.spatial.transform import Rotation

from lumbar_ext.errors import InputError
from lumbar_ext.io.volume import OURS_FROM_LPS, read_grid, read_volume

TURN = Rotation.from_euler("xyz", [10, 5, -20], degrees=True).as_matrix()
STEP_MM = 1.25


def write_slice(path, k, **tags):
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = f"1.2.3.4.{k + 1}"
    data.SeriesInstanceUID, data.StudyInstanceUID, data.Modality = "1.2.3.4", "1.2.3", "CT"
    data.Rows, data.Columns, data.BitsAllocated, data.BitsStored, data.HighBit = 7, 5, 16, 12, 11
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.PixelSpacing = [0.8, 0.6]
    data.ImageOrientationPatient = np.round(TURN[:, :2].T.ravel(), 9).tolist()
    data.ImagePositionPatient = np.round([3, -4, 5] + TURN[:, 2] * STEP_MM * k, 6).tolist()
    for name, value in tags.items():
        setattr(data, name, value)
    pixels = np.random.default_rng(k).integers(0, 4096, (7, 5), dtype=np.uint16)
    data.PixelData = pixels.tobytes()
    data.save_as(path, enforce_file_format=True)


@pytest.fixture
def folder(tmp_path):
    series = tmp_path / "ct"
    series.mkdir()
    # Names that are not in the slices' order.
    for k, name in enumerate("cafbed"):
        write_slice(series / name, k)
    (series / "notes.txt").write_text("no slice")
    return series


def test_slices_lie_where_itk_has_them(folder):
    values, ours_from_voxel = read_grid(folder)
    names = itk.GDCMSeriesFileNames.New(Directory=str(folder)).GetFileNames("1.2.3.4")
    image = itk.imread(list(names), itk.F)
    np.testing.assert_array_equal(values, itk.array_from_image(image).transpose(2, 1, 0))
    lps_from_voxel = np.eye(4)
    lps_from_voxel[:3, :3] = itk.array_from_matrix(image.GetDirection()) * np.array(image.GetSpacing())
    lps_from_voxel[:3, 3] = np.array(image.GetOrigin())
    np.testing.assert_allclose(ours_from_voxel, OURS_FROM_LPS @ lps_from_voxel, atol=1e-4)
    assert read_volume(folder).values.shape == (5, 7, 6)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"SeriesInstanceUID": "1.2.9"}, "expected one DICOM series, found 2"),
        ({"ImagePositionPatient": [3, -4, 5]}, "do not lie at even distances"),
        ({"PixelSpacing": [0.8, 0.7]}, "another size, spacing or orientation"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "is of no image"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "expected MONOCHROME1"),
        ({"NumberOfFrames": 2}, "2 frames"),
    ],
)
def test_anything_but_one_whole_series_is_refused(folder, tags, said):
    write_slice(folder / "e", 4, **tags)
    with pytest.raises(InputError, match=said):
        read_grid(folder)


def test_a_missing_slice_is_told(folder):
    (folder / "b").unlink()
    with pytest.raises(InputError, match="do not lie at even distances, expected all slices"):
        read_grid(folder)


def test_a_slice_cut_short_is_told(folder):
    (folder / "b").write_bytes((folder / "b").read_bytes()[:-10])
    with pytest.raises(InputError, match="b: pixel data are missing"):
        read_grid(folder)
