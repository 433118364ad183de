"""The stored values of a DICOM image: whatever the header and the pixel data say differently is an error or a remark.

Which combination gets what is told in docs/radiographs.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from lumbar_ext.errors import InputError
from lumbar_ext.io.compressed_image import SYNTAXES, StreamHeader, decode_stream
from lumbar_ext.io.dicom_header import element_integer, element_text
from lumbar_ext.io.input_file import one_line, require_image_size

_IMPLICIT, _BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
_PLAIN = {_IMPLICIT, "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", _BIG_ENDIAN}
_MOST_PADDING = 0.75  # share of pixels; beyond it the padding value is one of the picture's own
_ITEM, _END_OF_ITEMS = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"


@dataclass(frozen=True)
class PixelFormat:
    """How a header describes its pixels (DICOM PS3.3, C.7.6.3.1.1)."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool


@dataclass(frozen=True)
class StoredImage:
    """Stored values of a DICOM image.

    Args:
        values: [rows, columns] int32, or int64 for 32 bits, sign extended.
        bits: of a value.
        signed: whether negative values are possible.
        padding: [rows, columns] where the header's padding values stand, None without any.
        remarks: doubts, each a sentence without the file's name.
    """

    values: np.ndarray
    bits: int
    signed: bool
    padding: np.ndarray | None = None
    remarks: tuple[str, ...] = ()

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest value that the bits can hold."""
        return (-(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1) if self.signed else (0, 2**self.bits - 1)


def read_stored(path: Path, data: Dataset) -> StoredImage:
    """The stored values of a data set with one grey image.

    Raises:
        InputError: naming the file, for anything but one monochrome frame, for an image larger than any radiograph, for
            pixel data that are missing or too many, and for headers that contradict their pixels.
    """
    form = _pixel_format(path, data)
    content = _pixel_data(path, data)
    syntax = element_text(data.file_meta, "TransferSyntaxUID", path) or _IMPLICIT
    try:
        if syntax in _PLAIN:
            image = _from_cells(form, _plain_cells(form, content, syntax, data["PixelData"].VR), data, path)
        elif syntax in SYNTAXES:
            samples, stream = decode_stream(syntax, _frame(content), form.rows, form.columns, form.bits_allocated)
            image = _from_stream(form, samples, stream, data, path)
        else:
            raise InputError(f"transfer syntax {syntax}, expected plain, RLE, JPEG, JPEG-LS or JPEG 2000 pixels")
    except InputError as error:
        if str(error).startswith(str(path)):
            raise
        raise InputError(f"{path}: {error}") from error
    return image


def require_grey(path: str | Path, data: Dataset) -> str:
    """The photometric interpretation of a header with one grey frame.

    Raises:
        InputError: for colour, palettes and several frames.
    """
    photometric = element_text(data, "PhotometricInterpretation", path)
    if photometric is None:
        raise InputError(
            f"{path}: cannot read an image from this DICOM file (it has no Photometric Interpretation); it is damaged, "
            "cut short or no image object"
        )
    samples = element_integer(data, "SamplesPerPixel", path)
    if photometric not in ("MONOCHROME1", "MONOCHROME2") or samples not in (None, 1):
        raise InputError(
            f"{path}: a DICOM image with photometric interpretation {photometric[:40]!r} and {samples} samples a pixel, "
            "expected MONOCHROME1 or 2 and one"
        )
    frames = element_integer(data, "NumberOfFrames", path)
    if frames not in (None, 0, 1):
        raise InputError(f"{path}: a DICOM image of {frames} frames, expected one radiograph with a single frame")
    return photometric


def _pixel_format(path: Path, data: Dataset) -> PixelFormat:
    names = ("Rows", "Columns", "BitsAllocated")
    rows, columns, allocated = (element_integer(data, name, path) for name in names)
    if None in (rows, columns, allocated):
        raise InputError(
            f"{path}: cannot read an image from this DICOM file, which lacks Rows, Columns or Bits Allocated"
        )
    require_image_size(path, columns, rows)
    stored = element_integer(data, "BitsStored", path) or allocated
    high = element_integer(data, "HighBit", path)
    high = stored - 1 if high is None else high
    sign = element_integer(data, "PixelRepresentation", path) or 0
    if allocated not in (8, 16, 32) or not 1 < stored <= allocated or not stored - 1 <= high < allocated:
        raise InputError(
            f"{path}: {allocated} bits allocated, {stored} stored, high bit {high}; expected 8, 16 or 32 bits allocated, "
            "no more stored, and the high bit among them"
        )
    if sign not in (0, 1):
        raise InputError(f"{path}: Pixel Representation is {sign}, expected 0 or 1")
    return PixelFormat(rows, columns, allocated, stored, high, bool(sign))


def _pixel_data(path: Path, data: Dataset) -> bytes:
    try:
        content = data["PixelData"].value if "PixelData" in data else None
    except Exception as error:
        raise InputError(f"{path}: Pixel Data cannot be read ({one_line(error)})") from error
    if not isinstance(content, bytes) or not content:
        raise InputError(f"{path}: cannot read an image from this DICOM file: it has no Pixel Data")
    return content


def _plain_cells(form: PixelFormat, content: bytes, syntax: str, vr: str) -> np.ndarray:
    """Unsigned cells [rows, columns] of uncompressed pixels."""
    size = form.bits_allocated // 8
    wanted = form.rows * form.columns * size
    if len(content) < wanted:
        raise InputError(
            f"pixel data are missing: {len(content)} bytes, expected {wanted} for {form.columns} columns x {form.rows} "
            f"rows of {form.bits_allocated} bits; the file is cut short or damaged"
        )
    # Some writers fill up the last block; a whole row too many means that the header is of another image.
    if len(content) - wanted >= max(form.columns * size, 2):
        raise InputError(
            f"{len(content)} bytes of pixel data, expected {wanted} for {form.columns} columns x {form.rows} rows of "
            f"{form.bits_allocated} bits"
        )
    order = ">" if syntax == _BIG_ENDIAN else "<"
    if syntax == _BIG_ENDIAN and size == 1 and vr == "OW":
        content = np.frombuffer(content, ">u2", (wanted + 1) // 2).astype("<u2").tobytes()
    return np.frombuffer(content, f"{order}u{size}", form.rows * form.columns).reshape(form.rows, form.columns)


def _frame(content: bytes) -> bytes:
    """The one frame of encapsulated pixel data: all fragments after the offset table (DICOM PS3.5, A.4)."""
    items, position = [], 0
    while content[position : position + 4] == _ITEM:
        length = int.from_bytes(content[position + 4 : position + 8], "little")
        item = content[position + 8 : position + 8 + length]
        if len(item) < length:
            raise InputError("pixel data are missing: a compressed fragment is cut short")
        items.append(item)
        position += 8 + length
    if len(items) < 2 or content[position : position + 4] not in (b"", _END_OF_ITEMS):
        raise InputError("cannot read an image from this DICOM file: its compressed fragments are damaged")
    if len(items[0]) > 4:
        raise InputError(f"{len(items[0]) // 4} compressed frames, expected one radiograph with a single frame")
    return b"".join(items[1:])


def _from_cells(form: PixelFormat, cells: np.ndarray, data: Dataset, path: Path) -> StoredImage:
    """Values of cells in which `bits_stored` bits from the high bit downward count."""
    wide = cells.astype(np.int64 if form.bits_allocated == 32 else np.int32)
    shift, mask = form.high_bit + 1 - form.bits_stored, 2**form.bits_stored - 1
    values = (wide >> shift) & mask
    if form.signed:
        values = _sign_extended(values, form.bits_stored)
    raw = _sign_extended(wide, form.bits_allocated) if form.signed else wide
    image = StoredImage(values, form.bits_stored, form.signed)
    padding = _padding(image, form, data, path, raw)
    _require_clean(form, wide, (values << shift) & (2**form.bits_allocated - 1), padding, data, path)
    return replace(image, padding=padding)


def _sign_extended(cells: np.ndarray, bits: int) -> np.ndarray:
    sign = 2 ** (bits - 1)
    return (cells ^ sign) - sign


def _require_clean(
    form: PixelFormat, cells: np.ndarray, extended: np.ndarray, padding: np.ndarray | None, data: Dataset, path: Path
) -> None:
    """Bits of the cells outside the stored ones must be zero, the sign, the padding's or a declared overlay's."""
    outside = 2**form.bits_allocated - 1 & ~(2**form.bits_stored - 1 << form.high_bit + 1 - form.bits_stored)
    outside &= ~sum(1 << place for place in _overlay_bits(data, path))
    if not outside:
        return
    stray = ((cells & outside) != 0) & ((cells ^ extended) & outside != 0)
    if padding is not None:
        stray &= ~padding
    if stray.any():
        raise InputError(
            f"{np.count_nonzero(stray)} pixels have bits outside the {form.bits_stored} stored below high bit "
            f"{form.high_bit}, expected none: Bits Stored or High Bit is wrong, or the file is damaged"
        )


def _overlay_bits(data: Dataset, path: Path) -> list[int]:
    """Bits of the cells that hold overlays: Overlay Bit Position (60xx,0102), retired in 2004."""
    found = [tag for tag in data.keys() if tag.group & 0xFF00 == 0x6000 and tag.element == 0x0102]
    try:
        return [place for tag in found if 0 <= (place := int(data[tag].value)) < 32]
    except Exception as error:
        raise InputError(
            f"{path}: the DICOM element Overlay Bit Position cannot be read ({one_line(error)})"
        ) from error


def _from_stream(
    form: PixelFormat, samples: np.ndarray, stream: StreamHeader, data: Dataset, path: Path
) -> StoredImage:
    """Values of a compressed stream.

    JPEG and JPEG-LS streams know no sign: their samples are the stored bits. JPEG 2000 streams do, and what a stream
    says goes before the header, which converters are known to leave behind.
    """
    if stream.signed is None:
        if stream.bits > form.bits_allocated:
            raise InputError(
                f"its compressed image has {stream.bits} bits a pixel, expected at most the {form.bits_allocated} allocated"
            )
        if stream.bits <= form.bits_stored:
            form = replace(form, high_bit=form.bits_stored - 1)
        return _from_cells(form, samples, data, path)
    image = StoredImage(samples.astype(np.int32), stream.bits, stream.signed)
    if stream.signed != form.signed:
        kind = "signed" if stream.signed else "unsigned"
        remark = (
            f"the JPEG 2000 stream holds {kind} pixels, Pixel Representation says otherwise; the stream is followed"
        )
        image = replace(image, remarks=(remark,))
    return replace(image, padding=_padding(image, form, data, path, image.values))


def _padding(image: StoredImage, form: PixelFormat, data: Dataset, path: Path, raw: np.ndarray) -> np.ndarray | None:
    """Where Pixel Padding Value (0028,0120), to Pixel Padding Range Limit (0028,0121), stands (PS3.3, C.7.5.1.1.2).

    Writers give the value as it stands in the cells, bits that are not stored included, or as a stored value.
    """
    value = element_integer(data, "PixelPaddingValue", path)
    if value is None:
        return None
    limit = element_integer(data, "PixelPaddingRangeLimit", path)
    ends = np.array([value, value if limit is None else limit], dtype=np.int64) % 2**form.bits_allocated
    low, high = sorted((_sign_extended(ends, form.bits_allocated) if image.signed else ends).tolist())
    padding = (raw >= low) & (raw <= high)
    if image.limits[0] <= low and high <= image.limits[1]:
        padding |= (image.values >= low) & (image.values <= high)
    share = padding.mean()
    if share > _MOST_PADDING:
        what = f"{low}" if low == high else f"{low} to {high}"
        raise InputError(
            f"{path}: {share:.0%} of the pixels are padding (Pixel Padding Value {what}), expected an image"
        )
    return padding if share > 0 else None
