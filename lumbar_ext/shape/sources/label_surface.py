"""From a label map to a smooth closed surface with sub-voxel accuracy.

The label is turned into a signed distance map, interpolated to an isotropic grid (shape-based interpolation, which
does away with the terraces of thick slices), smoothed, and cut at the level that keeps the label's volume.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage
from trimesh.smoothing import filter_taubin

from lumbar_ext.errors import InputError
from lumbar_ext.mesh.surface import Surface, clean_surface
from lumbar_ext.shape.sources.label_map import load_label_map

_TAUBIN_SHRINK, _TAUBIN_INFLATE = 0.5, -0.53
"""Taubin's lambda and mu: a pass band that leaves the volume (Taubin G, SIGGRAPH 1995)."""


_SMALLEST_VERTEBRA_MM3 = 5000.0
"""Small lumbar vertebrae have about 25,000 mm3; less than a fifth of one cannot be registered."""


@dataclass(frozen=True)
class LabelSurface:
    """A surface from a label map and what of it is not bone surface but the edge of the field of view.

    Args:
        surface: closed surface, mm, in the label map's world frame turned to X front, Y left, Z up.
        is_cut: [V] True for vertices on a face where the image ends.
        voxel_mm: [3] voxel size along the image axes.
    """

    surface: Surface
    is_cut: np.ndarray
    voxel_mm: np.ndarray


@dataclass(frozen=True)
class SmoothingOptions:
    """How a label is turned into a surface.

    Args:
        grid_mm: edge of the isotropic grid; the smallest voxel edge when omitted.
        sigma_voxels: Gaussian on the distance map, in units of the mean voxel edge.
        taubin_steps: pairs of Taubin smoothing steps on the mesh.
    """

    grid_mm: float | None = None
    sigma_voxels: float = 0.6
    taubin_steps: int = 10


def load_label_surface(path: str | Path, label: int, options: SmoothingOptions | None = None) -> LabelSurface:
    """Surface of one label of a label map, in an anatomical world frame (X front, Y left, Z up).

    Args:
        path: NIfTI, NRRD or MetaImage file, see `label_map`.
        label: value of the vertebra.
        options: smoothing; defaults suit voxels of 1-3 mm.

    Raises:
        InputError: if the file cannot be read, lacks the label, or the label is too small for a vertebra.
    """
    label_map = load_label_map(path)
    mask = label_map.values == label
    if not mask.any():
        raise InputError(f"{path}: label {label} is absent, found {label_map.labels}")
    volume_mm3 = float(mask.sum() * abs(np.linalg.det(label_map.ours_from_voxel[:3, :3])))
    if volume_mm3 < _SMALLEST_VERTEBRA_MM3:
        raise InputError(
            f"{path}: label {label} fills {volume_mm3:.0f} mm3, expected at least {_SMALLEST_VERTEBRA_MM3:.0f} for a "
            "vertebra; are the voxels in mm?"
        )
    return surface_from_mask(mask, label_map.ours_from_voxel, options)


def surface_from_mask(
    mask: np.ndarray, world_from_voxel: np.ndarray, options: SmoothingOptions | None = None
) -> LabelSurface:
    """Smooth closed surface of a binary mask.

    Args:
        mask: [I, J, K] bool; only its largest component is used, cavities are filled.
        world_from_voxel: [4, 4] affine, voxel index to mm.
        options: smoothing.

    Returns:
        The surface in the world frame, its enclosed volume equal to that of the mask.

    Raises:
        InputError: if the mask is empty or the affine is singular.
    """
    # Comes with an extra that reconstructions, which import this for levels without landmarks, do without.
    from skimage.measure import marching_cubes

    options = options or SmoothingOptions()
    voxel_mm = np.linalg.norm(np.asarray(world_from_voxel)[:3, :3], axis=0)
    if not np.asarray(mask).any() or voxel_mm.min() <= 0:
        raise InputError(f"mask needs at least one voxel and a regular affine, found voxel edges {voxel_mm} mm")
    window, first_index = _crop(_largest_component(np.asarray(mask, dtype=bool)), margin=4)
    volume_mm3 = window.sum() * voxel_mm.prod()
    distance, step = _isotropic_distance(window, voxel_mm, options)
    level = _level_of_volume(distance, volume_mm3 / (step * voxel_mm).prod())
    vertices, triangles, _, _ = marching_cubes(distance, level)
    index = vertices * step + first_index
    world = index @ np.asarray(world_from_voxel)[:3, :3].T + np.asarray(world_from_voxel)[:3, 3]
    surface = clean_surface(Surface(world, triangles), name="label surface")
    surface = taubin_smooth(surface, options.taubin_steps)
    return LabelSurface(surface, _on_image_edge(surface, mask.shape, world_from_voxel), voxel_mm)


def taubin_smooth(surface: Surface, steps: int) -> Surface:
    """Low-pass filters vertex positions without shrinking the surface.

    Args:
        surface: the surface to smooth.
        steps: pairs of a shrinking and an inflating umbrella step; 0 returns the surface unchanged.
    """
    mesh = surface.to_trimesh()
    # Trimesh counts single steps, a shrinking one first, and takes the inflating one as a positive number.
    filter_taubin(mesh, lamb=_TAUBIN_SHRINK, nu=-_TAUBIN_INFLATE, iterations=2 * steps)
    return surface.with_vertices(mesh.vertices)


def _largest_component(mask: np.ndarray) -> np.ndarray:
    """The largest face-connected component with its cavities filled."""
    components, count = ndimage.label(mask)
    if count > 1:
        mask = components == 1 + np.argmax(np.bincount(components.ravel())[1:])
    return ndimage.binary_fill_holes(mask)


def _crop(mask: np.ndarray, margin: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounding box with an empty margin, and the image index of its first voxel (may be negative)."""
    occupied = np.argwhere(mask)
    low, high = occupied.min(axis=0), occupied.max(axis=0) + 1
    box = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return np.pad(box, margin), low - margin


def _isotropic_distance(
    mask: np.ndarray, voxel_mm: np.ndarray, options: SmoothingOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed inside-positive distance map on an isotropic grid, and the grid step in voxels [3]."""
    half = 0.5 * voxel_mm.min()
    inside = ndimage.distance_transform_edt(mask, sampling=voxel_mm) - half
    outside = ndimage.distance_transform_edt(~mask, sampling=voxel_mm) - half
    distance = np.where(mask, inside, -outside)
    step = (options.grid_mm or voxel_mm.min()) / voxel_mm
    grid = [np.arange(0, size - 1 + 1e-9, s) for size, s in zip(mask.shape, step, strict=True)]
    # A cubic spline of the distance, not of the mask: between thick slices the outline moves instead of fading.
    distance = ndimage.map_coordinates(distance, np.meshgrid(*grid, indexing="ij"), order=3, mode="nearest")
    sigma = options.sigma_voxels * voxel_mm.mean() / (step * voxel_mm)
    return ndimage.gaussian_filter(distance, sigma), step


def _level_of_volume(distance: np.ndarray, wanted_voxels: float) -> float:
    """The level above which the map holds the wanted number of grid voxels."""
    values = np.sort(distance.ravel())[::-1]
    index = int(np.clip(round(wanted_voxels), 1, len(values) - 1))
    return float(0.5 * (values[index - 1] + values[index]))


def _on_image_edge(surface: Surface, shape: tuple[int, ...], world_from_voxel: np.ndarray) -> np.ndarray:
    """[V] True within a voxel of the border of the image: there the surface is a cut, not bone."""
    voxel_from_world = np.linalg.inv(np.asarray(world_from_voxel))
    index = surface.vertices_mm @ voxel_from_world[:3, :3].T + voxel_from_world[:3, 3]
    return ((index < 0.6) | (index > np.array(shape) - 1.6)).any(axis=1)
