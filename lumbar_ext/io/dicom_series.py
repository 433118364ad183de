"""A folder with the slices of one CT as a volume; whatever is missing, doubled or of another series is an error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from lumbar_ext.errors import InputError
from lumbar_ext.io.dicom_header import element_integer, element_numbers, element_text, is_dicom, read_dataset
from lumbar_ext.io.dicom_pixels import read_stored, require_grey
from lumbar_ext.io.input_file import MAX_VOXELS

_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
_APART = 1e-3
"""Largest difference of direction cosines and spacings (mm) within a series."""
_UNEVEN_MM = 0.1  # of a slice from its even place; positions are often rounded to 0.01 mm


@dataclass(frozen=True)
class _Slice:
    """The place of a slice: pixel size (columns, rows), its first pixel's centre, and the ways along u and v, LPS mm."""

    path: Path
    size_px: tuple[int, int]
    origin_mm: np.ndarray
    steps_mm: np.ndarray


def read_dicom_series(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The rescaled values float32 [I, J, K] and [4, 4] voxel index to mm, left, posterior, superior.

    Raises:
        InputError: if the folder holds anything but one series of at least two parallel slices at even distances, or one of
            them cannot be read.
    """
    slices = _sorted_slices(folder, _headers(folder))
    values = np.empty((*slices[0].size_px, len(slices)), dtype=np.float32)
    for k, one in enumerate(slices):
        values[:, :, k] = _values(one.path).T
    lps_from_voxel = np.eye(4)
    lps_from_voxel[:3, :2] = slices[0].steps_mm
    lps_from_voxel[:3, 2] = (slices[-1].origin_mm - slices[0].origin_mm) / (len(slices) - 1)
    lps_from_voxel[:3, 3] = slices[0].origin_mm
    return values, lps_from_voxel


def _headers(folder: Path) -> dict[Path, Dataset]:
    """Headers of the images in a folder, of one series."""
    headers = {}
    for path in sorted(path for path in folder.iterdir() if path.is_file() and is_dicom(path)):
        header = read_dataset(path, with_pixels=False)
        if element_text(header.file_meta, "MediaStorageSOPClassUID", path) != _MEDIA_DIRECTORY:
            headers[path] = header
    series = {element_text(header, "SeriesInstanceUID", path) for path, header in headers.items()}
    if len(series) != 1:
        raise InputError(f"{folder}: expected one DICOM series, found {len(series)}")
    return headers


def _sorted_slices(folder: Path, headers: dict[Path, Dataset]) -> list[_Slice]:
    """Slices in the order in which their origins go along the normal."""
    slices = [_slice(path, header) for path, header in headers.items()]
    first = slices[0]
    for other in slices[1:]:
        if other.size_px != first.size_px or not np.allclose(other.steps_mm, first.steps_mm, rtol=0, atol=_APART):
            raise InputError(
                f"{other.path}: another size, spacing or orientation than {first.path.name}, expected slices of one volume"
            )
    count = first.size_px[0] * first.size_px[1] * len(slices)
    if len(slices) < 2 or count > MAX_VOXELS:
        raise InputError(f"{folder}: {len(slices)} slices, expected at least two and at most {MAX_VOXELS} voxels")
    normal = np.cross(*first.steps_mm.T)
    slices.sort(key=lambda one: float(one.origin_mm @ normal))
    origins = np.array([one.origin_mm for one in slices])
    even = origins[0] + np.linspace(0, 1, len(slices))[:, None] * (origins[-1] - origins[0])
    if not np.abs(origins - even).max() < _UNEVEN_MM or np.linalg.norm(origins[1] - origins[0]) < _UNEVEN_MM:
        raise InputError(
            f"{folder}: its {len(slices)} slices do not lie at even distances, expected all slices of one volume, each once"
        )
    return slices


def _slice(path: Path, header: Dataset) -> _Slice:
    require_grey(path, header)
    rows, columns = (element_integer(header, name, path) for name in ("Rows", "Columns"))
    origin = element_numbers(header, "ImagePositionPatient", path, count=3)
    axes = element_numbers(header, "ImageOrientationPatient", path, count=6)
    spacing = element_numbers(header, "PixelSpacing", path, count=2)
    if None in (rows, columns, origin, axes, spacing):
        raise InputError(
            f"{path}: lacks Rows, Columns, Image Position, Image Orientation or Pixel Spacing, expected a slice of a CT"
        )
    u_axis, v_axis = np.reshape(axes, (2, 3))
    dv, du = spacing
    if min(du, dv) <= 0 or not np.allclose([u_axis @ u_axis, v_axis @ v_axis, u_axis @ v_axis], [1, 1, 0], atol=0.01):
        raise InputError(f"{path}: Pixel Spacing {spacing} or Image Orientation {axes} is of no image")
    return _Slice(path, (columns, rows), np.array(origin), np.stack([u_axis * du, v_axis * dv], axis=1))


def _values(path: Path) -> np.ndarray:
    """Rescaled values [rows, columns]."""
    data = read_dataset(path, with_pixels=True)
    (slope,) = element_numbers(data, "RescaleSlope", path) or (1.0,)
    (intercept,) = element_numbers(data, "RescaleIntercept", path) or (0.0,)
    return read_stored(path, data).values * np.float32(slope) + np.float32(intercept)
