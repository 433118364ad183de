"""NRRD files with one volume (teem.sourceforge.net/nrrd/format.html), their values attached or in one file beside them.

What the format allows and no label map or CT has is refused by name: several values a voxel, several data files, text
and hexadecimal encodings, spaces that are no patient's.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.io.stored_values import (
    BZIP2,
    DEFLATED,
    PLAIN,
    StoredValues,
    bounded_shape,
    damaged,
    header_lines,
    numbers,
    sibling,
    whole_numbers,
)

_MAGIC = re.compile(rb"NRRD000[1-5]\r?\n")
_TYPES = {
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
_TYPE_OF = {name: code for code, names in _TYPES.items() for name in names.split(", ")}
_PACKINGS = {"raw": PLAIN, "gzip": DEFLATED, "gz": DEFLATED, "bzip2": BZIP2, "bz2": BZIP2}
_LPS_SIGNS = {
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}
_READ = "dimension, type, sizes, encoding, endian, space, spacedirections, spaceorigin, byteskip, lineskip, datafile"
_UNUSED = (
    "content, number, blocksize, min, max, oldmin, oldmax, kinds, centers, centerings, labels, units, spaceunits, "
    "spacings, thicknesses, axismins, axismaxs, measurementframe, sampleunits, spacedimension"
)
_FIELDS = frozenset(f"{_READ}, {_UNUSED}".split(", "))


def is_nrrd(path: Path) -> bool:
    """Whether the content starts as NRRD does."""
    with path.open("rb") as stream:
        return _MAGIC.match(stream.read(10)) is not None


def read_nrrd(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The values [I, J, K] and [4, 4] voxel index to mm, left, posterior, superior.

    Raises:
        InputError: if the header is damaged, tells of no single volume in a patient's space, or the values are not all there.
    """
    lines, header_bytes = header_lines(path, "")
    fields = _fields(path, lines[1:])
    (dimension,) = whole_numbers(path, "dimension", _required(path, fields, "dimension"), 1, 1, 16)
    shape = bounded_shape(path, "sizes", _required(path, fields, "sizes"), dimension)
    attached = "datafile" not in fields
    skip = _skip(path, fields)
    if attached and skip:
        raise damaged(path, "byte skip with values in the same file")
    stored = StoredValues(shape, _dtype(path, fields), _packing(path, fields), header_bytes if attached else skip)
    directions = _directions(path, fields, dimension)
    spatial = [axis for axis in range(dimension) if directions[axis] is not None]
    layers = [shape[axis] for axis in range(dimension) if axis not in spatial and shape[axis] > 1]
    if layers:
        raise InputError(
            f"{path}: {layers[0]} values a voxel, expected one; a segmentation with layers must be exported as a label map"
        )
    if len(spatial) != 3:
        raise InputError(f"{path}: expected one volume of three dimensions, found the shape {shape}")
    lps_from_voxel = np.eye(4)
    lps_from_voxel[:3, :3] = np.transpose([directions[axis] for axis in spatial])
    lps_from_voxel[:3, 3] = _vector(path, "space origin", fields.get("spaceorigin", "(0,0,0)"))
    signs = _signs(path, fields)
    values = stored.read(path if attached else sibling(path, fields["datafile"]))
    return values.reshape([shape[axis] for axis in spatial], order="F"), np.diag([*signs, 1.0]) @ lps_from_voxel


def _fields(path: Path, lines: list[str]) -> dict[str, str]:
    """The fields; comments, and the key/value pairs in which writers keep what they like, are left out."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line or line.startswith("#") or ":=" in line:
            continue
        name, colon, value = line.partition(":")
        name = name.lower().replace(" ", "")
        if not colon or name not in _FIELDS or name in fields:
            raise damaged(path, f"the line {line[:60]!r}")
        fields[name] = value.strip()
    return fields


def _required(path: Path, fields: dict[str, str], name: str) -> str:
    if name not in fields:
        raise damaged(path, f"it has no {name}")
    return fields[name]


def _dtype(path: Path, fields: dict[str, str]) -> np.dtype:
    text = _required(path, fields, "type").lower()
    if text not in _TYPE_OF:
        raise InputError(f"{path}: values of type {text[:40]!r}, expected whole numbers or floating point")
    code = _TYPE_OF[text]
    order = fields.get("endian", "little" if code.endswith("1") else "").lower()
    if order not in ("little", "big"):
        raise damaged(path, f"endian: {order!r}, expected little or big")
    return np.dtype(("<" if order == "little" else ">") + code)


def _packing(path: Path, fields: dict[str, str]) -> str:
    text = _required(path, fields, "encoding").lower()
    if text not in _PACKINGS:
        raise InputError(f"{path}: cannot be read as a volume: encoding {text[:40]!r}, expected raw, gzip or bzip2")
    return _PACKINGS[text]


def _skip(path: Path, fields: dict[str, str]) -> int:
    whole_numbers(path, "line skip", fields.get("lineskip", "0"), 1, 0, 0)
    (skip,) = whole_numbers(path, "byte skip", fields.get("byteskip", "0"), 1, -1, 2**31)
    if skip and _packing(path, fields) != PLAIN:
        raise damaged(path, "byte skip with compressed values")
    return skip


def _directions(path: Path, fields: dict[str, str], dimension: int) -> list[np.ndarray | None]:
    """The way from one voxel to the next along each axis; None along an axis that is not in space."""
    text = fields.get("spacedirections")
    if text is None:
        raise InputError(f"{path}: states no space directions, expected where its voxels lie")
    parts = re.findall(r"none|\([^()]*\)|[^\s()]+", text)
    if len(parts) != dimension:
        raise damaged(path, f"space directions: {text[:60]!r}, expected {dimension}")
    return [None if part == "none" else _vector(path, "space directions", part) for part in parts]


def _vector(path: Path, name: str, text: str) -> np.ndarray:
    if not re.fullmatch(r"\([^()]*\)", text):
        raise damaged(path, f"{name}: {text[:60]!r}, expected (x,y,z)")
    return numbers(path, name, text[1:-1].replace(",", " "), 3)


def _signs(path: Path, fields: dict[str, str]) -> tuple[int, int, int]:
    space = fields.get("space", "").lower()
    if space not in _LPS_SIGNS:
        raise InputError(
            f"{path}: its space is {space[:40]!r}, expected left-posterior-superior, right-anterior-superior or "
            "left-anterior-superior"
        )
    if (units := set(re.findall(r'"([^"]*)"', fields.get("spaceunits", "")))) - {"mm", ""}:
        raise InputError(f"{path}: space units {sorted(units)}, expected mm")
    return _LPS_SIGNS[space]
