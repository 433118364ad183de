"""Where a viewer that reads images with ITK, as 3D Slicer does, puts their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.io.dicom_header import is_dicom, read_dataset
from lumbar_ext.io.dicom_pixels import require_grey
from lumbar_ext.io.input_file import MAX_PIXELS, MAX_RADIOGRAPH_BYTES, require_file
from lumbar_ext.io.nifti_file import is_nifti, read_nifti
from lumbar_ext.radiographs.nifti import how_laid


@dataclass(frozen=True)
class ImageSpace:
    """The physical frame of an image file: patient axes (left, posterior, superior; LPS), in the header's mm.

    A radiograph without a position in space lies in the plane z = 0 with its first pixel at the origin; a PNG file has
    pixels of 1 mm there, whatever its true spacing.

    Args:
        origin_mm: [3] centre of pixel (0, 0).
        steps_mm: [3, 2], the way from one pixel to the next along u and along v.
        size_px: (columns, rows).
    """

    origin_mm: np.ndarray
    steps_mm: np.ndarray
    size_px: tuple[int, int]

    @classmethod
    def of_file(cls, path: str | Path) -> ImageSpace:
        """The frame that ITK reads from a file's header, for the pixels of the image as `lumbar_ext.io` lays it.

        Raises:
            InputError: if ITK cannot read it.
        """
        import itk

        path = require_file(path, "an image", MAX_RADIOGRAPH_BYTES)
        if is_dicom(path):
            # GDCM ends the process on palettes without their tables.
            require_grey(path, read_dataset(path, with_pixels=False))
        reader = itk.ImageIOFactory.CreateImageIO(str(path), itk.CommonEnums.IOFileMode_ReadMode)
        if reader is None:
            raise InputError(f"{path}: no image that ITK can read")
        try:
            reader.SetFileName(str(path))
            reader.ReadImageInformation()
        except RuntimeError as error:
            raise InputError(f"{path}: no image that ITK can read ({str(error).splitlines()[-1]})") from error
        axes = range(reader.GetNumberOfDimensions())
        origin, steps = np.zeros(3), np.zeros((3, 2))
        origin[: len(axes)] = [reader.GetOrigin(axis) for axis in axes]
        for axis in range(2):
            steps[: len(axes), axis] = np.array(reader.GetDirection(axis)) * reader.GetSpacing(axis)
        space = cls(origin, steps, (reader.GetDimensions(0), reader.GetDimensions(1)))
        return space._laid(path) if is_nifti(path) else space

    def _laid(self, path: Path) -> ImageSpace:
        """The frame with rows and columns counted from the end where a NIfTI file's affine has them reversed."""
        laying = how_laid(path, read_nifti(path, MAX_PIXELS))
        back = np.array([laying.reversed_u, laying.reversed_v])
        origin = self.origin_mm + self.steps_mm @ np.where(back, np.array(self.size_px) - 1, 0)
        return ImageSpace(origin, self.steps_mm * np.where(back, -1, 1), self.size_px)

    def position_mm(self, uv_px: np.ndarray) -> np.ndarray:
        """LPS positions [..., 3] of pixels [..., 2]."""
        return self.origin_mm + np.asarray(uv_px, dtype=np.float64) @ self.steps_mm.T

    def pixel(self, position_mm: np.ndarray) -> np.ndarray:
        """Pixels [..., 2] nearest to LPS positions [..., 3]; the distance from the image plane is dropped."""
        return (np.asarray(position_mm, dtype=np.float64) - self.origin_mm) @ np.linalg.pinv(self.steps_mm).T
