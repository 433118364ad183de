"""Label maps from NIfTI, NRRD and MetaImage files, in an anatomical world frame (X front, Y left, Z up, mm)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.io.input_file import MAX_VOLUME_BYTES, require_file
from lumbar_ext.io.nifti_file import is_nifti
from lumbar_ext.io.volume import OURS_FROM_LPS, OURS_FROM_RAS, read_grid

NIFTI_SUFFIXES = (".nii", ".nii.gz")
ITK_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
LABEL_MAP_SUFFIXES = NIFTI_SUFFIXES + ITK_SUFFIXES

_MOST_LABELS = 256  # values: an image instead of a label map has thousands


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
    path = require_file(path, "a label map", MAX_VOLUME_BYTES)
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _load(path: Path, _changed_ns: int) -> LabelMap:
    """Reads a file; its time of change is part of the key of the cache."""
    ours_from_file = OURS_FROM_RAS if is_nifti(path) else OURS_FROM_LPS
    values, ours_from_voxel = read_grid(path)
    if values.ndim != 3:
        raise InputError(
            f"{path}: expected one label map of three dimensions, found the shape {values.shape}; "
            "a segmentation with layers must be exported as a label map"
        )
    if not np.abs(np.linalg.det(ours_from_voxel)) > 1e-9:
        raise InputError(f"{path}: the voxel directions are degenerate, expected a valid affine")
    whole = _whole_numbers(values, path)
    if not whole.any():
        raise InputError(f"{path}: the label map is empty, every voxel is 0")
    return LabelMap(whole, ours_from_voxel, ours_from_file)


def is_label_map_name(path: Path) -> bool:
    """Whether the file name is that of a volume this module reads."""
    return path.name.lower().endswith(LABEL_MAP_SUFFIXES)


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
