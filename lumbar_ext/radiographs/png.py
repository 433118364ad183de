"""PNG files: 8- or 16-bit grey images without a scale."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import atomic_path
from lumbar_ext.io.input_file import one_line, require_image_size
from lumbar_ext.radiographs.channels import grey_from_channels
from lumbar_ext.radiographs.radiograph import Radiograph

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY_COLOUR_TYPE = 0  # of the IHDR chunk, PNG 11.2.2
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By colour type."""
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row of each pass, and its steps."""


def decode_png(path: Path) -> Radiograph:
    """Reads a PNG file of any bit depth whose colour channels, if any, are equal.

    The physical-size chunk (pHYs) is ignored: it holds the print resolution, not the spacing of a detector. All check sums
    and the length of the compressed lines are verified first: decoders fill in lines that are missing.

    Raises:
        InputError: if the file is damaged, larger than any radiograph, holds a colour image, or says that viewers turn it.
    """
    header, compressed, exif = _checked_chunks(path, path.read_bytes())
    columns, rows, bit_depth, colour_type, _, _, interlace = struct.unpack(">IIBBBBB", header)
    require_image_size(path, columns, rows)
    if colour_type not in _CHANNELS or bit_depth not in (1, 2, 4, 8, 16) or interlace not in (0, 1):
        raise InputError(f"{path}: a damaged PNG file: colour type {colour_type} of {bit_depth} bits")
    _refuse_turned(path, exif)
    bits = bit_depth * _CHANNELS[colour_type]
    _check_lines(path, compressed, _lines_size(columns, rows, bits, bool(interlace)))
    if bit_depth == 16 and colour_type != _GREY_COLOUR_TYPE:
        samples = _decode_deep_colour(path)
    else:
        samples = _decode_with_pillow(path)
    pixels = grey_from_channels(path, samples).astype(np.float32)
    return Radiograph(pixels, path, bit_depth=bit_depth)


def write_png(path: str | Path, pixels: np.ndarray) -> None:
    """Writes a grey image atomically, as 8 bits for uint8 pixels and as 16 bits for uint16.

    Args:
        path: the file to write.
        pixels: [rows, columns], uint8 or uint16.

    Raises:
        InputError: for another shape or type.
    """
    from PIL import Image

    pixels = np.asarray(pixels)
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"{path}: expected uint8 or uint16 pixels [rows, columns], found {pixels.dtype} {pixels.shape}"
        )
    with atomic_path(path) as temporary:
        Image.fromarray(np.ascontiguousarray(pixels)).save(temporary, format="PNG")


def _decode_with_pillow(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.mode == "P":
                image = image.convert("RGBA" if "transparency" in image.info else "RGB")
            elif image.mode == "1":
                image = image.convert("L")
            samples = np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: a damaged PNG file ({error})") from error
    return samples[..., None] if samples.ndim == 2 else samples


def _decode_deep_colour(path: Path) -> np.ndarray:
    """Samples [rows, columns, channels] of 16-bit RGB or alpha images, which Pillow would cut down to 8 bits."""
    import imagecodecs

    try:
        return imagecodecs.png_decode(path.read_bytes())
    except Exception as error:
        raise InputError(f"{path}: a damaged PNG file ({one_line(error)})") from error


def _refuse_turned(path: Path, exif: bytes) -> None:
    """Refuses an image that viewers turn or mirror by its EXIF data (tag 0x0112): nobody sees it as it is stored."""
    from PIL import ExifTags, Image

    tags = Image.Exif()
    try:
        tags.load(b"Exif\x00\x00" + exif if exif else None)
        orientation = tags.get(ExifTags.Base.Orientation, 1)
    except (SyntaxError, ValueError, KeyError, IndexError, struct.error) as error:
        raise InputError(f"{path}: a damaged PNG file: its EXIF data cannot be read ({one_line(error)})") from error
    if orientation != 1:
        raise InputError(
            f"{path}: by its EXIF data viewers turn or mirror it (orientation {orientation}); save it as it is to be seen"
        )


def _checked_chunks(path: Path, content: bytes) -> tuple[bytes, list[bytes], bytes]:
    """The header, the compressed data and the EXIF data of a PNG file, check sums verified (ISO/IEC 15948, 5)."""
    header, compressed, exif, position = b"", [], b"", len(PNG_SIGNATURE)
    while position + 12 <= len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        kind, data = content[position + 4 : position + 8], content[position + 8 : position + 8 + length]
        check_sum = content[position + 8 + length : position + 12 + length]
        if len(check_sum) < 4 or zlib.crc32(data, zlib.crc32(kind)) != int.from_bytes(check_sum, "big"):
            raise InputError(
                f"{path}: a damaged PNG file: its part {kind.decode('latin-1')!r} has changed since it was written; "
                "expected the file as it was saved, copy it again"
            )
        position += 12 + length
        if kind == b"IHDR" and len(data) == 13:
            header = data
        elif kind == b"IDAT":
            compressed.append(data)
        elif kind == b"eXIf":
            exif = data
        elif kind == b"IEND" and header and compressed:
            return header, compressed, exif
    raise InputError(f"{path}: a damaged PNG file of {len(content)} bytes: it ends early")


def _lines_size(columns: int, rows: int, bits: int, interlaced: bool) -> int:
    """Bytes of all lines, each with the byte that tells its filter; interlaced images have seven passes (Adam7)."""
    size = 0
    for first_u, first_v, step_u, step_v in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        width, height = -(-max(columns - first_u, 0) // step_u), -(-max(rows - first_v, 0) // step_v)
        size += height * (1 + -(-width * bits // 8)) if width else 0
    return size


def _check_lines(path: Path, compressed: list[bytes], size: int) -> None:
    """Refuses compressed lines of another size, without inflating more than that."""
    inflater, found = zlib.decompressobj(), 0
    try:
        for data in compressed:
            while data and found <= size:
                found += len(inflater.decompress(data, 2**20))
                data = inflater.unconsumed_tail
    except zlib.error as error:
        raise InputError(f"{path}: a damaged PNG file ({error})") from error
    if found != size or not inflater.eof:
        more = "more than " if found > size else ""
        raise InputError(f"{path}: a damaged PNG file: {more}{min(found, size)} bytes of lines, expected {size}")
