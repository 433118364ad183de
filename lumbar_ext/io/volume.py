"""CT volumes and other 3D images, in an anatomical world frame (X front, Y left, Z up, mm)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError

_OURS_FROM_LPS = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
"""The world of ITK and DICOM is left, posterior, superior; ITK turns NIfTI's right, anterior, superior into it."""

_SHEAR = 1e-3


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
    """Reads NIfTI, NRRD, MetaImage or any other file that ITK reads, or a folder with one DICOM series.

    Raises:
        InputError: if it is missing, cannot be read, or does not hold one volume of finite numbers.
    """
    import itk

    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such volume")
    try:
        image = itk.imread(_dicom_series(path) if path.is_dir() else str(path), itk.F)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a volume ({str(error).strip().splitlines()[-1]})") from error
    values = itk.array_from_image(image)
    if values.ndim != 3 or min(values.shape) < 2:
        raise InputError(f"{path}: expected one volume of three dimensions, found the shape {values.shape}")
    if not np.isfinite(values).all():
        raise InputError(f"{path}: {int((~np.isfinite(values)).sum())} voxels are not finite")
    lps_from_voxel = np.eye(4)
    lps_from_voxel[:3, :3] = itk.array_from_matrix(image.GetDirection()) * np.array(image.GetSpacing())
    lps_from_voxel[:3, 3] = np.array(image.GetOrigin())
    return Volume(np.ascontiguousarray(values.transpose(2, 1, 0)), _OURS_FROM_LPS @ lps_from_voxel)


def _dicom_series(folder: Path) -> list[str]:
    """Files of the one series in a folder, in order."""
    import itk

    names = itk.GDCMSeriesFileNames.New(Directory=str(folder))
    series = list(names.GetSeriesUIDs())
    if len(series) != 1:
        raise InputError(f"{folder}: expected one DICOM series, found {len(series)}")
    return list(names.GetFileNames(series[0]))
