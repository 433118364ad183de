"""DICOM radiographs: stored values to displayed pixels, spacing and polarity from the tags."""

import itk
import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.radiographs.formats import read_radiograph

STORED = np.random.default_rng(0).integers(0, 4096, (40, 32)).astype(np.uint16)


@pytest.mark.parametrize("bits", [12, 14, 16])
@pytest.mark.parametrize("rle", [False, True])
def test_monochrome2_is_displayed_as_stored(tmp_path, write_dicom, bits, rle):
    radiograph = read_radiograph(write_dicom(tmp_path / "a.dcm", STORED, bits_stored=bits, rle=rle))
    np.testing.assert_array_equal(radiograph.pixels, STORED)
    assert (radiograph.bit_depth, radiograph.polarity) == (bits, "bone_bright")


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("rle", [False, True])
def test_monochrome1_is_displayed_inverted(tmp_path, write_dicom, bits, rle):
    path = write_dicom(tmp_path / "a.dcm", STORED, bits_stored=bits, rle=rle, PhotometricInterpretation="MONOCHROME1")
    pixels = read_radiograph(path).pixels
    np.testing.assert_array_equal(pixels, 2**bits - 1 - STORED.astype(float))


@pytest.mark.parametrize("bits", [13, 16])
@pytest.mark.parametrize("photometric, sign", [("MONOCHROME2", 1), ("MONOCHROME1", -1)])
def test_signed_values(tmp_path, write_dicom, bits, photometric, sign):
    stored = STORED.astype(np.int16) - 2000
    path = write_dicom(tmp_path / "a.dcm", stored, bits_stored=bits, PhotometricInterpretation=photometric)
    pixels = read_radiograph(path).pixels
    np.testing.assert_array_equal(pixels - pixels.min(), (sign * stored) - (sign * stored).min())


def test_eight_bits(tmp_path, write_dicom):
    stored = (STORED >> 4).astype(np.uint8)
    radiograph = read_radiograph(write_dicom(tmp_path / "a.dcm", stored, bits_stored=8))
    np.testing.assert_array_equal(radiograph.pixels, stored)
    assert radiograph.bit_depth == 8


def test_rescale_is_applied_before_inversion(tmp_path, write_dicom):
    tags = {"RescaleSlope": 2.5, "RescaleIntercept": -100}
    plain = read_radiograph(write_dicom(tmp_path / "a.dcm", STORED, bits_stored=12, **tags)).pixels
    np.testing.assert_allclose(plain, 2.5 * STORED - 100.0)
    tags["PhotometricInterpretation"] = "MONOCHROME1"
    inverted = read_radiograph(write_dicom(tmp_path / "b.dcm", STORED, bits_stored=12, **tags)).pixels
    assert np.ptp(plain + inverted) < 1e-3


@pytest.mark.parametrize("compression", [0, 1])
def test_gdcm_decodes_lossless_jpeg_and_jpeg_2000(tmp_path, compression):
    image_io = itk.GDCMImageIO.New()
    image_io.SetCompressionType(compression)
    itk.imwrite(itk.image_from_array(STORED), str(tmp_path / "a.dcm"), imageio=image_io, compression=True)
    np.testing.assert_array_equal(read_radiograph(tmp_path / "a.dcm").pixels, STORED)


@pytest.mark.parametrize(
    "tags, expected",
    [
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (0.1, 0.2)),
        ({"PixelSpacing": [0.3, 0.15]}, (0.15, 0.3)),
        ({"ImagerPixelSpacing": [0.2, 0.1], "PixelSpacing": [0.18, 0.09]}, (0.1, 0.2)),
        ({"NominalScannedPixelSpacing": [0.4, 0.5]}, (0.5, 0.4)),
        ({}, None),
    ],
)
def test_the_detector_spacing_is_given_as_du_dv(tmp_path, write_dicom, tags, expected):
    assert read_radiograph(write_dicom(tmp_path / "a.dcm", STORED, **tags)).pixel_spacing_mm == expected


def test_a_spacing_calibrated_to_the_patient_is_not_the_detector_s(tmp_path, write_dicom):
    path = write_dicom(tmp_path / "a.dcm", STORED, PixelSpacing=[0.3, 0.3], PixelSpacingCalibrationType="FIDUCIAL")
    with pytest.warns(UserWarning, match="calibrated to the patient"):
        radiograph = read_radiograph(path)
    assert radiograph.pixel_spacing_mm is None
    assert len(radiograph.remarks) == 1


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_polarity_is_known_only_where_the_tags_agree(tmp_path, write_dicom, photometric):
    fitting_sign, fitting_shape = {"MONOCHROME1": (1, "INVERSE"), "MONOCHROME2": (-1, "IDENTITY")}[photometric]
    other_shape = {"INVERSE": "IDENTITY", "IDENTITY": "INVERSE"}[fitting_shape]
    cases = [
        ({}, "bone_bright"),
        ({"PixelIntensityRelationshipSign": fitting_sign, "PresentationLUTShape": fitting_shape}, "bone_bright"),
        ({"PixelIntensityRelationshipSign": -fitting_sign}, "unknown"),
        ({"PresentationLUTShape": other_shape}, "unknown"),
        ({"RescaleSlope": -1, "RescaleIntercept": 4095}, "unknown"),
    ]
    for tags, polarity in cases:
        path = write_dicom(tmp_path / "a.dcm", STORED, PhotometricInterpretation=photometric, **tags)
        radiograph = read_radiograph(path)
        assert radiograph.polarity == polarity, tags
        assert radiograph.polarity_from == ("tags" if polarity == "bone_bright" else "nothing")


@pytest.mark.parametrize("tag, expected", [(["L", "F"], ("L", "F")), (["AL", "FP"], ("A", "F")), (["L"], None)])
def test_patient_orientation(tmp_path, write_dicom, tag, expected):
    assert read_radiograph(write_dicom(tmp_path / "a.dcm", STORED, PatientOrientation=tag)).orientation == expected


def test_identity_tags(tmp_path, write_dicom):
    tags = {"PatientID": "P-7", "StudyDate": "20240131", "ViewPosition": "AP"}
    radiograph = read_radiograph(write_dicom(tmp_path / "a.dcm", STORED, **tags))
    assert (radiograph.patient_id, radiograph.study_date, radiograph.view_position) == ("P-7", "20240131", "AP")


def test_a_file_without_extension_or_preamble_is_recognised(tmp_path, write_dicom):
    path = write_dicom(tmp_path / "a.dcm", STORED, bits_stored=12)
    (tmp_path / "IM0001").write_bytes(path.read_bytes())
    assert np.array_equal(read_radiograph(tmp_path / "IM0001").pixels, STORED)
    (tmp_path / "IM0002").write_bytes(path.read_bytes()[132:])
    assert np.array_equal(read_radiograph(tmp_path / "IM0002").pixels, STORED)


def write_frames(path, write_dicom):
    write_dicom(path, np.stack([STORED, STORED]))


def write_cut(path, write_dicom, keep):
    content = write_dicom(path, STORED).read_bytes()
    path.write_bytes(content[:keep])


def write_colour(path, write_dicom):
    image = itk.image_from_array(
        np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8), is_vector=True
    )
    rgb = itk.cast_image_filter(image, ttype=[type(image), itk.Image[itk.RGBPixel[itk.UC], 2]])
    itk.imwrite(rgb, str(path), imageio=itk.GDCMImageIO.New())


@pytest.mark.parametrize(
    "write, message",
    [
        (write_frames, "2 frames"),
        (lambda path, write_dicom: write_cut(path, write_dicom, -50), "pixel data are missing"),
        (lambda path, write_dicom: write_cut(path, write_dicom, 400), "cannot read an image"),
        (write_colour, "photometric interpretation 'RGB'"),
        (
            lambda path, write_dicom: write_dicom(path, STORED, ImagerPixelSpacing=[0, 0.1]),
            r"\(0018,1164\) ImagerPixelSpacing is 0\\0.1",
        ),
        (lambda path, write_dicom: write_dicom(path, np.full((9, 9), 3, np.uint16)), "every pixel has the value 3"),
    ],
)
def test_unusable_files_are_named(tmp_path, write_dicom, write, message):
    write(tmp_path / "bad.dcm", write_dicom)
    with pytest.raises(InputError, match=message) as caught:
        read_radiograph(tmp_path / "bad.dcm")
    assert "bad.dcm" in str(caught.value)
