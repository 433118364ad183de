"""NIfTI files as they come: check sums, lengths, units, affines; files built by nibabel and edited byte by byte."""

import gzip
import os
import struct

import nibabel
import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.io.nifti_file import read_nifti
from lumbar_ext.radiographs.formats import read_radiograph

PIXELS = np.random.default_rng(0).integers(0, 60000, (30, 20)).astype(np.uint16)
DOWN = np.diag([-0.4, -0.4, 1.0, 1.0])
"""Rows run to the back, columns to the left: an image as ITK writes it."""


def save(path, array, affine, sform=1, qform=1, unit="mm"):
    image = nibabel.Nifti1Image(array, affine)
    image.set_sform(affine if sform else None, sform)
    image.set_qform(affine if qform else None, qform)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    return path


def turned(path, affine, **forms):
    """A file whose array is laid by its affine as DOWN lays PIXELS."""
    array = PIXELS.T[..., None]
    if affine[0, 0] > 0:
        array = array[::-1]
    if affine[1, 1] > 0:
        array = array[:, ::-1]
    return save(path, array, affine, **forms)


@pytest.mark.parametrize("forms", [{}, {"sform": 0}, {"qform": 0}])
@pytest.mark.parametrize("signs", [(-1, -1), (-1, 1), (1, -1), (1, 1)])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_an_image_is_laid_as_its_affine_says(tmp_path, name, signs, forms):
    affine = np.diag([0.4 * signs[0], 0.4 * signs[1], 1, 1])
    affine[:2, 3] = [-signs[0] * 19 * 0.4, -signs[1] * 29 * 0.4]
    path = turned(tmp_path / name, affine, **forms)
    if signs == (-1, -1):
        radiograph = read_radiograph(path)
    else:
        with pytest.warns(UserWarning, match="it is laid so"):
            radiograph = read_radiograph(path)
    np.testing.assert_array_equal(radiograph.pixels, PIXELS)
    assert radiograph.pixel_spacing_mm == (0.4, 0.4)


@pytest.mark.parametrize("along_u, letter", [((-1, 0), "L"), ((1, 0), "R"), ((0, -1), "P"), ((0, 1), "A")])
@pytest.mark.parametrize("upward", [False, True])
def test_rows_run_to_the_feet_in_planes_of_the_body(tmp_path, along_u, letter, upward):
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = (*along_u, 0), (0, 0, 1 if upward else -1), (*along_u[::-1], 0)
    path = save(tmp_path / "a.nii", (PIXELS[::-1] if upward else PIXELS).T[..., None], affine)
    radiograph = read_radiograph(path)
    np.testing.assert_array_equal(radiograph.pixels, PIXELS)
    assert radiograph.orientation == (letter, "F")


def test_an_affine_that_says_nothing_leaves_the_array_as_stored(tmp_path):
    array = PIXELS.T[..., None]
    np.testing.assert_array_equal(read_radiograph(save(tmp_path / "a.nii", array, DOWN, 0, 0)).pixels, PIXELS)
    with pytest.warns(UserWarning, match="a writer's default"):
        radiograph = read_radiograph(save(tmp_path / "b.nii", array, np.diag([0.4, 0.4, 1, 1]), 2, 0))
    np.testing.assert_array_equal(radiograph.pixels, PIXELS)


def test_rows_that_run_sideways_are_refused(tmp_path):
    affine = DOWN[:, [1, 0, 2, 3]]
    with pytest.raises(InputError, match="expected an image whose rows run downward"):
        read_radiograph(save(tmp_path / "a.nii", PIXELS.T[..., None], affine))


def test_the_sform_is_followed_and_a_qform_that_differs_is_said(tmp_path):
    values = np.zeros((4, 5, 6), np.int16)
    image = nibabel.Nifti1Image(values, np.eye(4))
    moved = np.eye(4)
    moved[2, 3] = 20
    image.set_sform(moved, 2)
    image.set_qform(np.eye(4), 1)
    nibabel.save(image, tmp_path / "a.nii.gz")
    read = read_nifti(tmp_path / "a.nii.gz", 1000)
    np.testing.assert_array_equal(read.ras_from_voxel_mm, moved)
    assert "differ by 20 mm" in read.remarks[0]
    image.set_sform(moved, 0)
    nibabel.save(image, tmp_path / "a.nii.gz")
    read = read_nifti(tmp_path / "a.nii.gz", 1000)
    np.testing.assert_array_equal(read.ras_from_voxel_mm, np.eye(4))
    assert read.remarks == ()


def test_the_affine_follows_the_unit(tmp_path):
    affine = np.diag([-0.0004, -0.0004, 0.001, 1])
    read = read_nifti(save(tmp_path / "a.nii", PIXELS.T[..., None], affine, unit="meter"), 1000)
    np.testing.assert_allclose(read.ras_from_voxel_mm, DOWN, rtol=1e-6)


@pytest.mark.parametrize("code", [4, 5, 6, 7, 6 | 8])
def test_unit_codes_of_no_standard_are_named(tmp_path, code):
    image = nibabel.Nifti1Image(PIXELS.T[..., None], DOWN)
    image.header["xyzt_units"] = code
    nibabel.save(image, tmp_path / "a.nii")
    with pytest.raises(InputError, match=rf"a\.nii: xyzt_units {code} names the unit of length {code & 7}"):
        read_radiograph(tmp_path / "a.nii")


def test_every_flipped_bit_of_a_gzipped_file_is_found(tmp_path):
    path = save(tmp_path / "a.nii.gz", PIXELS.T[..., None], DOWN)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(10, len(content), 200):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"a\.nii\.gz"):
            read_radiograph(path)


@pytest.mark.parametrize("change", [-2, -600, 1, 2, 4000])
@pytest.mark.parametrize("zipped", [False, True])
def test_values_that_are_missing_or_too_many_are_refused(tmp_path, zipped, change):
    content = save(tmp_path / "a.nii", PIXELS.T[..., None], DOWN).read_bytes()
    content = content[:change] if change < 0 else content + bytes(change)
    path = tmp_path / "b.nii"
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(InputError, match="bytes of values, expected 1200 by its header"):
        read_radiograph(path)


@pytest.mark.parametrize(
    "place, form, value, message",
    [
        (42, "<h", 30000, "1200 bytes of values, expected 1800000 by its header"),
        (40, "<h", 0, "by its header, expected at most"),
        (40, "<h", 9, "damaged"),
        (70, "<h", 1792, "values of type complex"),
        (108, "<f", 356.0, "values at byte 356"),
        (108, "<f", 1e30, "values at byte"),
        (108, "<f", float("nan"), "damaged"),
        (80, "<f", 0.8, "mm by its affine"),
        (280, "<f", float("nan"), "affine is degenerate"),
        (280, "<f", 0.0, "affine is degenerate"),
    ],
)
def test_impossible_headers_are_refused(tmp_path, place, form, value, message):
    path = save(tmp_path / "a.nii", PIXELS.T[..., None], DOWN)
    content = bytearray(path.read_bytes())
    struct.pack_into(form, content, place, value)
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_radiograph(path)


def test_a_bomb_is_not_unpacked(tmp_path):
    header = bytearray(save(tmp_path / "a.nii", PIXELS.T[..., None], DOWN).read_bytes()[:352])
    struct.pack_into("<2h", header, 42, 30000, 30000)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(bytes(header) + bytes(10**7)))
    with pytest.raises(InputError, match=r"\(30000, 30000, 1\) by its header"):
        read_radiograph(tmp_path / "a.nii.gz")


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "a.nii")
    with pytest.raises(InputError, match="a pipe or device"):
        read_radiograph(tmp_path / "a.nii")


@pytest.mark.parametrize(
    ("name", "value"), [("sform_code", 66), ("qform_code", -1), ("pixdim", 0.0), ("pixdim", np.nan)]
)
def test_what_nibabel_would_guess_in_silence_is_refused(tmp_path, name, value):
    """It takes an unknown code for none, and a spacing of zero for 1 mm."""
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.diag([2.0, 3, 4, 1]))
    header = image.header
    if name == "pixdim":
        header["pixdim"][2] = value
    else:
        header[name] = value
    (tmp_path / "a.nii").write_bytes(header.binaryblock + bytes(4) + bytes(240))
    with pytest.raises(InputError, match=f"a damaged NIfTI file: {name}"):
        read_nifti(tmp_path / "a.nii", 10_000)
