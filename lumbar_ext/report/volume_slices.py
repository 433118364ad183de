"""Slices of a reconstructed volume, laid as the radiographs are: with its labels, or with the outlines of meshes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy import ndimage

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.io.input_file import sha256
from lumbar_ext.io.volume import Volume, read_volume
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.mesh.voxels import VoxelGrid, occupancy
from lumbar_ext.report.overlay import LEVEL_COLOURS

WINDOW_HU = (-250.0, 750.0)
"""Of the slices: fat dark, dense bone bright."""
_FINER = 3  # pixels of a picture with outlines along an edge of a voxel
_AXES = {"Sagittal": 1, "Coronal": 0}
CT_NUMBERS, LABELS = "volume.nii.gz", "labels.nii.gz"
"""Files of the results of `lumbar-ext volume`."""
_RUN = "run.json"


def read_own_volume(folder: str | Path, inputs: Mapping[str, str], file: str = CT_NUMBERS) -> Volume:
    """The CT numbers, or the labels, that `lumbar-ext volume` made of the same study.

    Args:
        folder: its results.
        inputs: role to path of the study's files.
        file: `CT_NUMBERS` or `LABELS`.

    Raises:
        InputError: if there are none, or they are of other radiographs or another calibration.
    """
    folder = Path(folder)
    try:
        stated = json.loads((folder / _RUN).read_text(encoding="utf-8"))["inputs"]
        of_volume = {role: stated[role]["sha256"] for role in inputs}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder / _RUN}: found no list of inputs, expected the results of lumbar-ext volume"
        ) from error
    for role, path in inputs.items():
        if of_volume[role] != sha256(path):
            raise InputError(
                f"{folder}: a volume of other files, its {role} is not {path}; expected that of the same study"
            )
    volume = read_volume(folder / file)
    if not np.allclose(volume.world_from_voxel[:3, :3], volume.spacing_mm[0] * np.eye(3), atol=1e-3):
        raise InputError(
            f"{folder / file}: its voxels are no cubes along the axes, expected those of lumbar-ext volume"
        )
    return volume


def slices_with_outlines(volume: Volume, meshes: Mapping[str, Surface]) -> tuple[tuple[str, np.ndarray], ...]:
    """(caption, picture uint8 [rows, columns, 3]) of the sagittal and the coronal slice through the middle of the meshes.

    Args:
        volume: CT numbers in cubes along the world's axes.
        meshes: by level, world mm; at least one.
    """
    spacing = float(volume.spacing_mm[0])
    grid = VoxelGrid(volume.world_from_voxel[:3, 3], spacing, volume.values.shape)
    centres = np.stack([mesh.vertices_mm.mean(axis=0) for mesh in meshes.values()])
    return tuple(
        (f"{name}, with the outlines of the meshes", _outlined(volume, grid, axis, meshes, centres))
        for name, axis in _AXES.items()
    )


def _outlined(
    volume: Volume, grid: VoxelGrid, axis: int, meshes: Mapping[str, Surface], centres_mm: np.ndarray
) -> np.ndarray:
    place_mm = float(np.median(centres_mm[:, axis]))
    index = int(np.clip(round((place_mm - grid.origin_mm[axis]) / grid.voxel_mm), 0, grid.shape[axis] - 1))
    picture = windowed(np.take(volume.values, index, axis)).repeat(_FINER, axis=0).repeat(_FINER, axis=1)
    fine_mm = grid.voxel_mm / _FINER
    origin = grid.origin_mm - (grid.voxel_mm - fine_mm) / 2
    origin[axis] = grid.origin_mm[axis] + index * grid.voxel_mm
    shape = [_FINER * n for n in grid.shape]
    shape[axis] = 1
    plane = VoxelGrid(origin, fine_mm, tuple(shape))
    for level in (level for level in LEVELS if level in meshes):
        inside = np.take(occupancy(meshes[level], plane), 0, axis)
        picture[inside & ~ndimage.binary_erosion(inside, iterations=2)] = LEVEL_COLOURS[level]
    return np.ascontiguousarray(laid(picture, axis)).round().astype(np.uint8)


def windowed(values_hu: np.ndarray) -> np.ndarray:
    """Grey values float32 [..., 3] in [0, 255] of CT numbers, see `WINDOW_HU`."""
    low, high = WINDOW_HU
    grey = np.clip((values_hu.astype(np.float32) - low) / (high - low), 0, 1) * 255
    return np.repeat(grey[..., None], 3, -1)


def laid(picture: np.ndarray, axis: int) -> np.ndarray:
    """A slice [., ., 3] across the world's `axis`, its other axes in order, laid as the radiographs are: head or front up,
    the person's left on the right, the front of a sagittal slice on the left.
    """
    if axis == 2:
        return picture[::-1]
    upright = picture.transpose(1, 0, 2)[::-1]
    return upright[:, ::-1] if axis == 1 else upright
