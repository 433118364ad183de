"""NRRD and MetaImage files against ITK, and what no writer makes."""

import gzip
import re
import zlib

import itk
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lumbar_ext.errors import InputError
from lumbar_ext.io.volume import OURS_FROM_LPS, read_grid

TURN = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()
SPACING, ORIGIN = np.array([0.7, 1.5, 2.5]), np.array([5.0, -6.0, 7.0])
LPS_FROM_VOXEL = np.vstack([np.column_stack([TURN * SPACING, ORIGIN]), [0, 0, 0, 1]])


def some_values(dtype=np.int16):
    return np.random.default_rng(0).integers(0, 100, (4, 5, 6)).astype(dtype)


def itk_image(values):
    image = itk.image_from_array(np.ascontiguousarray(values.transpose(2, 1, 0)))
    image.SetSpacing(SPACING.tolist())
    image.SetOrigin(ORIGIN.tolist())
    image.SetDirection(itk.matrix_from_array(TURN))
    return image


@pytest.mark.parametrize("compression", [False, True])
@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_what_itk_writes_is_read(tmp_path, name, compression, dtype):
    itk.imwrite(itk_image(some_values(dtype)), str(tmp_path / name), compression=compression)
    values, ours_from_voxel = read_grid(tmp_path / name)
    np.testing.assert_array_equal(values, some_values(dtype))
    assert values.dtype == dtype
    np.testing.assert_allclose(ours_from_voxel, OURS_FROM_LPS @ LPS_FROM_VOXEL, atol=1e-6)


def nrrd(space="left-posterior-superior", more="", sizes="4 5 6", encoding="raw", body=None, axes=3):
    directions = " ".join(f"({','.join(map(str, axis))})" for axis in (TURN * SPACING).T)
    header = (
        f"NRRD0004\n# a comment\ntype: short\ndimension: {axes}\nspace: {space}\nsizes: {sizes}\n"
        f"space directions: {directions}\nencoding: {encoding}\nendian: little\nspace origin: (5,-6,7)\n{more}\n"
    )
    return header.encode() + (some_values().tobytes(order="F") if body is None else body)


MHA = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
    "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 5 -6 7\nElementSpacing = 1 1 1\nDimSize = 4 5 6\n"
    "ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
)


def mha(old="", new="", body=None):
    assert old in MHA
    return MHA.replace(old, new).encode() + (some_values().tobytes(order="F") if body is None else body)


def test_the_spaces_of_nrrd_are_one_place(tmp_path):
    """Right and left, anterior and posterior are told apart."""
    for space, signs in (("right-anterior-superior", (-1, -1, 1)), ("LAS", (1, -1, 1)), ("LPS", (1, 1, 1))):
        (tmp_path / "a.nrrd").write_bytes(nrrd(space))
        _, ours_from_voxel = read_grid(tmp_path / "a.nrrd")
        np.testing.assert_allclose(ours_from_voxel, OURS_FROM_LPS @ np.diag([*signs, 1]) @ LPS_FROM_VOXEL)


def test_big_endian_and_compressed_values_are_read(tmp_path):
    swapped = some_values(">i2").tobytes(order="F")
    (tmp_path / "a.mha").write_bytes(mha("MSB = False", "MSB = True", swapped))
    (tmp_path / "b.nrrd").write_bytes(nrrd(encoding="gzip", body=gzip.compress(some_values().tobytes(order="F"))))
    for name in ("a.mha", "b.nrrd"):
        np.testing.assert_array_equal(read_grid(tmp_path / name)[0], some_values())


PACKED = zlib.compress(some_values().tobytes(order="F"))
BAD_MHA = {
    "underscore": mha("Offset = 5", "Offset = 1_0"),
    "far away": mha("Offset = 5", "Offset = 900000"),
    "in metres": mha("ElementSpacing = 1 1 1", "ElementSpacing = 0.001 0.001 0.001"),
    "giant number": mha("Offset = 5", "Offset = " + "9" * 5000),
    "no number": mha("Offset = 5", "Offset = nan"),
    "too many": mha("DimSize = 4 5 6", "DimSize = 4 5 6 7"),
    "nothing": mha("DimSize = 4", "DimSize = 0"),
    "huge": mha("DimSize = 4 5 6", "DimSize = 4000 5000 6000"),
    "negative": mha("DimSize = 4", "DimSize = -4"),
    "another size": mha("DimSize = 4", "DimSize = 3"),
    "two dimensions": mha("NDims = 3", "NDims = 2"),
    "colours": mha("NDims = 3", "NDims = 3\nElementNumberOfChannels = 3"),
    "twice": mha("NDims = 3", "NDims = 3\nNDims = 3"),
    "elsewhere": mha("LOCAL", "/etc/passwd"),
    "above": mha("LOCAL", "../a.raw"),
    "list": mha("LOCAL", "LIST"),
    "pattern": mha("LOCAL", "a%03d.raw 1 3 1"),
    "missing": mha("LOCAL", "b.raw"),
    "sheared": mha("1 0 0 0 1 0", "1 0 0 1 1 0"),
    "no type": mha("MET_SHORT", "MET_STRING"),
    "no header": mha()[40:],
    "text": mha("BinaryData = True", "BinaryData = False"),
    "packed size": mha(
        "CompressedData = False", f"CompressedData = True\nCompressedDataSize = {len(PACKED) + 1}", PACKED
    ),
    "check sum": mha("CompressedData = False", "CompressedData = True", PACKED[:-1] + bytes([PACKED[-1] ^ 1])),
    "cut": mha("CompressedData = False", "CompressedData = True", PACKED[:-2]),
    "bomb": mha("CompressedData = False", "CompressedData = True", zlib.compress(bytes(10**7))),
    "nul": mha("NDims = 3", "NDims\0 = 3"),
}


@pytest.mark.parametrize("kind", BAD_MHA)
def test_damaged_metaimage_is_one_sentence(tmp_path, kind):
    (tmp_path / "a.mha").write_bytes(BAD_MHA[kind])
    with pytest.raises(InputError, match=r"a\.mha: [^\n]{5,400}$|b\.raw: no such file"):
        read_grid(tmp_path / "a.mha")


def test_keys_that_the_format_does_not_know_are_named(tmp_path):
    (tmp_path / "a.mha").write_bytes(mha("Offset", "Offsat"))
    with pytest.warns(UserWarning, match="Offsat: no keys of MetaImage"):
        read_grid(tmp_path / "a.mha")


@pytest.mark.parametrize(
    "content",
    [
        nrrd(space="scanner-xyz"),
        nrrd(more='space units: "m" "m" "m"\n'),
        nrrd(more="spase: x\n"),
        nrrd(more="type: short\n"),
        nrrd(more="data file: LIST\n", body=b"a.raw\n"),
        nrrd(more="data file: ../a.raw\n"),
        nrrd(more="byte skip: 4\n"),
        nrrd(encoding="hex"),
        re.sub(rb"space directions: \([^)]*\)", b"space directions: (0,0,0)", nrrd()),
        nrrd(encoding="gzip", body=gzip.compress(bytes(10**7))),
        nrrd(encoding="gzip", body=gzip.compress(some_values().tobytes()) + b"more"),
        nrrd(sizes="4 5 6 1", axes=4),
        nrrd(sizes="4 5 60000000"),
        nrrd(body=b""),
    ],
)
def test_damaged_nrrd_is_one_sentence(tmp_path, content):
    (tmp_path / "a.nrrd").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.nrrd: [^\n]{5,400}$"):
        read_grid(tmp_path / "a.nrrd")
