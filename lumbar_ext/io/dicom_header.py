"""DICOM data sets and the values of their elements, read so that whatever is wrong with a file becomes one clear error.

Elements are converted when they are asked for: a damaged element that nobody needs is no obstacle.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import MutableSequence
from pathlib import Path

import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from lumbar_ext.errors import InputError
from lumbar_ext.io.input_file import MAX_RADIOGRAPH_BYTES, one_line, require_file

_HEADER_BYTES = 2**24
"""More than any header: what lies beyond is not read when only the header is wanted."""

_GROUP_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"
_SLOT_SCANNER = re.compile(
    r"(?<![a-z])(sterEOS|EOS(edge)?|EOS imaging|Biospace|ATEC|Alphatec|Lodox|Statscan)(?![a-z])", re.IGNORECASE
)
_DEVICE = "Manufacturer ManufacturerModelName DetectorManufacturerName DetectorManufacturerModelName SoftwareVersions"


def is_dicom(path: Path) -> bool:
    """Whether the content is DICOM: by the `DICM` mark or, without a preamble, by its first data element."""
    with path.open("rb") as stream:
        head = stream.read(132)
    # Files without the preamble start with a tag of group 2 or 8 in little endian.
    return head[128:132] == b"DICM" or (head[:2] in (b"\x02\x00", b"\x08\x00") and head[3:4] == b"\x00")


def read_dataset(path: str | Path, *, with_pixels: bool) -> Dataset:
    """The data set of a DICOM file.

    Args:
        path: the file.
        with_pixels: whether to read Pixel Data, too; the file is then bounded in size.

    Raises:
        InputError: if the file is missing, not regular, too large, inflates to more than a radiograph, or is damaged.
    """
    path = require_file(path, "a DICOM file", MAX_RADIOGRAPH_BYTES if with_pixels else 2**40)
    try:
        with path.open("rb") as stream:
            content = stream.read(_HEADER_BYTES)
            if with_pixels or _is_deflated(content):
                content += stream.read(MAX_RADIOGRAPH_BYTES)
        _require_bounded_deflate(path, content)
        # In memory: a length that a flipped bit made huge is cut to what is there before memory is asked for.
        return pydicom.dcmread(io.BytesIO(content), stop_before_pixels=not with_pixels, force=True)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # pydicom lets errors of struct, zlib, its own and others through
        raise InputError(f"{path}: a damaged DICOM file ({one_line(error)})") from error


def element_text(header: Dataset, keyword: str, path: str | Path) -> str | None:
    r"""An element as text, several values joined by a backslash; None where it is absent or empty.

    Raises:
        InputError: naming the element, if its value cannot be read.
    """
    try:
        value = _stored(header, keyword)
        if value is None:
            value = header.get(keyword)
        values = value if isinstance(value, MutableSequence | tuple) else [value]
        text = "\\".join("" if item is None else str(item) for item in values)
    except Exception as error:
        raise InputError(
            f"{path}: the DICOM element {element_name(keyword)} cannot be read ({one_line(error)})"
        ) from error
    return text.strip(" \0\r\n\t") or None


def element_numbers(header: Dataset, keyword: str, path: str | Path, count: int = 1) -> tuple[float, ...] | None:
    """An element as finite numbers; None where it is absent or empty.

    Raises:
        InputError: naming the element, what it holds and what is expected, for anything but `count` finite numbers.
    """
    text = element_text(header, keyword, path)
    if text is None:
        return None
    try:
        # Python would take the underscore of "1_0" for a mark of thousands.
        numbers = tuple(float(part) for part in text.split("\\") if part.isascii() and "_" not in part)
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(abs(number) < 1e300 for number in numbers):
        wanted = "a number" if count == 1 else f"{count} numbers"
        hint = " with a decimal point" if "," in text else ""
        raise InputError(f"{path}: DICOM tag {element_name(keyword)} is {text[:80]!r}, expected {wanted}{hint}")
    return numbers


def element_integer(header: Dataset, keyword: str, path: str | Path) -> int | None:
    """An element as a whole number; None where it is absent or empty.

    Raises:
        InputError: as `element_numbers`, and for a fraction.
    """
    numbers = element_numbers(header, keyword, path)
    if numbers is None:
        return None
    if numbers[0] != int(numbers[0]):
        raise InputError(f"{path}: DICOM tag {element_name(keyword)} is {numbers[0]:g}, expected a whole number")
    return int(numbers[0])


def sequence_items(header: Dataset, keyword: str, path: str | Path) -> tuple[Dataset, ...]:
    """The items of a sequence; none where it is absent.

    Raises:
        InputError: naming the element, if it cannot be read or is no sequence.
    """
    try:
        items = tuple(header.get(keyword) or ())
    except Exception as error:
        raise InputError(
            f"{path}: the DICOM element {element_name(keyword)} cannot be read ({one_line(error)})"
        ) from error
    if not all(isinstance(item, Dataset) for item in items):
        raise InputError(f"{path}: the DICOM element {element_name(keyword)} is no sequence of items")
    return items


def slot_scanner(header: Dataset, path: str | Path) -> str | None:
    """The device that made an image, if it is a slot scanner; else None."""
    texts = [text for keyword in _DEVICE.split() if (text := element_text(header, keyword, path))]
    return " ".join(texts[:2]) if any(_SLOT_SCANNER.search(text) for text in texts) else None


def refused_slot_scan(path: str | Path, device: str, more: str = "") -> InputError:
    """The error for an image of a slot scanner that is to be used like a cone beam's, in the words of all places."""
    return InputError(
        f"{path}: made by a slot scanner ({device}), which magnifies along rows only; such images are not supported yet "
        f"without a calibration that gives both views the type slot_scan{more}"
    )


def _stored(header: Dataset, keyword: str) -> str | None:
    """The characters of a number stored as text (VR DS or IS), before pydicom, which raises for some, converts them."""
    element = header.get_item(keyword) if keyword in header else None
    if not isinstance(element, RawDataElement) or (element.VR or dictionary_VR(element.tag)) not in ("DS", "IS"):
        return None
    return (element.value or b"").decode("ascii", errors="replace")


def element_name(keyword: str) -> str:
    """An element for a message: its tag and keyword."""
    tag = tag_for_keyword(keyword)
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X}) {keyword}"


def _is_deflated(head: bytes) -> bool:
    """Whether the file meta information names the transfer syntax of deflated data sets."""
    return head[128:132] == b"DICM" and DeflatedExplicitVRLittleEndian.encode() in head[:4096]


def _require_bounded_deflate(path: Path, content: bytes) -> None:
    """Refuses a deflated data set that inflates to more than a radiograph, without inflating more than that."""
    if not _is_deflated(content):
        return
    if content[132:140] != _GROUP_LENGTH:
        raise InputError(f"{path}: a damaged DICOM file: deflated, without the length of its file meta information")
    data = content[144 + int.from_bytes(content[140:144], "little") :]
    inflater, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while data and not inflater.eof:
        size += len(inflater.decompress(data, 2**20))
        data = inflater.unconsumed_tail
        if size > MAX_RADIOGRAPH_BYTES:
            raise InputError(
                f"{path}: inflates to more than {MAX_RADIOGRAPH_BYTES / 2**20:.0f} MiB, expected one radiograph"
            )
    if not inflater.eof:
        raise InputError(f"{path}: a damaged DICOM file: its deflated data end early")
