"""CT volumes and other 3D images, in an anatomical world frame (X front, Y left, Z up, mm)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import atomic_path
from lumbar_ext.io.dicom_series import read_dicom_series
from lumbar_ext.io.input_file import MAX_VOLUME_BYTES, MAX_VOXELS, require_file
from lumbar_ext.io.metaimage_file import SUFFIXES as METAIMAGE_SUFFIXES
from lumbar_ext.io.metaimage_file import read_metaimage
from lumbar_ext.io.nifti_file import is_nifti, read_nifti
from lumbar_ext.io.nrrd_file import is_nrrd, read_nrrd

OURS_FROM_LPS = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
"""The world of DICOM, NRRD and MetaImage is left, posterior, superior."""
OURS_FROM_RAS = OURS_FROM_LPS @ np.diag([-1.0, -1.0, 1.0, 1.0])
"""NIfTI's world is right, anterior, superior."""

_SHEAR = 1e-3  # cosine between axes, as rounded headers need
_SPACING_MM, _ROOM_MM = (0.005, 100.0), 20_000.0  # micro-CT to the coarsest survey; a room, as calibrations have it


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
        UserWarning: if a NIfTI file's sform and qform differ, or MetaImage keys are not known.
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


def write_volume(path: str | Path, values: np.ndarray, world_from_voxel: np.ndarray) -> None:
    """Writes a volume as NIfTI, atomically, in the type of its values.

    Args:
        path: a file name ending in .nii or .nii.gz.
        values: [I, J, K].
        world_from_voxel: [4, 4] voxel index to mm in our axes.

    Raises:
        InputError: for a wrong shape or file name.
    """
    import nibabel

    if np.ndim(values) != 3:
        raise InputError(f"{path}: expected a volume [I, J, K], found the shape {np.shape(values)}")
    if not str(path).endswith((".nii", ".nii.gz")):
        raise InputError(f"{path}: a NIfTI file name must end in .nii or .nii.gz")
    image = nibabel.Nifti1Image(values, np.linalg.inv(OURS_FROM_RAS) @ world_from_voxel)
    image.header.set_xyzt_units(xyz="mm")
    with atomic_path(path) as temporary:
        nibabel.save(image, temporary)


def read_grid(path: Path, dtype: type | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Values of a file (or of a folder with one DICOM series), and [4, 4] voxel index to mm in our axes.

    Args:
        path: the file or folder.
        dtype: of the values, the file's own if omitted.

    Raises:
        InputError: if it cannot be read, is larger than any volume, has several values a voxel, or does not say where its
            voxels lie.

    Warns:
        UserWarning: if a NIfTI file's sform and qform differ, or MetaImage keys are not known.
    """
    values, ours_from_voxel = _read_any(path)
    _require_place(path, ours_from_voxel, values.shape)
    return values if dtype is None else values.astype(dtype), ours_from_voxel


def _require_place(path: Path, ours_from_voxel: np.ndarray, shape: tuple[int, ...]) -> None:
    """Refuses voxels that lie where no scanner has any, or as near or far from each other as in none."""
    spacing = np.linalg.norm(ours_from_voxel[:3, :3], axis=0)
    ends = [(0, n - 1) for n in (*shape, 1, 1)[:3]]
    corners = ours_from_voxel[:3] @ np.array(np.meshgrid(*ends, [1])).reshape(4, -1)
    if not ((spacing > _SPACING_MM[0]) & (spacing < _SPACING_MM[1])).all() or not (np.abs(corners) < _ROOM_MM).all():
        raise InputError(
            f"{path}: its voxels are {', '.join(f'{mm:.3g}' for mm in spacing)} mm apart and lie up to "
            f"{np.abs(corners).max():.3g} mm from the origin, expected {_SPACING_MM[0]:g} to {_SPACING_MM[1]:g} mm and at most "
            f"{_ROOM_MM:g} mm; are they in millimetres?"
        )


def _read_any(path: Path) -> tuple[np.ndarray, np.ndarray]:
    if path.is_dir():
        values, lps_from_voxel = read_dicom_series(path)
    elif is_nifti(require_file(path, "a volume", MAX_VOLUME_BYTES)):
        return _read_nifti(path)
    elif is_nrrd(path):
        values, lps_from_voxel = read_nrrd(path)
    elif path.suffix.lower() in METAIMAGE_SUFFIXES:
        values, lps_from_voxel = read_metaimage(path)
    else:
        raise InputError(f"{path}: cannot be read as a volume: neither NIfTI nor NRRD nor MetaImage, or damaged")
    return values, OURS_FROM_LPS @ lps_from_voxel


def _read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = read_nifti(path, MAX_VOXELS)
    if image.ras_from_voxel_mm is None:
        raise InputError(f"{path}: states neither an sform nor a qform, expected where its voxels lie")
    if image.values.dtype.names:
        raise InputError(f"{path}: a colour image, expected one value a voxel")
    for remark in image.remarks:
        warnings.warn(remark, stacklevel=2)
    shape = image.values.shape
    values = image.values.reshape(shape[:3] + tuple(n for n in shape[3:] if n != 1))
    return values, OURS_FROM_RAS @ image.ras_from_voxel_mm
