"""CT volumes and other 3D images, in an anatomical world frame (X front, Y left, Z up, mm)."""

from __future__ import annotations

import math
import re
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.io.input_file import MAX_VOLUME_BYTES, MAX_VOXELS, one_line, require_file
from lumbar_ext.io.nifti_file import is_nifti, read_nifti
from lumbar_ext.radiographs.dicom_header import is_dicom, read_dataset
from lumbar_ext.radiographs.dicom_pixels import require_grey

OURS_FROM_LPS = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
"""The world of ITK and DICOM is left, posterior, superior."""
OURS_FROM_RAS = OURS_FROM_LPS @ np.diag([-1.0, -1.0, 1.0, 1.0])
"""NIfTI's world is right, anterior, superior."""

_SHEAR = 1e-3  # cosine between axes, as rounded headers need
# bytes of a text header, of one of its lines, and digits of one of its numbers
_LONGEST_HEADER, _LONGEST_LINE, _LONGEST_NUMBER = 2**16, 2000, 40


@dataclass(frozen=True)
class Volume:
    """A regular grid of values.

    Args:
        values: [I, J, K] float32.
        world_from_voxel: [4, 4] voxel index to mm; its axes are orthogonal.
    """

    values: np.ndarray
    world_from_voxel: np.ndarray

    def __post_init__(self) -> None:
        axes = self.world_from_voxel[:3, :3] / self.spacing_mm
        if not np.allclose(axes.T @ axes, np.eye(3), atol=_SHEAR):
            raise InputError("world_from_voxel is sheared, expected orthogonal axes: resample the volume first")

    @property
    def spacing_mm(self) -> np.ndarray:
        """[3] distance between voxels along I, J, K."""
        return np.linalg.norm(self.world_from_voxel[:3, :3], axis=0)

    def right_handed(self) -> Volume:
        """The same volume with K reversed if its axes were left-handed."""
        if np.linalg.det(self.world_from_voxel[:3, :3]) > 0:
            return self
        reverse = np.diag([1.0, 1.0, -1.0, 1.0])
        reverse[2, 3] = self.values.shape[2] - 1
        return Volume(np.ascontiguousarray(self.values[:, :, ::-1]), self.world_from_voxel @ reverse)


def read_volume(path: str | Path) -> Volume:
    """Reads a NIfTI, NRRD or MetaImage file, or a folder with one DICOM series.

    Raises:
        InputError: if it is missing, too large, cannot be read, or does not hold one volume of finite numbers.

    Warns:
        UserWarning: if a NIfTI file's sform and qform differ.
    """
    path = Path(path)
    values, ours_from_voxel = read_grid(path, np.float32)
    if values.ndim != 3 or min(values.shape) < 2:
        raise InputError(f"{path}: expected one volume of three dimensions, found the shape {values.shape}")
    if not np.isfinite(values).all():
        raise InputError(f"{path}: {int((~np.isfinite(values)).sum())} voxels are not finite")
    try:
        return Volume(np.ascontiguousarray(values), ours_from_voxel)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_grid(path: Path, dtype: type | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Values of a file (or of a folder with one DICOM series), and [4, 4] voxel index to mm in our axes.

    Args:
        path: the file or folder.
        dtype: of the values, the file's own if omitted.

    Raises:
        InputError: if it cannot be read, is larger than any volume, has several values a voxel, or does not say where its
            voxels lie.

    Warns:
        UserWarning: if a NIfTI file's sform and qform differ.
    """
    if path.is_dir():
        return _read_itk(path, _dicom_series(path), dtype)
    if is_nifti(require_file(path, "a volume", MAX_VOLUME_BYTES)):
        return _read_nifti(path, dtype)
    header = _check_text_header(path)
    _check_data_length(path, header, _check_itk_header(path))
    return _read_itk(path, str(path), dtype)


def _read_nifti(path: Path, dtype: type | None) -> tuple[np.ndarray, np.ndarray]:
    image = read_nifti(path, MAX_VOXELS)
    if image.ras_from_voxel_mm is None:
        raise InputError(f"{path}: states neither an sform nor a qform, expected where its voxels lie")
    if image.values.dtype.names:
        raise InputError(f"{path}: a colour image, expected one value a voxel")
    for remark in image.remarks:
        warnings.warn(remark, stacklevel=2)
    shape = image.values.shape
    values = image.values.reshape(shape[:3] + tuple(n for n in shape[3:] if n != 1))
    return values if dtype is None else values.astype(dtype), OURS_FROM_RAS @ image.ras_from_voxel_mm


def _read_itk(path: Path, names: str | list[str], dtype: type | None) -> tuple[np.ndarray, np.ndarray]:
    import itk

    try:
        image = itk.imread(names, itk.F) if dtype is np.float32 else itk.imread(names)
        values = itk.array_from_image(image)
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a volume ({one_line(error)})") from error
    lps_from_voxel = np.eye(4)
    if values.ndim == 3:
        lps_from_voxel[:3, :3] = itk.array_from_matrix(image.GetDirection()) * np.array(image.GetSpacing())
        lps_from_voxel[:3, 3] = np.array(image.GetOrigin())
        values = values.transpose(2, 1, 0)
    return values, OURS_FROM_LPS @ lps_from_voxel


def _check_text_header(path: Path) -> bytes:
    """The header of an NRRD or MetaImage file, up to its first voxel.

    Refuses what is neither, and headers that no writer makes: ITK's parsers end the process on some.

    Formats without a signature, which ITK would try next, make an image of anything.
    """
    with path.open("rb") as stream:
        head = stream.read(_LONGEST_HEADER)
    metaimage = path.suffix.lower() in (".mha", ".mhd")
    if not metaimage and not head.startswith(b"NRRD000"):
        raise InputError(f"{path}: cannot be read as a volume: neither NIfTI nor NRRD nor MetaImage, or damaged")
    end = re.search(rb"(?mi)^ElementDataFile\s*=.*$" if metaimage else rb"\r?\n\r?\n", head)
    # 3D Slicer keeps names of segments and more in the key/value lines of NRRD, in any language and length.
    lines = [line for line in (head[: end.end()] if end else head).splitlines() if b":=" not in line]
    words = [word for line in lines for word in re.split(rb"[\s,()]+", line)]
    if (
        (end is None and len(head) == _LONGEST_HEADER)
        or any(len(line) > _LONGEST_LINE for line in lines)
        or any(re.fullmatch(rb"[-+.\d]+", word) and len(word) > _LONGEST_NUMBER for word in words)
        or not b"".join(lines).isascii()
    ):
        raise InputError(f"{path}: cannot be read as a volume: its header is damaged")
    if end is None:
        return head
    newline = re.match(rb"\r?\n", head[end.end() :]) if metaimage else None
    return head[: end.end() + (newline.end() if newline else 0)]


def _check_data_length(path: Path, header: bytes, expected_bytes: int) -> None:
    """Refuses a file whose values are fewer or more than its header says: ITK reads a part of them without a word.

    Values in a file of their own are left to ITK.
    """
    entries = {
        key.strip().lower(): value.strip().lower()
        for key, _, value in (re.sub(rb"[:=]", b"\0", line, count=1).partition(b"\0") for line in header.splitlines())
    }
    detached = (
        entries.get(b"data file") or entries.get(b"datafile") or entries.get(b"elementdatafile", b"local") != b"local"
    )
    packed = entries.get(b"encoding") in (b"gzip", b"gz") or entries.get(b"compresseddata") == b"true"
    if detached or not (packed or entries.get(b"encoding", b"raw") == b"raw"):
        return
    with path.open("rb") as stream:
        stream.seek(len(header))
        body = stream.read()
    try:
        # 32 + 15: gzip or zlib, as the stream says.
        found = len(zlib.decompressobj(47).decompress(body, expected_bytes + 1)) if packed else len(body)
    except zlib.error as error:
        raise InputError(f"{path}: cannot be read as a volume: its compressed values are damaged ({error})") from error
    if found != expected_bytes:
        more = "or more" if packed and found > expected_bytes else "of values"
        raise InputError(
            f"{path}: {found} bytes {more}, expected {expected_bytes} by its header; it is damaged or cut short"
        )


def _check_itk_header(path: Path) -> int:
    """The bytes of all values; refuses layers, and what is larger than any volume, before it is decoded."""
    import itk

    reader = itk.ImageIOFactory.CreateImageIO(str(path), itk.CommonEnums.IOFileMode_ReadMode)
    if reader is None:
        raise InputError(f"{path}: cannot be read as a volume: no format that ITK knows")
    try:
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        shape = [int(reader.GetDimensions(axis)) for axis in range(reader.GetNumberOfDimensions())]
        components, voxel_bytes = int(reader.GetNumberOfComponents()), int(reader.GetComponentSize())
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a volume ({one_line(error)})") from error
    if components != 1:
        raise InputError(
            f"{path}: {components} values a voxel, expected one; a segmentation with layers must be exported as a label map"
        )
    if math.prod(shape) > MAX_VOXELS:
        raise InputError(f"{path}: an array of shape {shape} by its header, expected at most {MAX_VOXELS} voxels")
    return math.prod(shape) * voxel_bytes


def _dicom_series(folder: Path) -> list[str]:
    """Files of the one series in a folder, in order."""
    import itk

    for path in sorted(path for path in folder.iterdir() if path.is_file() and is_dicom(path)):
        # GDCM ends the process on palettes without their tables.
        require_grey(path, read_dataset(path, with_pixels=False))
    names = itk.GDCMSeriesFileNames.New(Directory=str(folder))
    series = list(names.GetSeriesUIDs())
    if len(series) != 1:
        raise InputError(f"{folder}: expected one DICOM series, found {len(series)}")
    return list(names.GetFileNames(series[0]))
