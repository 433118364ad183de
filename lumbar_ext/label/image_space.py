"""Where a viewer that reads images with ITK, as 3D Slicer does, puts their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError


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
        """The frame that ITK reads from a file's header.

        Raises:
            InputError: if ITK cannot read it.
        """
        import itk

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
        return cls(origin, steps, (reader.GetDimensions(0), reader.GetDimensions(1)))

    def position_mm(self, uv_px: np.ndarray) -> np.ndarray:
        """LPS positions [..., 3] of pixels [..., 2]."""
        return self.origin_mm + np.asarray(uv_px, dtype=np.float64) @ self.steps_mm.T

    def pixel(self, position_mm: np.ndarray) -> np.ndarray:
        """Pixels [..., 2] nearest to LPS positions [..., 3]; the distance from the image plane is dropped."""
        return (np.asarray(position_mm, dtype=np.float64) - self.origin_mm) @ np.linalg.pinv(self.steps_mm).T
