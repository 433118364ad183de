"""NIfTI files of any dimension: sizes bounded before they are decoded, check sums verified, one rule for the affine.

The affine: the sform where its code is above 0, else the qform where its code is above 0, else none is stated (this is
nibabel's rule; ITK's differs). Where both are stated and place the array differently, the file is read with a remark.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.io.input_file import MAX_VOLUME_BYTES, one_line, require_file, silenced

_HEADERS = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
_MAGICS = {b"n+1\0": 344, b"n+2\0": 4}  # where they stand in the headers of NIfTI-1 and NIfTI-2, nifti1.h and nifti2.h
_LONGEST_EXTENSIONS = 2**24  # bytes between header and values
_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""By the low three bits of xyzt_units: unknown (taken as mm), metre, mm, micrometre."""

_APART_MM = 0.1  # of where sform and qform put a corner: rounding of float32 and quaternions stays far below
_LAST_SPACE_CODE = 5
"""NIFTI_XFORM_TEMPLATE_OTHER."""


@dataclass(frozen=True)
class NiftiImage:
    """What a NIfTI file holds.

    Args:
        values: the array as stored, in the header's order, rescaled where the header says so.
        ras_from_voxel_mm: [4, 4] voxel index to mm (right, anterior, superior); None if the header states no affine.
        zooms_mm: spacing of the first axes, at most three.
        unit_known: whether the header states the unit of length.
        bits: of a stored value.
        remarks: doubts, each a sentence with the file's name.
    """

    values: np.ndarray
    ras_from_voxel_mm: np.ndarray | None
    zooms_mm: tuple[float, ...]
    unit_known: bool
    bits: int
    remarks: tuple[str, ...] = ()


def is_nifti(path: Path) -> bool:
    """Whether the content is a single-file NIfTI image, gzipped or not, whatever the name."""
    try:
        with _open(path) as stream:
            header = stream.read(348)
    except (OSError, EOFError, zlib.error):
        return False
    return any(header[offset : offset + 4] == magic for magic, offset in _MAGICS.items())


def read_nifti(path: str | Path, max_values: int) -> NiftiImage:
    """Reads a whole NIfTI file (.nii, .nii.gz, versions 1 and 2), whatever its name.

    Args:
        path: the file.
        max_values: how many values it may hold, by its header.

    Raises:
        InputError: if it is missing, larger than that, damaged (its check sum, its length), or its header impossible.
    """
    path = require_file(path, "a NIfTI file", MAX_VOLUME_BYTES)
    if not is_nifti(path):
        raise InputError(f"{path}: not a NIfTI file")
    try:
        with _open(path) as stream:
            header = _header(path, stream)
            wanted = _wanted_bytes(path, header, max_values)
            data = stream.read(wanted)
            # Reading to the end verifies the check sum of gzip.
            surplus = len(stream.read(1024))
        if len(data) < wanted or surplus:
            found = f"more than {wanted}" if surplus else str(len(data))
            raise InputError(f"{path}: a damaged NIfTI file: {found} bytes of values, expected {wanted} by its header")
        values = _values(path, header, data)
    except InputError:
        raise
    except Exception as error:  # gzip, zlib, struct, numpy and nibabel have errors of their own
        raise InputError(f"{path}: a damaged NIfTI file ({one_line(error)})") from error
    factor, known = _unit(path, header)
    affine, remarks = _affine(path, header, factor)
    zooms = tuple(float(zoom) * factor for zoom in header.get_zooms()[:3])
    return NiftiImage(values, affine, zooms, known, int(header["bitpix"]), remarks)


def _open(path: Path):
    with path.open("rb") as stream:
        zipped = stream.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if zipped else path.open("rb")


def _header(path: Path, stream) -> nibabel.Nifti1Header:
    """The header, with the stream left at the first value."""
    head = stream.read(4)
    size = next((n for n in _HEADERS if n in (int.from_bytes(head, "little"), int.from_bytes(head, "big"))), None)
    if size is None:
        raise InputError(f"{path}: a damaged NIfTI file: its header is {int.from_bytes(head, 'little')} bytes long")
    head += stream.read(size - 4)
    _refuse_what_would_be_guessed(path, _HEADERS[size](head, check=False))
    with silenced("nibabel.global"):
        header = _HEADERS[size](head)
    start = int(header["vox_offset"])
    if not size + 4 <= start <= size + 4 + _LONGEST_EXTENSIONS or start != header["vox_offset"]:
        raise InputError(f"{path}: a damaged NIfTI file: values at byte {header['vox_offset']}, expected {size + 4}")
    extensions = stream.read(start - size)
    if not _extends_to(extensions, header.endianness):
        raise InputError(f"{path}: a damaged NIfTI file: values at byte {start}, which is not where its header ends")
    return header


def _refuse_what_would_be_guessed(path: Path, header: nibabel.Nifti1Header) -> None:
    """nibabel takes an unknown code for "not stated", and a spacing of zero for 1 mm: both would move the image in silence."""
    for name in ("sform_code", "qform_code"):
        if not 0 <= int(header[name]) <= _LAST_SPACE_CODE:
            raise InputError(
                f"{path}: a damaged NIfTI file: {name} {int(header[name])}, expected 0 to {_LAST_SPACE_CODE}"
            )
    axes = [axis for axis in (1, 2, 3) if axis <= int(header["dim"][0]) and int(header["dim"][axis]) > 1]
    spacing = [float(header["pixdim"][axis]) for axis in axes]
    if not all(0 < abs(number) < np.inf for number in spacing):
        raise InputError(f"{path}: a damaged NIfTI file: pixdim {spacing}, expected distances between its values")


def _extends_to(block: bytes, endianness: str) -> bool:
    """Whether the extensions fill the block between header and values; without any, it may be padded with zeros."""
    order = "little" if endianness == "<" else "big"
    position = 4
    while block[0] and position + 8 <= len(block):
        size = int.from_bytes(block[position : position + 4], order)
        if size < 8:
            break
        position += size
    return position == len(block) or (position < len(block) and not any(block[position:]))


def _wanted_bytes(path: Path, header: nibabel.Nifti1Header, max_values: int) -> int:
    shape = tuple(int(n) for n in header.get_data_shape())
    dtype = header.get_data_dtype()
    count = 1
    for n in shape:
        count *= n
    if not shape or min(shape) < 1 or count > max_values:
        raise InputError(f"{path}: an array of shape {shape} by its header, expected at most {max_values} values")
    if dtype.kind not in "biufV" or (dtype.names and dtype.names[0] != "R"):
        raise InputError(f"{path}: values of type {dtype}, expected grey values")
    if int(header["bitpix"]) != 8 * dtype.itemsize:
        raise InputError(f"{path}: {header['bitpix']} bits a value of type {dtype}, expected {8 * dtype.itemsize}")
    return count * dtype.itemsize


def _values(path: Path, header: nibabel.Nifti1Header, data: bytes) -> np.ndarray:
    shape, dtype = header.get_data_shape(), header.get_data_dtype()
    values = np.frombuffer(data, dtype).reshape(shape, order="F")
    slope, intercept = header.get_slope_inter()
    if dtype.names or (slope in (None, 1) and intercept in (None, 0)):
        return values
    if not (np.isfinite(slope) and np.isfinite(intercept)):
        raise InputError(f"{path}: values are rescaled by {slope} and {intercept}, expected finite numbers")
    return values * np.float32(slope) + np.float32(intercept)


def _unit(path: Path, header: nibabel.Nifti1Header) -> tuple[float, bool]:
    """mm per unit of length, and whether the header states it."""
    code = int(header["xyzt_units"]) & 0x07
    if code not in _MM_PER_UNIT:
        raise InputError(
            f"{path}: xyzt_units {int(header['xyzt_units'])} names the unit of length {code}, expected 0 (unknown), "
            "1 (metre), 2 (mm) or 3 (micrometre)"
        )
    return _MM_PER_UNIT[code], code != 0


def _affine(path: Path, header: nibabel.Nifti1Header, factor: float) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The affine in mm by the rule of this module, and a remark where the other one differs."""
    try:
        stated = [f for f in (header.get_sform(coded=True)[0], header.get_qform(coded=True)[0]) if f is not None]
    except Exception as error:
        raise InputError(f"{path}: a damaged NIfTI file: impossible qform ({one_line(error)})") from error
    if not stated:
        return None, ()
    affine = np.array(stated[0], dtype=np.float64)
    if not np.isfinite(affine).all() or np.abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise InputError(f"{path}: its affine is degenerate: {affine[:3].round(4).tolist()}, expected three directions")
    affine[:3] *= factor
    remarks = ()
    if len(stated) == 2:
        apart = _apart_mm(stated[0], stated[1], header.get_data_shape()) * factor
        if not apart < _APART_MM:
            remarks = (
                f"{path}: its sform and its qform differ by {apart:.3g} mm; the sform is followed, as in every file",
            )
    return affine, remarks


def _apart_mm(first: np.ndarray, second: np.ndarray, shape: tuple[int, ...]) -> float:
    """Largest distance between the places of a corner voxel."""
    ends = [(0, n - 1) for n in (*shape, 1, 1)[:3]]
    corners = np.array(np.meshgrid(*ends, [1])).reshape(4, -1)
    return float(np.linalg.norm(((first - second) @ corners)[:3], axis=0).max())
