"""NIfTI files with one 2D image: array order [u, v, 1] on disk, [v, u] in memory."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import atomic_path
from lumbar_ext.radiographs.channels import grey_from_channels
from lumbar_ext.radiographs.radiograph import Radiograph

_HEADER_BYTES = 348
_MAGICS = {b"n+1\0": 344, b"n+2\0": 4}
_MM_PER_UNIT = {"mm": 1.0, "meter": 1000.0, "micron": 0.001, "unknown": 1.0}


def is_nifti(path: Path) -> bool:
    """Whether the content is a single-file NIfTI image, gzipped or not, whatever the name."""
    try:
        with _open(path) as stream:
            header = stream.read(_HEADER_BYTES)
    except (OSError, EOFError, zlib.error):
        return False
    return any(header[offset : offset + 4] == magic for magic, offset in _MAGICS.items())


def decode_nifti(path: Path) -> Radiograph:
    """Reads a NIfTI file that holds one 2D image; the spacing comes from its header, unless that holds only defaults.

    Raises:
        InputError: if the file is damaged, holds a volume, or a colour image.
    """
    pixels, spacing_mm, header = _read_plane(path)
    # Converters that know no spacing leave the header's defaults: 1 x 1 without a unit.
    stated = spacing_mm != (1.0, 1.0) or header.get_xyzt_units()[0] != "unknown"
    return Radiograph(pixels, path, int(header["bitpix"]), pixel_spacing_mm=spacing_mm if stated else None)


def write_nifti_image(path: str | Path, pixels: np.ndarray, pixel_spacing_mm: tuple[float, float]) -> None:
    """Writes a 2D image atomically, as an array [u, v, 1] with its spacing in the header.

    The header's directions are those ITK calls identity, so that viewers show u to the right and v down.

    Args:
        path: a file name ending in .nii or .nii.gz.
        pixels: [v, u], any real type.
        pixel_spacing_mm: (du, dv).

    Raises:
        InputError: for a wrong shape or file name.
    """
    import nibabel

    pixels = np.asarray(pixels)
    if pixels.ndim != 2:
        raise InputError(f"{path}: expected pixels [v, u], found the shape {pixels.shape}")
    if not str(path).endswith((".nii", ".nii.gz")):
        raise InputError(f"{path}: a NIfTI file name must end in .nii or .nii.gz")
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8)
    du, dv = pixel_spacing_mm
    image = nibabel.Nifti1Image(np.ascontiguousarray(pixels.T)[..., None], np.diag([-du, -dv, 1.0, 1.0]))
    image.header.set_xyzt_units(xyz="mm")
    with atomic_path(path) as temporary:
        nibabel.save(image, temporary)


def read_nifti_image(path: str | Path) -> tuple[np.ndarray, tuple[float, float]]:
    """Reads what `write_nifti_image` wrote: pixels float32 [v, u] and the spacing (du, dv) in mm.

    Raises:
        InputError: if the file is missing, damaged, or holds a volume.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if not is_nifti(path):
        raise InputError(f"{path}: not a NIfTI file")
    pixels, spacing_mm, _ = _read_plane(path)
    return pixels, spacing_mm


def _read_plane(path: Path) -> tuple[np.ndarray, tuple[float, float], Any]:
    """Pixels float32 [v, u], the spacing (du, dv) in mm and the header."""
    import nibabel

    with tempfile.TemporaryDirectory() as folder:
        try:
            image = nibabel.load(_named_by_content(path, Path(folder)))
            pixels = _image_plane(path, np.asanyarray(image.dataobj))
        except InputError:
            raise
        except Exception as error:  # nibabel lets errors of gzip, zlib, numpy and its own types through
            raise InputError(f"{path}: a damaged NIfTI file ({error})") from error
    return pixels, _spacing_mm(path, image.header), image.header


def _open(path: Path):
    return gzip.open(path, "rb") if _is_gzip(path) else path.open("rb")


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _named_by_content(path: Path, folder: Path) -> Path:
    """`path`, or a copy under a name that nibabel, which goes by names, accepts."""
    suffix = ".nii.gz" if _is_gzip(path) else ".nii"
    if path.name.lower().endswith(suffix):
        return path
    return Path(shutil.copyfile(path, folder / f"image{suffix}"))


def _image_plane(path: Path, array: np.ndarray) -> np.ndarray:
    """float32 [v, u] of an array [u, v, 1, ...]."""
    if array.ndim < 2 or any(n != 1 for n in array.shape[2:]):
        raise InputError(f"{path}: an image of shape {array.shape}, expected one 2D image or one slice")
    plane = array.reshape(array.shape[:2])
    if plane.dtype.names:
        samples = np.stack([plane[name] for name in plane.dtype.names], axis=-1)
        plane = grey_from_channels(path, samples)
    return np.ascontiguousarray(plane.T, dtype=np.float32)


def _spacing_mm(path: Path, header) -> tuple[float, float]:
    """(du, dv) in mm; a header without a unit is taken to mean mm."""
    scale = _MM_PER_UNIT[header.get_xyzt_units()[0]]
    # Headers store single precision; seven digits undo the rounding of a spacing such as 0.139 mm.
    du, dv = (float(f"{float(zoom) * scale:.7g}") for zoom in header.get_zooms()[:2])
    if not (0 < du < np.inf and 0 < dv < np.inf):
        raise InputError(f"{path}: pixel spacing {du} x {dv} mm in the header, expected two positive numbers")
    return du, dv
