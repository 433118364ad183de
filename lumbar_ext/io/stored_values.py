"""The values of a volume as they lie in a file behind a text header (NRRD, MetaImage): all of them, or an error."""

from __future__ import annotations

import bz2
import math
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.io.input_file import MAX_VOLUME_BYTES, MAX_VOXELS, one_line, require_file

PLAIN, DEFLATED, BZIP2 = "plain", "deflated", "bzip2"
_LONGEST_HEADER = 2**20
"""Segmentations of a hundred structures keep a kilobyte of names for each in their header."""
_NUMBER = re.compile(r"[-+.0-9eE]{1,40}")
"""What may be one: Python would take the underscore of "1_0" for a mark of thousands, and other scripts' digits for its own."""
_FARTHEST_MM = 1e6  # a kilometre: no scanner is that large


@dataclass(frozen=True)
class StoredValues:
    """Where the values of a volume lie, and as what.

    Args:
        shape: voxels along each axis, the axis that changes fastest first.
        dtype: of a value, with its byte order.
        packing: PLAIN, DEFLATED (gzip or zlib) or BZIP2.
        skip: bytes before the first one; -1 if the values are the last bytes of the file.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    packing: str = PLAIN
    skip: int = 0

    def read(self, path: Path) -> np.ndarray:
        """The values [shape] of a file.

        Raises:
            InputError: if the file holds fewer or more bytes, or its check sum tells that they are others.
        """
        with path.open("rb") as stream:
            body = stream.read()
        wanted = math.prod(self.shape) * self.dtype.itemsize
        body = body[self.skip if self.skip >= 0 else max(len(body) - wanted, 0) :]
        content = body if self.packing == PLAIN else _unpacked(path, body, self.packing, wanted)
        if len(content) != wanted:
            more = "or more" if len(content) > wanted and self.packing != PLAIN else "of values"
            raise InputError(
                f"{path}: {len(content)} bytes {more}, expected {wanted} by its header; it is damaged or cut short"
            )
        return np.frombuffer(content, self.dtype).reshape(self.shape, order="F")


def header_lines(path: Path, end: str) -> tuple[list[str], int]:
    """The lines of a text header and the bytes that it takes.

    Args:
        path: the file; all of it may be header.
        end: what its last line starts with; "" for an empty line.

    Raises:
        InputError: if it is longer than any header.
    """
    with path.open("rb") as stream:
        head = stream.read(_LONGEST_HEADER)
    lines, position = [], 0
    while position < len(head):
        newline = head.find(b"\n", position)
        newline = len(head) if newline < 0 else newline
        lines.append(head[position:newline].decode("utf-8", errors="backslashreplace").rstrip("\r"))
        position = min(newline + 1, len(head))
        if lines[-1].startswith(end) if end else not lines[-1]:
            return lines, position
    if len(head) == _LONGEST_HEADER:
        raise damaged(path, f"no end in its first {_LONGEST_HEADER} bytes")
    return lines, position


def damaged(path: Path, what: str) -> InputError:
    """The error for a header that no writer makes."""
    return InputError(f"{path}: cannot be read as a volume: its header is damaged ({what[:120]})")


def numbers(path: Path, name: str, text: str, count: int) -> np.ndarray:
    """`count` finite numbers of a header entry, none larger than any place in a volume.

    Raises:
        InputError: naming the entry.
    """
    words = text.split()
    try:
        found = np.array([float(word) for word in words if _NUMBER.fullmatch(word)])
    except ValueError:
        found = np.empty(0)
    if len(words) != count or len(found) != count or not (np.abs(found) <= _FARTHEST_MM).all():
        raise damaged(path, f"{name}: {text[:60]!r}, expected {count} number{'s' * (count > 1)}")
    return found


def whole_numbers(path: Path, name: str, text: str, count: int, low: int, high: int) -> tuple[int, ...]:
    """`count` whole numbers of a header entry within a range.

    Raises:
        InputError: naming the entry.
    """
    words = text.split()
    found = tuple(
        int(word) for word in words if word.lstrip("-").isascii() and word.lstrip("-").isdigit() and len(word) < 12
    )
    if len(words) != count or len(found) != count or not all(low <= number <= high for number in found):
        raise damaged(path, f"{name}: {text[:60]!r}, expected {count} whole number{'s' * (count > 1)} from {low}")
    return found


def bounded_shape(path: Path, name: str, text: str, count: int) -> tuple[int, ...]:
    """The sizes of a header entry.

    Raises:
        InputError: if they are of no volume, or of a larger one than any.
    """
    shape = whole_numbers(path, name, text, count, 1, MAX_VOXELS)
    if math.prod(shape) > MAX_VOXELS:
        raise InputError(f"{path}: an array of shape {shape} by its header, expected at most {MAX_VOXELS} voxels")
    return shape


def sibling(path: Path, name: str) -> Path:
    """The file with the values, named by a header in the same folder.

    Raises:
        InputError: if the header names several files or one elsewhere, or that file cannot be read.
    """
    if not name or Path(name).name != name or name.split()[0] in ("LIST", "LIST:") or "%" in name:
        raise InputError(f"{path}: its values lie in {name[:60]!r}, expected the name of one file in the same folder")
    return require_file(path.with_name(name), f"the values of {path.name}", MAX_VOLUME_BYTES)


def _unpacked(path: Path, body: bytes, packing: str, wanted: int) -> bytes:
    """At most one byte more than wanted; checked to the end of the stream, where its check sum lies."""
    # 32 + 15: gzip or zlib, as the stream says.
    unpacker = bz2.BZ2Decompressor() if packing == BZIP2 else zlib.decompressobj(47)
    try:
        content = unpacker.decompress(body, wanted + 1)
    except (zlib.error, OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as a volume: its compressed values are damaged ({one_line(error)})"
        ) from error
    if len(content) <= wanted and (not unpacker.eof or unpacker.unused_data):
        what = "bytes after their end" if unpacker.eof else "cut short"
        raise InputError(f"{path}: cannot be read as a volume: its compressed values are damaged ({what})")
    return content
