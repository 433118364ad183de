"""What the header says of pixel values: each row of the table in docs/radiographs.md, with files built by pydicom."""

import re

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless

from lumbar_ext.errors import InputError
from lumbar_ext.radiographs.formats import read_radiograph
from lumbar_ext.radiographs.radiograph import with_bone_bright

STORED = np.random.default_rng(0).integers(0, 4096, (40, 32)).astype(np.uint16)
LOSSLESS = {
    JPEGLosslessSV1: lambda x, bits: imagecodecs.jpeg8_encode(x, lossless=True, bitspersample=bits),
    JPEGLSLossless: lambda x, bits: imagecodecs.jpegls_encode(x),
    JPEG2000Lossless: lambda x, bits: imagecodecs.jpeg2k_encode(x, level=0, codecformat="j2k", bitspersample=bits),
}


def edited(path, **elements):
    """Rewrites elements of a file as they are given, without a look at what they say."""
    data = pydicom.dcmread(path)
    for keyword, value in elements.items():
        if keyword.startswith("PixelPadding"):
            data.add_new(keyword, "SS" if value < 0 else "US", value)
        else:
            setattr(data, keyword, value)
    data.save_as(path, enforce_file_format=True)
    return path


def compressed(path, syntax, stream):
    data = pydicom.dcmread(path)
    data.PixelData = encapsulate([stream])
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    data.file_meta.TransferSyntaxUID = syntax
    data.save_as(path, enforce_file_format=True)
    return path


def coded(tmp_path, write_dicom, syntax, **tags):
    path = write_dicom(tmp_path / "a.dcm", STORED, bits_stored=12, **tags)
    return compressed(path, syntax, LOSSLESS[syntax](STORED, 12))


# Pixel data shorter or longer than the header says.


@pytest.mark.parametrize("rows_left", [0, 1, 22, 39])
@pytest.mark.parametrize("bytes_more", [0, 2])
def test_missing_rows_are_never_filled(tmp_path, write_dicom, rows_left, bytes_more):
    """The transfer broke off and the file was closed cleanly."""
    path = write_dicom(tmp_path / "a.dcm", STORED)
    edited(path, PixelData=pydicom.dcmread(path).PixelData[: rows_left * 32 * 2 + bytes_more])
    with pytest.raises(InputError, match=r"a\.dcm: .*(pixel data are missing|no Pixel Data)"):
        read_radiograph(path)


@pytest.mark.parametrize("name, value", [("Rows", 41), ("Columns", 33), ("Rows", 39), ("Columns", 16)])
def test_an_extent_that_is_not_the_pixels_is_refused(tmp_path, write_dicom, name, value):
    with pytest.raises(InputError, match="bytes"):
        read_radiograph(edited(write_dicom(tmp_path / "a.dcm", STORED), **{name: value}))


def test_eight_of_sixteen_bits_are_missing_data(tmp_path, write_dicom):
    path = write_dicom(tmp_path / "a.dcm", (STORED >> 4).astype(np.uint8), bits_stored=8)
    with pytest.raises(InputError, match="pixel data are missing"):
        read_radiograph(edited(path, BitsAllocated=16))


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_streams_are_decoded_and_cut_ones_refused(tmp_path, write_dicom, syntax):
    path = coded(tmp_path, write_dicom, syntax)
    np.testing.assert_array_equal(read_radiograph(path).pixels, STORED)
    stream = LOSSLESS[syntax](STORED, 12)
    for keep in (0.3, 0.9, 0.99):
        with pytest.raises(InputError, match=r"a\.dcm: .*(ends early|damaged)"):
            read_radiograph(compressed(path, syntax, stream[: int(keep * len(stream))]))


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize("name, value", [("Rows", 39), ("Columns", 33)])
def test_a_stream_of_another_extent_is_refused(tmp_path, write_dicom, syntax, name, value):
    with pytest.raises(InputError, match="but the header says"):
        read_radiograph(edited(coded(tmp_path, write_dicom, syntax), **{name: value}))


def test_twelve_bit_lossy_jpeg_is_decoded(tmp_path, write_dicom):
    smooth = np.add.outer(np.arange(40) * 20, np.arange(32) * 50).astype(np.uint16)
    stream = imagecodecs.jpeg8_encode(smooth, level=98, bitspersample=12)
    path = compressed(write_dicom(tmp_path / "a.dcm", smooth, bits_stored=12), "1.2.840.10008.1.2.4.51", stream)
    assert np.abs(read_radiograph(path).pixels - smooth).max() < 20


@pytest.mark.parametrize("rows, columns", [(60000, 60000), (1, 65535), (0, 32)])
def test_an_extent_that_no_radiograph_has_is_refused_before_decoding(tmp_path, write_dicom, rows, columns):
    with pytest.raises(InputError, match="expected a radiograph of at most"):
        read_radiograph(edited(write_dicom(tmp_path / "a.dcm", STORED), Rows=rows, Columns=columns))


# Sign, stored bits, high bit.


@pytest.mark.parametrize("signed", [False, True])
def test_a_jpeg_2000_stream_goes_before_the_header_s_sign(tmp_path, write_dicom, signed):
    values = STORED.astype(np.int16) - 2000 if signed else STORED + np.uint16(40000)
    path = write_dicom(tmp_path / "a.dcm", values)
    compressed(path, JPEG2000Lossless, imagecodecs.jpeg2k_encode(values, level=0, codecformat="j2k"))
    with pytest.warns(UserWarning, match="the stream is followed"):
        radiograph = read_radiograph(edited(path, PixelRepresentation=int(not signed)))
    np.testing.assert_array_equal(radiograph.pixels, values)


def test_signed_values_in_a_jpeg_stream_are_bit_patterns(tmp_path, write_dicom):
    values = STORED.astype(np.int16) - 2048
    path = write_dicom(tmp_path / "a.dcm", values, bits_stored=12)
    stream = imagecodecs.jpeg8_encode((values & 4095).astype(np.uint16), lossless=True, bitspersample=12)
    np.testing.assert_array_equal(read_radiograph(compressed(path, JPEGLosslessSV1, stream)).pixels, values)


def test_values_below_a_high_bit_are_shifted_down(tmp_path, write_dicom):
    path = edited(write_dicom(tmp_path / "a.dcm", STORED << 4), BitsStored=12, HighBit=15)
    np.testing.assert_array_equal(read_radiograph(path).pixels, STORED)


@pytest.mark.parametrize("stored, high", [(12, 15), (12, 11), (10, 9), (12, 13)])
def test_bits_outside_the_stored_ones_are_refused(tmp_path, write_dicom, stored, high):
    path = edited(write_dicom(tmp_path / "a.dcm", STORED * 16 + 3), BitsStored=stored, HighBit=high)
    with pytest.raises(InputError, match=f"bits outside the {stored} stored below high bit {high}"):
        read_radiograph(path)


def test_the_bits_of_a_declared_overlay_are_masked(tmp_path, write_dicom):
    path = edited(write_dicom(tmp_path / "a.dcm", STORED | 0x8000), BitsStored=12, HighBit=11)
    data = pydicom.dcmread(path)
    data.add_new(0x60000102, "US", 15)
    data.save_as(path)
    np.testing.assert_array_equal(read_radiograph(path).pixels, STORED)


@pytest.mark.parametrize("extended", [False, True])
def test_signed_values_may_be_extended_or_not(tmp_path, write_dicom, extended):
    values = STORED.astype(np.int16) - 2048
    path = write_dicom(tmp_path / "a.dcm", values, bits_stored=12)
    if extended:
        edited(path, PixelData=values.tobytes())
    np.testing.assert_array_equal(read_radiograph(path).pixels, values)


@pytest.mark.parametrize("stored, high", [(12, 10), (12, 16), (17, 16), (1, 0)])
def test_impossible_bits_are_refused(tmp_path, write_dicom, stored, high):
    with pytest.raises(InputError, match="bits allocated"):
        read_radiograph(edited(write_dicom(tmp_path / "a.dcm", STORED), BitsStored=stored, HighBit=high))


def test_palettes_are_refused_without_their_tables(tmp_path, write_dicom):
    """GDCM aborts the process on these."""
    path = write_dicom(tmp_path / "a.dcm", STORED, PhotometricInterpretation="PALETTE COLOR")
    with pytest.raises(InputError, match="'PALETTE COLOR'"):
        read_radiograph(path)


# Padding.


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    "cell, bits, tags",
    [
        (65535, 16, {"PixelPaddingValue": 65535}),
        (65535, 12, {"PixelPaddingValue": 65535}),
        (0, 12, {"PixelPaddingValue": 0}),
        (63000, 16, {"PixelPaddingValue": 62000, "PixelPaddingRangeLimit": 64000}),
        (63000, 16, {"PixelPaddingValue": 64000, "PixelPaddingRangeLimit": 62000}),
    ],
)
def test_padding_is_dark_and_takes_no_part(tmp_path, write_dicom, trunk, photometric, cell, bits, tags):
    image = trunk(60, 80) >> 5
    path = write_dicom(
        tmp_path / "a.dcm", image + np.uint16(1), bits_stored=bits, PhotometricInterpretation=photometric
    )
    cells = image + np.uint16(1)
    cells[:, :6] = cell
    edited(path, PixelData=cells.tobytes(), **tags)
    with pytest.warns(UserWarning, match="7.5% of the pixels are padding"):
        read = with_bone_bright(read_radiograph(path), "bone_bright" if photometric == "MONOCHROME2" else "bone_dark")
    inside = read.pixels[:, 6:]
    assert np.ptp(inside) == np.ptp(image[:, 6:]), "the padding must not widen the range"
    assert (read.pixels[:, :6] == inside.min()).all()
    assert np.corrcoef(inside.ravel(), image[:, 6:].ravel())[0, 1] > 0.999


@pytest.mark.parametrize("written", [-2000, 63536])
def test_signed_padding_in_either_spelling(tmp_path, write_dicom, written):
    values = STORED.astype(np.int16)
    values[:4] = -2000
    path = edited(write_dicom(tmp_path / "a.dcm", values), PixelPaddingValue=written)
    with pytest.warns(UserWarning, match="10.0% of the pixels are padding"):
        assert read_radiograph(path).pixels.min() >= 0


def test_padding_that_is_most_of_the_image_is_refused(tmp_path, write_dicom):
    path = edited(write_dicom(tmp_path / "a.dcm", STORED), PixelPaddingValue=0, PixelPaddingRangeLimit=4000)
    with pytest.raises(InputError, match=r"padding \(Pixel Padding Value 0 to 4000\)"):
        read_radiograph(path)


# Raw images, tables, rescaling.


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("relation", ["LIN", "LOG"])
def test_raw_images_become_attenuation_by_their_relationship_and_sign(
    tmp_path, write_dicom, photometric, sign, relation
):
    attenuation = np.linspace(0.1, 5, 40 * 32).reshape(40, 32)
    signal = 60000 * np.exp(-attenuation) if relation == "LIN" else 60000 - 10000 * attenuation
    stored = np.round(signal if sign == 1 else 65535 - signal).astype(np.uint16)
    tags = {
        "PresentationIntentType": "FOR PROCESSING",
        "PixelIntensityRelationship": relation,
        "PixelIntensityRelationshipSign": sign,
        "PhotometricInterpretation": photometric,
    }
    radiograph = read_radiograph(write_dicom(tmp_path / "a.dcm", stored, **tags))
    assert radiograph.polarity == "bone_bright"
    slope, offset = np.polyfit(attenuation.ravel(), radiograph.pixels.ravel(), 1)
    assert slope > 0
    assert np.abs(slope * attenuation + offset - radiograph.pixels).max() < 0.002 * np.ptp(radiograph.pixels)


def table(values):
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), 0, 16])
    item.add_new("LUTData", "US", list(values))
    return [item]


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence", "PresentationLUTSequence"])
def test_a_falling_table_turns_the_display_and_leaves_the_polarity_to_the_image(
    tmp_path, write_dicom, photometric, keyword
):
    tags = {"PhotometricInterpretation": photometric}
    rising = read_radiograph(write_dicom(tmp_path / "a.dcm", STORED, **tags, **{keyword: table(range(4096))}))
    falling = read_radiograph(write_dicom(tmp_path / "b.dcm", STORED, **tags, **{keyword: table(range(4095, -1, -1))}))
    assert (rising.polarity, falling.polarity) == ("bone_bright", "unknown")
    assert np.ptp(rising.pixels + falling.pixels) == 0


@pytest.mark.parametrize("slope, intercept", [("0", "0"), ("1e-9", "1000"), ("1e30", "0")])
def test_a_rescale_that_leaves_no_grey_values_is_refused(tmp_path, write_dicom, slope, intercept):
    with pytest.raises(InputError, match="which leave no grey values apart"):
        read_radiograph(write_dicom(tmp_path / "a.dcm", STORED, RescaleSlope=slope, RescaleIntercept=intercept))


@pytest.mark.parametrize("text", ["0,139\\0,139", "0.139", "a\\b", "1e400\\1", "nan\\nan"])
def test_a_spacing_that_is_no_two_numbers_is_named(tmp_path, write_dicom, text):
    path = write_dicom(tmp_path / "a.dcm", STORED, StudyDescription="PLACE FOR TEXT")
    data = pydicom.dcmread(path)
    data["ImagerPixelSpacing"] = pydicom.DataElement("ImagerPixelSpacing", "LO", text.split("\\"))
    data.save_as(path)
    # The same element with the value representation that it should have.
    content = path.read_bytes()
    place = content.index(b"\x18\x00\x64\x11LO")
    path.write_bytes(content[: place + 4] + b"DS" + content[place + 6 :])
    with pytest.raises(InputError, match=re.escape("(0018,1164) ImagerPixelSpacing")) as caught:
        read_radiograph(path)
    assert ("decimal point" in str(caught.value)) == ("," in text)


@pytest.mark.parametrize(
    "tags",
    [
        {"Manufacturer": "EOS imaging", "ManufacturerModelName": "EOSedge"},
        {"Manufacturer": "EOS Imaging", "ManufacturerModelName": "EOS"},
        {"ManufacturerModelName": "sterEOS Workstation"},
        {"Manufacturer": "Biospace med"},
        {"Manufacturer": "ATEC"},
    ],
)
def test_slot_scanners_are_refused(tmp_path, write_dicom, tags):
    with pytest.raises(InputError, match=r"made by a slot scanner .* magnifies along rows only"):
        read_radiograph(write_dicom(tmp_path / "a.dcm", STORED, **tags))


def test_other_makers_are_no_slot_scanners(tmp_path, write_dicom):
    tags = {"Manufacturer": "GEOSCAN", "ManufacturerModelName": "Ateco 5"}
    assert read_radiograph(write_dicom(tmp_path / "a.dcm", STORED, **tags)).size_px == (32, 40)
