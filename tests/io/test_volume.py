"""Volumes in the world X front, Y left, Z up, whatever the file's own."""

import itk
import nibabel
import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.io.volume import Volume, read_volume


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)


def place(volume, index):
    return volume.world_from_voxel[:3, :3] @ index + volume.world_from_voxel[:3, 3]


def test_nifti_is_right_anterior_superior(tmp_path, values):
    affine = np.diag([2.0, 1.0, 3.0, 1.0])
    affine[:3, 3] = [10, 20, 30]
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "a.nii.gz")
    volume = read_volume(tmp_path / "a.nii.gz")
    assert np.allclose(volume.values, values)
    # RAS (12, 23, 36) is 23 to the front, -12 to the left, 36 up.
    assert np.allclose(place(volume, [1, 3, 2]), [23, -12, 36], atol=1e-4)
    assert np.allclose(volume.spacing_mm, [2, 1, 3])


def test_metaimage_is_left_posterior_superior(tmp_path, values):
    image = itk.image_from_array(np.ascontiguousarray(values.transpose(2, 1, 0)))
    image.SetOrigin([10.0, 20.0, 30.0])
    itk.imwrite(image, str(tmp_path / "a.mha"))
    volume = read_volume(tmp_path / "a.mha")
    assert np.allclose(volume.values, values)
    assert np.allclose(place(volume, [1, 3, 2]), [-23, 11, 32])


def test_right_handed_axes_keep_every_voxel_in_place(values):
    affine = np.diag([1.0, 1.0, -2.0, 1.0])
    volume = Volume(values, affine)
    turned = volume.right_handed()
    assert np.linalg.det(turned.world_from_voxel[:3, :3]) > 0
    for k in range(6):
        assert np.array_equal(turned.values[:, :, 5 - k], values[:, :, k])
        assert np.allclose(place(turned, [1, 2, 5 - k]), place(volume, [1, 2, k]))


def test_bad_volumes_are_refused(tmp_path, values):
    with pytest.raises(InputError, match="no such file, expected a volume"):
        read_volume(tmp_path / "none.nii.gz")
    (tmp_path / "text.nii.gz").write_text("not an image")
    with pytest.raises(InputError, match="cannot be read"):
        read_volume(tmp_path / "text.nii.gz")
    values[0, 0, 0] = np.nan
    itk.imwrite(itk.image_from_array(values), str(tmp_path / "nan.mha"))
    with pytest.raises(InputError, match="1 voxels are not finite"):
        read_volume(tmp_path / "nan.mha")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="expected one DICOM series, found 0"):
        read_volume(tmp_path / "empty")


def test_sheared_axes_are_refused(values):
    affine = np.eye(4)
    affine[0, 1] = 0.2
    with pytest.raises(InputError, match="sheared"):
        Volume(values, affine)


def nrrd(sizes="6 5 4", more=""):
    header = (
        f"NRRD0004\ntype: unsigned char\ndimension: 3\nspace: left-posterior-superior\nsizes: {sizes}\n"
        "space directions: (1,0,0) (0,1,0) (0,0,1)\nkinds: domain domain domain\nencoding: raw\n"
        f"space origin: (0,0,0)\n{more}\n"
    )
    return header.encode() + bytes(range(120))


def test_names_of_segments_in_any_language_and_length_are_no_damage(tmp_path):
    (tmp_path / "a.seg.nrrd").write_bytes(
        nrrd(more="Segment0_Name:=Wirbelk\u00f6rper\nSegment0_Tags:=" + "x" * 5000 + "\n")
    )
    assert read_volume(tmp_path / "a.seg.nrrd").values.shape == (6, 5, 4)


@pytest.mark.parametrize("content", [nrrd("9" * 5000 + " 5 4"), nrrd("[" * 3000), nrrd()[3:], b"\0" * 400])
def test_headers_that_no_writer_makes_are_refused(tmp_path, content):
    """ITK's parser ended the process on a giant number; without a signature it took a file for Analyze."""
    (tmp_path / "a.nrrd").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as a volume"):
        read_volume(tmp_path / "a.nrrd")
