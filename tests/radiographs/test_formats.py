"""Every supported format gives the same pixels; every unusable file is named in the error."""

import struct
import zlib

import nibabel
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from lumbar_ext.errors import InputError
from lumbar_ext.radiographs.formats import read_radiograph
from lumbar_ext.radiographs.nifti import write_nifti_image
from lumbar_ext.radiographs.png import PNG_SIGNATURE, _lines_size, write_png

RAMP = (np.arange(30 * 20).reshape(30, 20) * 5 + 7).astype(np.uint16)


def save_png(path, array, **options):
    Image.fromarray(array).save(path, format="PNG", **options)
    return path


@pytest.mark.parametrize("dtype, bits", [(np.uint8, 8), (np.uint16, 16)])
def test_grey_png_keeps_values_and_has_no_spacing_or_polarity(tmp_path, dtype, bits):
    pixels = (RAMP % 251).astype(dtype)
    write_png(tmp_path / "a.png", pixels)
    radiograph = read_radiograph(tmp_path / "a.png")
    np.testing.assert_array_equal(radiograph.pixels, pixels)
    assert radiograph.pixels.dtype == np.float32
    assert (radiograph.bit_depth, radiograph.pixel_spacing_mm, radiograph.polarity) == (bits, None, "unknown")
    assert radiograph.size_px == (20, 30)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_png_with_equal_colours_is_grey(tmp_path, channels):
    grey = (RAMP % 251).astype(np.uint8)
    samples = np.stack([grey] * channels, axis=-1)
    if channels in (2, 4):
        samples[..., -1] = 255
    assert np.array_equal(read_radiograph(save_png(tmp_path / "a.png", samples)).pixels, grey)


def test_a_png_that_viewers_turn_is_refused(tmp_path):
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[ExifTags.Base.Orientation] = orientation
        path = save_png(tmp_path / "a.png", RAMP, exif=exif)
        if orientation == 1:
            assert np.array_equal(read_radiograph(path).pixels, RAMP)
            continue
        # The one independent witness of what viewers do: the same pixels only where nothing is turned.
        assert not np.array_equal(np.asarray(ImageOps.exif_transpose(Image.open(path))), RAMP)
        with pytest.raises(InputError, match=rf"a\.png: .*turn or mirror it \(orientation {orientation}\)"):
            read_radiograph(path)
    with pytest.raises(InputError, match=r"a\.png: a damaged PNG file: its EXIF data"):
        read_radiograph(save_png(tmp_path / "a.png", RAMP, exif=b"Exif\x00\x00nothing of the kind"))


def write_deep_png(path, samples):
    """A 16-bit PNG of several channels, which Pillow cannot write (layout: ISO/IEC 15948)."""
    rows, columns, channels = samples.shape
    header = struct.pack(">IIBBBBB", columns, rows, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    lines = zlib.compress(b"".join(b"\0" + line.astype(">u2").tobytes() for line in samples))
    chunks = ((b"IHDR", header), (b"IDAT", lines), (b"IEND", b""))
    coded = (struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks)
    path.write_bytes(PNG_SIGNATURE + b"".join(coded))


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bit_colour_png_keeps_16_bits(tmp_path, channels):
    write_deep_png(tmp_path / "a.png", np.stack([RAMP] * channels, axis=-1))
    assert np.array_equal(read_radiograph(tmp_path / "a.png").pixels, RAMP)


def test_cut_16_bit_colour_png_is_refused(tmp_path):
    write_deep_png(tmp_path / "a.png", np.stack([RAMP] * 3, axis=-1))
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:100])
    with pytest.raises(InputError, match="damaged PNG"):
        read_radiograph(tmp_path / "a.png")


def test_palette_png_is_read_through_its_palette(tmp_path):
    image = Image.fromarray((RAMP % 4).astype(np.uint8), mode="P")
    image.putpalette([0, 0, 0, 9, 9, 9, 99, 99, 99, 200, 200, 200])
    image.save(tmp_path / "a.png")
    assert np.array_equal(read_radiograph(tmp_path / "a.png").pixels, np.array([0, 9, 99, 200])[RAMP % 4])


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti_is_x_first_with_spacing_from_its_header(tmp_path, name):
    write_nifti_image(tmp_path / name, RAMP, (0.139, 0.2))
    radiograph = read_radiograph(tmp_path / name)
    np.testing.assert_array_equal(radiograph.pixels, RAMP)
    assert radiograph.pixel_spacing_mm == (0.139, 0.2)
    assert radiograph.polarity == "unknown"


def test_two_dimensional_nifti_and_units_of_metres(tmp_path):
    image = nibabel.Nifti1Image(RAMP.T.astype(np.float32), np.diag([0.0002, 0.0003, 1, 1]))
    image.header.set_xyzt_units(xyz="meter")
    nibabel.save(image, tmp_path / "a.nii")
    radiograph = read_radiograph(tmp_path / "a.nii")
    np.testing.assert_array_equal(radiograph.pixels, RAMP)
    np.testing.assert_allclose(radiograph.pixel_spacing_mm, (0.2, 0.3))


@pytest.mark.parametrize("unit, expected", [("unknown", None), ("mm", (1.0, 1.0))])
def test_a_nifti_header_of_defaults_states_no_spacing(tmp_path, unit, expected):
    image = nibabel.Nifti1Image(RAMP.T[..., None], np.eye(4))
    image.header.set_xyzt_units(xyz=unit)
    nibabel.save(image, tmp_path / "a.nii")
    assert read_radiograph(tmp_path / "a.nii").pixel_spacing_mm == expected


@pytest.mark.parametrize("source, name", [("a.png", "image"), ("a.nii.gz", "image.png"), ("a.nii", "scan.dcm")])
def test_the_content_tells_the_format(tmp_path, source, name):
    write_png(tmp_path / source, RAMP) if source == "a.png" else write_nifti_image(tmp_path / source, RAMP, (1, 1))
    (tmp_path / source).rename(tmp_path / name)
    assert np.array_equal(read_radiograph(tmp_path / name).pixels, RAMP)


def write_volume(path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 3), np.float32), np.eye(4)), path)


def write_float(path, value):
    pixels = RAMP.astype(np.float32)
    pixels[3, 4] = value
    write_nifti_image(path, pixels, (1, 1))


def write_cut(path, source, fraction):
    write_png(path, RAMP) if source == "png" else write_nifti_image(path, RAMP, (1, 1))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])


@pytest.mark.parametrize(
    "name, write, message",
    [
        ("none.png", lambda path: None, "no such file"),
        ("folder.png", lambda path: path.mkdir(), "a folder"),
        ("empty.png", lambda path: path.touch(), "an empty file"),
        ("text.png", lambda path: path.write_text("hello " * 99), "not an image of a known format"),
        (
            "photo.png",
            lambda path: Image.fromarray(RAMP.astype(np.uint8)).save(path, "JPEG"),
            "not an image of a known",
        ),
        ("cut.png", lambda path: write_cut(path, "png", 0.5), "damaged PNG"),
        ("stub.png", lambda path: write_cut(path, "png", 0.1), "damaged PNG"),
        ("cut.nii.gz", lambda path: write_cut(path, "nii", 0.7), "damaged NIfTI"),
        ("cut.nii", lambda path: write_cut(path, "nii", 0.7), "damaged NIfTI"),
        ("volume.nii", write_volume, r"shape \(4, 5, 3\)"),
        ("nan.nii", lambda path: write_float(path, np.nan), "1 of 600 pixels are NaN or infinite"),
        ("inf.nii", lambda path: write_float(path, np.inf), "1 of 600 pixels are NaN or infinite"),
        ("tiny.nii", lambda path: write_nifti_image(path, RAMP.astype(float), (1e-6, 0.1)), "expected 0.01 to 10 mm"),
        ("flat.png", lambda path: write_png(path, np.full((9, 9), 5, np.uint8)), "every pixel has the value 5"),
        ("thin.png", lambda path: write_png(path, RAMP[:1]), r"shape \(1, 20\)"),
    ],
)
def test_unusable_files_are_named(tmp_path, name, write, message):
    write(tmp_path / name)
    with pytest.raises(InputError, match=message) as caught:
        read_radiograph(tmp_path / name)
    assert name in str(caught.value)


def test_a_changed_byte_is_told_in_plain_words(tmp_path):
    content = bytearray(png_content(30))
    content[content.index(b"IDAT") + 9] ^= 1
    (tmp_path / "film.png").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_radiograph(tmp_path / "film.png")
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'film.png'}: a damaged PNG file: its part 'IDAT' has changed")
    assert "expected the file as it was saved" in said


def test_colour_png_is_refused(tmp_path):
    samples = np.random.default_rng(0).integers(0, 255, (9, 9, 3)).astype(np.uint8)
    with pytest.raises(InputError, match="colour image"):
        read_radiograph(save_png(tmp_path / "c.png", samples))


def png_content(rows_given, interlace=0, depth=16):
    """A PNG file that says 30 rows and holds some of them, in order, with all check sums right."""
    header = struct.pack(">IIBBBBB", 20, 30, depth, 0, 0, 0, interlace)
    lines = zlib.compress(b"".join(b"\0" + line.astype(">u2").tobytes() for line in RAMP[:rows_given]))
    chunks = ((b"IHDR", header), (b"IDAT", lines), (b"IEND", b""))
    coded = (struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks)
    return PNG_SIGNATURE + b"".join(coded)


@pytest.mark.parametrize("content", [png_content(17), png_content(29), png_content(30, interlace=1)])
def test_a_png_whose_lines_end_early_is_refused(tmp_path, content):
    """Decoders fill the lines that are missing."""
    (tmp_path / "a.png").write_bytes(png_content(30))
    assert np.array_equal(read_radiograph(tmp_path / "a.png").pixels, RAMP)
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match="bytes of lines, expected"):
        read_radiograph(tmp_path / "a.png")


@pytest.mark.parametrize("columns, rows", [(1, 1), (7, 3), (8, 8), (5, 9), (33, 17)])
@pytest.mark.parametrize("mode", ["1", "L", "I;16", "RGB"])
def test_interlaced_lines_are_counted_as_the_standard_does(columns, rows, mode):
    """An interlaced image holds every pixel once, so one pass a pixel wide and high has as many bytes."""
    bits = {"1": 1, "L": 8, "I;16": 16, "RGB": 24}[mode]
    grid = np.zeros((rows, columns), int)
    expected = 0
    for u, v, du, dv in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        part = grid[v::dv, u::du]
        part += 1
        if part.size:
            expected += part.shape[0] * (1 + (part.shape[1] * bits + 7) // 8)
    assert (grid == 1).all()
    assert _lines_size(columns, rows, bits, True) == expected


def test_every_flipped_bit_of_a_png_file_is_found(tmp_path):
    content = png_content(30)
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(content), 200):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(8)
        (tmp_path / "a.png").write_bytes(damaged)
        with pytest.raises(InputError, match=r"a\.png"):
            read_radiograph(tmp_path / "a.png")


def test_a_png_bomb_is_not_unpacked(tmp_path):
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(10**6))), (b"IEND", b""))
    coded = (struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks)
    (tmp_path / "a.png").write_bytes(PNG_SIGNATURE + b"".join(coded))
    with pytest.raises(InputError, match="expected a radiograph of at most"):
        read_radiograph(tmp_path / "a.png")
