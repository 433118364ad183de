"""Where the lumbar spine is: a coarse look at all that both films show."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError, NothingUsableError
from lumbar_ext.mesh.voxels import VoxelGrid
from lumbar_ext.transforms.tissue import TISSUES
from lumbar_ext.volumes.study_field import StudyField

_COARSE_MM = 8.0  # of the grid on which the box is looked for
_REACH_MM = np.array([200.0, 200.0, 280.0])
"""Half of what is looked at around the crossing of the middle rays: more than a film of 43 cm shows."""
_LEAST_VOXELS = 20  # of 8 mm: a fifth of a vertebra
MARGIN_MM = 20.0
"""Around the lumbar vertebrae in the default box."""


def lumbar_box(field: StudyField, voxel_mm: float, margin_mm: float = MARGIN_MM) -> VoxelGrid:
    """The grid about the lumbar vertebrae that a coarse look finds.

    Args:
        field: of the study.
        voxel_mm: edge of the grid's voxels.
        margin_mm: around the vertebrae.

    Raises:
        NothingUsableError: if it finds none.
    """
    reach = np.round(_REACH_MM / _COARSE_MM).astype(int)
    steps = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), -1)
    points = field.views.middle_mm + _COARSE_MM * steps
    _, tissue, shown = field.at(points.reshape(-1, 3))
    is_lumbar = shown & np.isin(tissue, [TISSUES.index(level) for level in LEVELS])
    found = _largest(is_lumbar.reshape(steps.shape[:3]))
    if found.sum() < _LEAST_VOXELS:
        raise NothingUsableError(
            "no lumbar vertebra was found where both radiographs see; expected radiographs of a standing person's lumbar spine"
        )
    place = points[found]
    rim = margin_mm + _COARSE_MM / 2
    return VoxelGrid.around(place.min(0) - rim, place.max(0) + rim, voxel_mm)


def given_box(corners_mm: list[float], voxel_mm: float) -> VoxelGrid:
    """The grid of a box that a user names.

    Args:
        corners_mm: least x, y, z and greatest x, y, z, world mm.
        voxel_mm: edge of the voxels.

    Raises:
        InputError: unless there are six finite numbers, the greatest above the least.
    """
    corners = np.asarray(corners_mm, dtype=float)
    if corners.shape != (6,) or not np.isfinite(corners).all() or not (corners[3:] > corners[:3]).all():
        raise InputError(f"box: expected least x, y, z and greatest x, y, z in mm, found {corners_mm!r}")
    return VoxelGrid.around(corners[:3], corners[3:], voxel_mm)


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest part of a mask whose gaps of a voxel, as discs are, count as filled."""
    parts, count = ndimage.label(ndimage.binary_dilation(mask))
    if not count:
        return mask
    sizes = ndimage.sum(mask, parts, np.arange(1, count + 1))
    return mask & (parts == 1 + int(np.argmax(sizes)))
