"""What an input file can be: a regular file of bounded size that holds an image of bounded extent.

Checked before anything is decoded, so that a damaged or hostile file costs neither memory nor time. The limits are those
of what the files are for, with room: the largest radiographs are scanned films of 43 cm at 0.05 mm (8600 pixels) and
stitched ones of 43 x 129 cm at 0.1 mm (4300 x 12900); a CT of a trunk in slices of 0.7 mm has 512 x 512 x 1000 voxels.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from lumbar_ext.errors import InputError

MAX_SIDE_PX = 16_384  # a film of 130 cm has 13,000 at 0.1 mm
MAX_PIXELS = 80_000_000  # four times a 43 x 43 cm detector's at 0.1 mm
MAX_VOXELS = 2**28  # 512 x 512 x 1024
MAX_RADIOGRAPH_BYTES = 4 * MAX_PIXELS + 2**24  # 32 bits a pixel, and 16 MiB of header
MAX_VOLUME_BYTES = 8 * MAX_VOXELS  # float64
MAX_MESH_BYTES = 2**28  # some five million triangles of STL
MAX_DOCUMENT_BYTES = 2**20  # of JSON: many times a file of landmarks or measurements


def require_file(path: str | Path, what: str, max_bytes: int) -> Path:
    """A regular file of at most so many bytes.

    Args:
        path: the file.
        what: what it is expected to be, for the message: "a radiograph", "a mesh file".
        max_bytes: largest size.

    Raises:
        InputError: if it is missing, a folder, a pipe or device (reading one may never end), empty or too large.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"{path}: a folder, expected {what}")
        if not path.exists():
            raise InputError(f"{path}: no such file, expected {what}")
        if not path.is_file():
            raise InputError(f"{path}: a pipe or device, expected a regular file with {what}")
        size = path.stat().st_size
    except InputError:
        raise
    except (OSError, ValueError) as error:  # a name too long, a folder without permission, a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason}), expected {what}") from error
    if size == 0:
        raise InputError(f"{path}: an empty file, expected {what}")
    if size > max_bytes:
        raise InputError(f"{path}: {size / 2**20:.0f} MiB, expected {what} of at most {max_bytes / 2**20:.0f} MiB")
    return path


def require_image_size(path: str | Path, columns: int, rows: int) -> None:
    """Refuses an image that is larger than any radiograph, by what its header says.

    Raises:
        InputError: if a side or the number of pixels is zero or beyond the limits of this module.
    """
    if not (0 < columns <= MAX_SIDE_PX and 0 < rows <= MAX_SIDE_PX and columns * rows <= MAX_PIXELS):
        raise InputError(
            f"{path}: {columns} columns x {rows} rows by its header, expected a radiograph of at most {MAX_SIDE_PX} "
            f"pixels a side and {MAX_PIXELS // 10**6} million pixels"
        )


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def silenced(logger: str) -> Iterator[None]:
    """What another package logs under this name within the block is not heard: our own error says it in one line.

    Only this thread's words are left out, and those outside the block are heard as before.
    """
    logging.getLogger(logger).addFilter(_is_heard)
    token = _SILENCED.set(True)
    try:
        yield
    finally:
        _SILENCED.reset(token)


_SILENCED = ContextVar("silenced", default=False)


def _is_heard(_record: logging.LogRecord) -> bool:
    return not _SILENCED.get()


def one_line(error: BaseException) -> str:
    """The last line of an error's text, at most 160 characters: what other packages raise may be long."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:160] if lines else type(error).__name__
