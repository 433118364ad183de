"""Compressed pixel streams of DICOM files (JPEG, JPEG-LS, JPEG 2000, RLE), decoded by imagecodecs.

What a stream says of itself is read first: it must be the image of the DICOM header, and have an end. The libraries
underneath fill what an unfinished stream lacks.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.io.input_file import one_line

RLE_LOSSLESS = "1.2.840.10008.1.2.5"
_JPEG = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"}
_JPEG_LS = {"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"}
_JPEG_2000 = {f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 201, 202, 203)}
SYNTAXES = _JPEG | _JPEG_LS | _JPEG_2000 | {RLE_LOSSLESS}
"""Transfer syntaxes that are decoded here."""

_END = b"\xff\xd9"
_END_WITHIN = 64  # last bytes, where an end marker stands before padding
_FRAME_MARKERS = {0xC0: "DCT", 0xC1: "DCT", 0xC2: "DCT", 0xC3: "lossless", 0xF7: "JPEG-LS"}
_NO_LENGTH = {0x01, *range(0xD0, 0xDA)}
_MAX_TILES = 65535  # ISO/IEC 15444-1, Isot of a tile-part


@dataclass(frozen=True)
class StreamHeader:
    """What a compressed stream says of its image.

    Args:
        rows, columns, channels: its extent.
        bits: of a sample.
        signed: whether samples are signed; None where the stream cannot say.
    """

    rows: int
    columns: int
    channels: int
    bits: int
    signed: bool | None


def decode_stream(
    syntax: str, data: bytes, rows: int, columns: int, bits_allocated: int
) -> tuple[np.ndarray, StreamHeader]:
    """The image of one frame.

    Args:
        syntax: transfer syntax UID, one of `SYNTAXES`.
        data: the frame's bytes.
        rows, columns, bits_allocated: by the DICOM header.

    Returns:
        Samples [rows, columns] as the stream holds them, and what it says of them.

    Raises:
        InputError: without a file name, if the stream is damaged, ends early or is another image than the header's.
    """
    if syntax == RLE_LOSSLESS:
        return _run_lengths(data, rows, columns, bits_allocated)
    header = _jpeg_2000_header(data) if syntax in _JPEG_2000 else _jpeg_header(data)
    if (header.rows, header.columns, header.channels) != (rows, columns, 1):
        raise InputError(
            f"its compressed image has {header.columns} columns x {header.rows} rows x {header.channels} channels, but "
            f"the header says {columns} x {rows} x 1"
        )
    if not 2 <= header.bits <= 16:
        raise InputError(f"its compressed image has {header.bits} bits a pixel, expected 2 to 16")
    if _END not in data[-_END_WITHIN:]:
        raise InputError("its compressed image ends early: pixel data are missing")
    return _decoded(syntax, data, header), header


def _decoded(syntax: str, data: bytes, header: StreamHeader) -> np.ndarray:
    import imagecodecs

    if syntax in _JPEG_2000:
        decode = imagecodecs.jpeg2k_decode
    elif syntax in _JPEG_LS:
        decode = imagecodecs.jpegls_decode
    else:
        decode = imagecodecs.jpeg8_decode
    try:
        samples = np.asarray(decode(data))
    except Exception as error:  # each codec has an error of its own
        raise InputError(f"its compressed image is damaged ({one_line(error)})") from error
    if samples.shape != (header.rows, header.columns) or samples.dtype.kind not in "iu":
        raise InputError(f"its compressed image is damaged: decoded to {samples.dtype} {samples.shape}")
    return samples


def _jpeg_header(data: bytes) -> StreamHeader:
    """The frame header (SOF) of JPEG (ISO/IEC 10918-1, B.2.2) and JPEG-LS (ISO/IEC 14495-1, C.2.2)."""
    position = 2
    while data[:2] == b"\xff\xd8" and position + 4 <= len(data) and data[position] == 0xFF:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        if marker in _FRAME_MARKERS and position + 10 <= len(data):
            bits, rows, columns, channels = struct.unpack_from(">BHHB", data, position + 4)
            return StreamHeader(rows, columns, channels, bits, None)
        position += 1 if marker == 0xFF else 2 if marker in _NO_LENGTH else 2 + length
    raise InputError("its compressed image is damaged: no JPEG frame header")


def _jpeg_2000_header(data: bytes) -> StreamHeader:
    """The image and tile size (SIZ) of a codestream, bare or in a JP2 file (ISO/IEC 15444-1, A.5.1)."""
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or start + 45 > len(data):
        raise InputError("its compressed image is damaged: no JPEG 2000 image size")
    width, height, left, top, tile_width, tile_height, tile_left, tile_top, channels, depth, step_u, step_v = (
        struct.unpack_from(">8IH3B", data, start + 8)
    )
    columns, rows = width - left, height - top
    tiles = (width - tile_left) / max(tile_width, 1) * ((height - tile_top) / max(tile_height, 1))
    if (step_u, step_v) != (1, 1) or tiles > _MAX_TILES:
        raise InputError("its compressed image is damaged: impossible JPEG 2000 tiles")
    return StreamHeader(rows, columns, channels, (depth & 0x7F) + 1, bool(depth & 0x80))


def _run_lengths(data: bytes, rows: int, columns: int, bits_allocated: int) -> tuple[np.ndarray, StreamHeader]:
    """Byte planes, most significant first, as runs (DICOM PS3.5, annex G)."""
    import imagecodecs

    size = bits_allocated // 8
    segments = int.from_bytes(data[:4], "little")
    if len(data) < 64 or segments != size:
        raise InputError(f"its run-length coded image has {segments} segments, expected {size}")
    wanted = rows * columns * size
    try:
        # The room is given, so that a stream of long runs cannot ask for more.
        plain = bytes(imagecodecs.dicomrle_decode(data, f"<u{size}", out=bytearray(wanted)))
    except Exception as error:
        raise InputError(f"its run-length coded image is damaged ({one_line(error)})") from error
    if len(plain) != wanted:
        raise InputError(
            f"its run-length coded image has {len(plain)} bytes, expected {wanted}: pixel data are missing"
        )
    samples = np.frombuffer(plain, f"<u{size}").reshape(rows, columns)
    return samples, StreamHeader(rows, columns, 1, bits_allocated, None)
