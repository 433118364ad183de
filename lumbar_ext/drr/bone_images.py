"""What a view shows of the labelled vertebrae alone: their decomposition and each one's silhouette."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.drr import MeshProjector, drr_from_path_length
from lumbar_ext.drr.projector import add_path_length
from lumbar_ext.geometry import Camera
from lumbar_ext.mesh.surface import Surface


@dataclass(frozen=True)
class BoneImages:
    """Truth of one view.

    Args:
        decomposition: float32 [rows, columns] DRR of homogeneous vertebrae, in [0, 1), 0 outside their silhouettes.
        silhouettes: uint8 [rows, columns]; bit i (value 2^i) is set where vertebra i lies on the ray.
    """

    decomposition: np.ndarray
    silhouettes: np.ndarray


def bone_images(vertebrae: tuple[Surface | None, ...], camera: Camera) -> BoneImages:
    """Renders vertebrae L1 and on; None stands for one that is missing."""
    columns, rows = camera.size_px
    total = np.zeros((rows, columns), dtype=np.float32)
    silhouettes = np.zeros((rows, columns), dtype=np.uint8)
    projector = MeshProjector(camera)
    for index, vertebra in enumerate(vertebrae):
        if vertebra is not None:
            path = np.zeros_like(total)
            add_path_length(path, projector, vertebra)
            total += path
            silhouettes |= (path > 0).astype(np.uint8) << index
    return BoneImages(drr_from_path_length(total), silhouettes)


def decomposition(vertebrae: tuple[Surface | None, ...], camera: Camera) -> np.ndarray:
    """The decomposition of `bone_images`."""
    return bone_images(vertebrae, camera).decomposition
