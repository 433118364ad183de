"""Label maps from NIfTI, NRRD and MetaImage files, in an anatomical world frame (X front, Y left, Z up, mm)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nibabel
import numpy as np

from lumbar_ext.errors import InputError

NIFTI_SUFFIXES = (".nii", ".nii.gz")
ITK_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
LABEL_MAP_SUFFIXES = NIFTI_SUFFIXES + ITK_SUFFIXES

_OURS_FROM_RAS = np.array([[0.0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
"""NIfTI's world is right, anterior, superior."""
_OURS_FROM_LPS = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
"""ITK's and DICOM's world is left, posterior, superior."""
_MOST_LABELS = 256


@dataclass(frozen=True)
class LabelMap:
    """A label map.

    Args:
        values: [I, J, K] integer labels.
        ours_from_voxel: [4, 4] voxel index to mm, X front, Y left, Z up.
        ours_from_file: [4, 4] from the world of the file (RAS for NIfTI, LPS else) to the same frame.
    """

    values: np.ndarray
    ours_from_voxel: np.ndarray
    ours_from_file: np.ndarray

    @property
    def labels(self) -> list[int]:
        """Labels that occur, without the background 0."""
        return [int(v) for v in np.unique(self.values) if v != 0]


def load_label_map(path: str | Path) -> LabelMap:
    """Reads a label map; the last one is kept, because its labels are asked for one after the other.

    Args:
        path: file with one of `LABEL_MAP_SUFFIXES`.

    Raises:
        InputError: if the file cannot be read, is not a volume of a few whole numbers or holds no label.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such label map")
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _load(path: Path, _changed_ns: int) -> LabelMap:
    """Reads a file; its time of change is part of the key of the cache."""
    values, world_from_voxel, ours_from_file = _read_itk(path) if _is_itk(path) else _read_nifti(path)
    if values.ndim != 3:
        raise InputError(
            f"{path}: expected one label map of three dimensions, found the shape {values.shape}; "
            "a segmentation with layers must be exported as a label map"
        )
    if not np.abs(np.linalg.det(world_from_voxel)) > 1e-9:
        raise InputError(f"{path}: the voxel directions are degenerate, expected a valid affine")
    whole = _whole_numbers(values, path)
    if not whole.any():
        raise InputError(f"{path}: the label map is empty, every voxel is 0")
    return LabelMap(whole, ours_from_file @ world_from_voxel, ours_from_file)


def is_label_map_name(path: Path) -> bool:
    """Whether the file name is that of a volume this module reads."""
    return path.name.lower().endswith(LABEL_MAP_SUFFIXES)


def _is_itk(path: Path) -> bool:
    return path.name.lower().endswith(ITK_SUFFIXES)


def _read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    try:
        image = nibabel.load(path)
        return np.squeeze(np.asanyarray(image.dataobj)), np.asarray(image.affine, dtype=np.float64), _OURS_FROM_RAS
    except Exception as error:
        raise InputError(f"{path}: cannot be read as NIfTI ({error})") from error


def _read_itk(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    import itk

    try:
        image = itk.imread(str(path))
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a label map ({str(error).splitlines()[-1]})") from error
    values = itk.array_from_image(image)
    affine = np.eye(4)
    if values.ndim == 3 and image.GetImageDimension() == 3:
        affine[:3, :3] = itk.array_from_matrix(image.GetDirection()) * np.array(image.GetSpacing())
        affine[:3, 3] = np.array(image.GetOrigin())
        values = values.transpose(2, 1, 0)
    else:
        values = values.reshape(*values.shape, 1) if values.ndim < 4 else values
    return values, affine, _OURS_FROM_LPS


def _whole_numbers(values: np.ndarray, path: Path) -> np.ndarray:
    """Values as int32.

    Raises:
        InputError: if there are fractions, or so many values that this must be an image.
    """
    finite = np.nan_to_num(np.asarray(values))
    whole = np.round(finite).astype(np.int32)
    if np.abs(finite - whole).max() > 1e-3:
        raise InputError(
            f"{path}: expected whole label values, found fractions; is this an image or a probability map?"
        )
    if len(np.unique(whole)) > _MOST_LABELS:
        raise InputError(f"{path}: holds {len(np.unique(whole))} values, expected at most {_MOST_LABELS} labels")
    return whole
