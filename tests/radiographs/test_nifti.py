"""2D images as NIfTI, checked with ITK as an independent reader."""

import itk
import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.radiographs.nifti import read_nifti_image, write_nifti_image

IMAGE = np.random.default_rng(0).random((6, 9)).astype(np.float32)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_round_trip(tmp_path, name):
    write_nifti_image(tmp_path / name, IMAGE, (0.834, 0.139))
    pixels, spacing_mm = read_nifti_image(tmp_path / name)
    np.testing.assert_array_equal(pixels, IMAGE)
    assert pixels.dtype == np.float32 and spacing_mm == (0.834, 0.139)


def test_itk_sees_the_array_u_first_with_spacing_and_identity_directions(tmp_path):
    write_nifti_image(tmp_path / "a.nii.gz", IMAGE, (0.834, 0.139))
    image = itk.imread(str(tmp_path / "a.nii.gz"))
    assert tuple(image.GetLargestPossibleRegion().GetSize()) == (9, 6, 1)
    np.testing.assert_allclose(list(image.GetSpacing())[:2], (0.834, 0.139), rtol=1e-6)
    np.testing.assert_array_equal(itk.array_from_matrix(image.GetDirection()), np.eye(3))
    np.testing.assert_array_equal(itk.array_from_image(image)[0], IMAGE)


def test_constant_and_boolean_images_pass(tmp_path):
    write_nifti_image(tmp_path / "zero.nii.gz", np.zeros((4, 5), bool), (1, 1))
    assert not read_nifti_image(tmp_path / "zero.nii.gz")[0].any()


def test_wrong_arguments_are_refused(tmp_path):
    with pytest.raises(InputError, match="expected pixels"):
        write_nifti_image(tmp_path / "a.nii", IMAGE[None], (1, 1))
    with pytest.raises(InputError, match="must end in"):
        write_nifti_image(tmp_path / "a.img", IMAGE, (1, 1))
    with pytest.raises(InputError, match="no such file"):
        read_nifti_image(tmp_path / "a.nii")
    (tmp_path / "a.nii").write_text("text")
    with pytest.raises(InputError, match="not a NIfTI file"):
        read_nifti_image(tmp_path / "a.nii")
