"""How well a volume agrees with the known one of its study: CT numbers by region, tissues by overlap and distance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from scipy.ndimage import binary_dilation, distance_transform_edt

from lumbar_ext.anatomy import LEVELS, VERSE_LABELS
from lumbar_ext.errors import InputError
from lumbar_ext.metrics.image_scores import dice, psnr_db, ssim_map
from lumbar_ext.studies.truth_volume import TruthVolume
from lumbar_ext.transforms.tissue import BONES, NO_HU, NOT_SEEN_LABEL, TISSUE_LABELS, UNKNOWN_LABEL
from lumbar_ext.volumes.study_field import ReconstructedVolume

SCORE_WINDOW_HU = (-200.0, 1000.0)
"""CT numbers are cut off to this before they are compared: fat to dense bone. Its width is the peak of the PSNR."""
BOUNDARY_MM = 3.0
"""What lies within this of a bone's surface counts as boundary; bone is all bone, elsewhere what is neither."""
REGIONS_OF_VOLUME = ("bone", "boundary", "elsewhere")
ALL_LUMBAR = "lumbar"
"""Name of the five vertebrae as one, beside `LEVELS`."""


@dataclass(frozen=True)
class OverlapScores:
    """One label against its truth.

    Args:
        dice: overlap; 0 for one that was not found.
        average_distance_mm: mean distance of the boundary voxels, both ways; NaN where one of the two is empty.
        hausdorff95_mm: 95th percentile of the distance, the larger of both ways; NaN there.
    """

    dice: float
    average_distance_mm: float
    hausdorff95_mm: float


@dataclass(frozen=True)
class VolumeScores:
    """A volume against the truth.

    Args:
        psnr_db: by region; NaN where a method states no CT numbers or a region is empty.
        ssim: by region: mean of the similarity (gaussian window of 1.5 voxels in three dimensions) at its voxels.
        overlap: by level that the person has, and of all as one (`ALL_LUMBAR`).
    """

    psnr_db: Mapping[str, float]
    ssim: Mapping[str, float]
    overlap: Mapping[str, OverlapScores]


def volume_scores(found: ReconstructedVolume, truth: TruthVolume, *, intensity: bool = True) -> VolumeScores:
    """Compares two volumes on one grid; voxels that are not seen or not known do not count.

    Args:
        found: the reconstruction.
        truth: what is known.
        intensity: whether the reconstruction states CT numbers.

    Raises:
        InputError: for other grids.
    """
    if found.grid.shape != truth.grid.shape or not np.allclose(found.grid.origin_mm, truth.grid.origin_mm, atol=1e-3):
        raise InputError(f"volumes on other grids: {found.grid} and {truth.grid}")
    voxel_mm = truth.grid.voxel_mm
    counted = (found.labels != NOT_SEEN_LABEL) & ~np.isin(truth.labels, (UNKNOWN_LABEL, NOT_SEEN_LABEL))
    regions = _regions(truth)
    psnr = dict.fromkeys(regions, float("nan"))
    similarity = dict(psnr)
    if intensity:
        ours, theirs = (_in_window(volume.values_hu) for volume in (found, truth))
        known = counted & (truth.values_hu != NO_HU)
        similar = ssim_map(np.where(known, ours, 0), np.where(known, theirs, 0))
        for name, region in regions.items():
            if (own := region & known).any():
                psnr[name], similarity[name] = psnr_db(ours, theirs, own), float(similar[own].mean())
    levels = {level: [VERSE_LABELS[level]] for level in LEVELS if (truth.labels == VERSE_LABELS[level]).any()}
    levels[ALL_LUMBAR] = list(VERSE_LABELS.values())
    overlap = {
        name: mask_scores(np.isin(found.labels, own) & counted, np.isin(truth.labels, own) & counted, voxel_mm)
        for name, own in levels.items()
    }
    return VolumeScores(psnr, similarity, overlap)


def mask_scores(found: np.ndarray, truth: np.ndarray, voxel_mm: float) -> OverlapScores:
    """Compares two boolean masks [I, J, K] of one grid, whose voxels have edges of `voxel_mm`."""
    if not found.any() or not truth.any():
        return OverlapScores(dice(found, truth), float("nan"), float("nan"))
    box = _around(found | truth)
    ours, theirs = (torch.from_numpy(mask[box].copy())[None, None] for mask in (found, truth))
    settings = {"include_background": True, "spacing": voxel_mm}
    return OverlapScores(
        dice=dice(found[box], truth[box]),
        average_distance_mm=float(compute_average_surface_distance(ours, theirs, symmetric=True, **settings)),
        hausdorff95_mm=float(compute_hausdorff_distance(ours, theirs, percentile=95, **settings)),
    )


def _regions(truth: TruthVolume) -> dict[str, np.ndarray]:
    """Masks of `REGIONS_OF_VOLUME`; bone is all bone of the box."""
    bone = np.isin(truth.labels, [TISSUE_LABELS[name] for name in BONES])
    depth = distance_transform_edt(bone, sampling=truth.grid.voxel_mm)
    height = distance_transform_edt(~bone, sampling=truth.grid.voxel_mm)
    boundary = (depth <= BOUNDARY_MM) & (height <= BOUNDARY_MM)
    return dict(zip(REGIONS_OF_VOLUME, (bone, boundary, ~bone & ~boundary), strict=True))


def _in_window(values_hu: np.ndarray) -> np.ndarray:
    low, high = SCORE_WINDOW_HU
    return (np.clip(values_hu.astype(np.float32), low, high) - low) / (high - low)


def _around(mask: np.ndarray) -> tuple[slice, ...]:
    """The box of a mask with a voxel about it, as far as there are voxels."""
    occupied = np.argwhere(binary_dilation(mask))
    return tuple(slice(int(a), int(b)) for a, b in zip(occupied.min(0), occupied.max(0) + 1, strict=True))
