"""MetaImage files (.mha, .mhd) with one volume (itk.org/Wiki/MetaIO/Documentation), their values attached or beside them.

What the format allows and no label map or CT has is refused by name: several values a voxel, several data files, values as
text, and functions from values to intensities.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.io.stored_values import (
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

SUFFIXES = (".mha", ".mhd")
_LAST_KEY = "ElementDataFile"
_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_SAME = {
    "Position": "Offset",
    "Origin": "Offset",
    "Rotation": "TransformMatrix",
    "Orientation": "TransformMatrix",
    "BinaryDataByteOrderMSB": "ElementByteOrderMSB",
}
_FIXED = {
    "ObjectType": ("Image",),
    "BinaryData": ("True",),
    "ElementNumberOfChannels": ("1",),
    "ElementToIntensityFunctionSlope": ("1",),
    "ElementToIntensityFunctionOffset": ("0",),
    "DistanceUnits": ("mm", "?"),
}
"""Keys that may have one value only."""
_READ = (
    "NDims DimSize ElementType ElementSpacing Offset TransformMatrix ElementByteOrderMSB CompressedData CompressedDataSize "
    f"HeaderSize {_LAST_KEY}"
)
_UNUSED = (
    "Comment ObjectSubType TransformType Name ID ParentID Color CenterOfRotation AnatomicalOrientation ElementSize Modality "
    "ElementMin ElementMax ElementNBits HeaderSizePerSlice SequenceID AcquisitionDate"
)
_KEYS = frozenset(f"{_READ} {_UNUSED}".split()) | frozenset(_FIXED)


def read_metaimage(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The values [I, J, K] and [4, 4] voxel index to mm, left, posterior, superior.

    Raises:
        InputError: if the header is damaged or tells of no single volume, or the values are not all there.

    Warns:
        UserWarning: for keys that the format does not know.
    """
    lines, header_bytes = header_lines(path, _LAST_KEY)
    entries = _entries(path, lines)
    (dimensions,) = whole_numbers(path, "NDims", _required(path, entries, "NDims"), 1, 1, 10)
    shape = bounded_shape(path, "DimSize", _required(path, entries, "DimSize"), dimensions)
    if dimensions != 3:
        raise InputError(f"{path}: expected one volume of three dimensions, found the shape {shape}")
    name = _required(path, entries, _LAST_KEY)
    (skip,) = whole_numbers(path, "HeaderSize", entries.get("HeaderSize", "0"), 1, -1, 2**31)
    attached = name.upper() == "LOCAL"
    if skip and (attached or _packing(path, entries) != PLAIN):
        raise damaged(path, "HeaderSize with compressed values or values in the same file")
    data = path if attached else sibling(path, name)
    start = header_bytes if attached else skip
    _check_packed_size(path, entries, data, start)
    stored = StoredValues(shape, _dtype(path, entries), _packing(path, entries), start)
    return stored.read(data), _lps_from_voxel(path, entries)


def _entries(path: Path, lines: list[str]) -> dict[str, str]:
    """The values by key, each key under one name."""
    entries: dict[str, str] = {}
    for line in filter(str.strip, lines):
        key, equals, value = (part.strip() for part in line.partition("="))
        key = _SAME.get(key, key)
        if not equals or not key.isidentifier() or key in entries or not line.isprintable():
            raise damaged(path, f"the line {line[:60]!r}")
        entries[key] = value
    for key, allowed in _FIXED.items():
        if entries.get(key, allowed[0]) not in allowed:
            raise InputError(f"{path}: {key} is {entries[key][:40]!r}, expected {allowed[0]}")
    unknown = sorted(set(entries) - _KEYS)
    if unknown:
        warnings.warn(f"{path}: {', '.join(unknown)[:120]}: no keys of MetaImage; left out of account", stacklevel=3)
    return entries


def _required(path: Path, entries: dict[str, str], key: str) -> str:
    if key not in entries:
        raise damaged(path, f"it has no {key}")
    return entries[key]


def _truth(path: Path, entries: dict[str, str], key: str) -> bool:
    text = entries.get(key, "False")
    if text not in ("True", "False"):
        raise damaged(path, f"{key}: {text[:40]!r}, expected True or False")
    return text == "True"


def _packing(path: Path, entries: dict[str, str]) -> str:
    return DEFLATED if _truth(path, entries, "CompressedData") else PLAIN


def _check_packed_size(path: Path, entries: dict[str, str], data: Path, start: int) -> None:
    """Compares the size of the compressed values to the header's, if it tells one."""
    if "CompressedDataSize" not in entries or _packing(path, entries) == PLAIN:
        return
    (size,) = whole_numbers(path, "CompressedDataSize", entries["CompressedDataSize"], 1, 1, 2**33)
    if (found := data.stat().st_size - start) != size:
        raise InputError(
            f"{path}: {found} bytes of compressed values, expected {size} by its header; it is damaged or cut short"
        )


def _dtype(path: Path, entries: dict[str, str]) -> np.dtype:
    text = _required(path, entries, "ElementType")
    if text not in _TYPES:
        raise InputError(f"{path}: values of type {text[:40]!r}, expected one of {', '.join(_TYPES)}")
    return np.dtype((">" if _truth(path, entries, "ElementByteOrderMSB") else "<") + _TYPES[text])


def _lps_from_voxel(path: Path, entries: dict[str, str]) -> np.ndarray:
    """The affine; the matrix of the file lists one axis after the other."""
    spacing = numbers(path, "ElementSpacing", entries.get("ElementSpacing", "1 1 1"), 3)
    if not (spacing > 0).all():
        raise damaged(path, f"ElementSpacing: {entries['ElementSpacing']!r}, expected positive numbers")
    matrix = numbers(path, "TransformMatrix", entries.get("TransformMatrix", "1 0 0 0 1 0 0 0 1"), 9).reshape(3, 3)
    if not np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-3):
        raise damaged(
            path, f"TransformMatrix: {entries['TransformMatrix'][:60]!r}, expected three orthogonal directions"
        )
    affine = np.eye(4)
    affine[:3, :3] = matrix.T * spacing
    affine[:3, 3] = numbers(path, "Offset", entries.get("Offset", "0 0 0"), 3)
    return affine
