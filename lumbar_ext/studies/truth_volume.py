"""The known volume of a study: CT numbers and tissues of a box about the lumbar vertebrae, as files of its truth folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from lumbar_ext.errors import InputError
from lumbar_ext.io.volume import Volume, read_grid, write_volume
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.mesh.voxels import VoxelGrid
from lumbar_ext.studies.study_folder import TruthFolder

TRUTH_VOXEL_MM = 1.5  # along all axes: about that of the CTs behind the studies
TRUTH_SHAPE = (144, 128, 192)
"""216 x 192 x 288 mm: L1 to L5 of tall and of crooked people, with what lies about them."""


@dataclass(frozen=True)
class TruthVolume:
    """What is known of the box.

    Args:
        values_hu: int16 [I, J, K]; `transforms.tissue.NO_HU` where unknown.
        labels: uint8 [I, J, K], see `transforms.tissue`.
        grid: the voxels, along the world's axes.
    """

    values_hu: np.ndarray
    labels: np.ndarray
    grid: VoxelGrid

    def write(self, truth: TruthFolder) -> None:
        """Writes both files; the labels last, so that their presence tells that both are there."""
        write_volume(truth.volume, self.values_hu, self.grid.world_from_voxel)
        write_volume(truth.labels, self.labels, self.grid.world_from_voxel)


def truth_grid(vertebrae: Sequence[Surface]) -> VoxelGrid:
    """The box about some lumbar vertebrae; its middle is that of theirs, on whole millimetres."""
    corners = np.concatenate([solid.box_corners_mm for solid in vertebrae])
    middle = np.round((corners.min(0) + corners.max(0)) / 2)
    return VoxelGrid(middle - (np.array(TRUTH_SHAPE) - 1) / 2 * TRUTH_VOXEL_MM, TRUTH_VOXEL_MM, TRUTH_SHAPE)


def values_at(volume: Volume, grid: VoxelGrid, outside: float) -> np.ndarray:
    """Values of a volume, linearly between its voxels, at those of a grid, float32; `outside` beyond it.

    Args:
        volume: of any orientation.
        grid: the voxels.
        outside: value beyond the volume.
    """
    values = np.empty(grid.shape, np.float32)
    voxel_from_world = np.linalg.inv(volume.world_from_voxel)
    lines = [start + grid.voxel_mm * np.arange(n) for start, n in zip(grid.origin_mm, grid.shape, strict=True)]
    # Slice by slice: the positions of all voxels at once would need many times the memory of their values.
    for i, x in enumerate(lines[0]):
        points = np.stack(np.meshgrid([x], *lines[1:], indexing="ij"))[:, 0]
        index = np.tensordot(voxel_from_world[:3, :3], points, 1) + voxel_from_world[:3, 3, None, None]
        values[i] = map_coordinates(volume.values, index, order=1, mode="constant", cval=outside)
    return values


def read_truth_volume(truth: TruthFolder) -> TruthVolume:
    """Reads what `TruthVolume.write` wrote.

    Raises:
        InputError: if a file is missing or damaged, or the two do not have the same cubic voxels along the world's axes.
    """
    values, world_from_voxel = read_grid(truth.volume)
    labels, of_labels = read_grid(truth.labels)
    edge = float(world_from_voxel[0, 0])
    if values.shape != labels.shape or not np.allclose(world_from_voxel, of_labels, atol=1e-3):
        raise InputError(f"{truth.volume} and {truth.labels}: other voxels, expected the same in both")
    if values.ndim != 3 or not np.allclose(world_from_voxel[:3, :3], np.eye(3) * edge, atol=1e-3) or edge <= 0:
        raise InputError(
            f"{truth.volume}: expected cubic voxels along the axes of the world (lumbar-ext simulate-volumes)"
        )
    grid = VoxelGrid(world_from_voxel[:3, 3].copy(), round(edge, 4), values.shape)
    return TruthVolume(np.asarray(values, np.int16), np.asarray(labels, np.uint8), grid)
