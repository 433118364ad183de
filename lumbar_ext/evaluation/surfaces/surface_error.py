"""How far a reconstructed vertebra is from the true one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.evaluation.surfaces.regions import REGIONS
from lumbar_ext.evaluation.surfaces.voxel_overlap import voxel_scores
from lumbar_ext.mesh.surface import Surface, surface_distance_mm


@dataclass(frozen=True)
class SurfaceError:
    """How far a reconstructed vertebra is from the true one; every number is NaN where none was reconstructed.

    Args:
        study: name of the study.
        inputs: what the registration was given.
        method: how it was registered.
        level: "L1" to "L5".
        mean_mm: mean distance of the reconstructed vertices to the true surface, the paper's measure.
        symmetric_mm: mean of that and of the true vertices to the reconstructed surface.
        percentile95_mm: 95th percentile of the pooled distances of both directions.
        hausdorff_mm: their maximum.
        dice, voxel_asd_mm, voxel_hd95_mm, voxel_nsd: on 1 mm voxels, see `voxels.VoxelScores`.
        body_mm, pedicles_mm, articular_mm, lamina_mm, transverse_mm, spinous_mm: `mean_mm` over the vertices of a region.
        vertices_inside, vertices_deep: its vertices inside a neighbour, and those of them deeper than `result.DEEP_MM`.
        deepest_mm: how deep the deepest lies.
        crossing_triangles: triangles of its mesh that cross another one of it.
        seconds: wall-clock of the registration of the study.
        flagged: the registration itself warned about this vertebra.
        set_name: the set of studies it belongs to, empty where there is only one.
    """

    study: str
    inputs: str
    method: str
    level: str
    mean_mm: float = float("nan")
    symmetric_mm: float = float("nan")
    percentile95_mm: float = float("nan")
    hausdorff_mm: float = float("nan")
    dice: float = float("nan")
    voxel_asd_mm: float = float("nan")
    voxel_hd95_mm: float = float("nan")
    voxel_nsd: float = float("nan")
    body_mm: float = float("nan")
    pedicles_mm: float = float("nan")
    articular_mm: float = float("nan")
    lamina_mm: float = float("nan")
    transverse_mm: float = float("nan")
    spinous_mm: float = float("nan")
    vertices_inside: float = float("nan")
    vertices_deep: float = float("nan")
    deepest_mm: float = float("nan")
    crossing_triangles: float = float("nan")
    seconds: float = float("nan")
    flagged: bool = False
    set_name: str = ""

    @property
    def missing(self) -> bool:
        """No vertebra was reconstructed."""
        return not np.isfinite(self.mean_mm)


CONTACT_FIELDS = ("vertices_inside", "vertices_deep", "deepest_mm", "crossing_triangles")
"""The fields of `SurfaceError` that a registered vertebra tells by itself (`registration.result.VertebraFit`)."""
REGION_FIELDS = ("body_mm", "pedicles_mm", "articular_mm", "lamina_mm", "transverse_mm", "spinous_mm")
"""The fields of `SurfaceError` in the order of `regions.REGIONS`."""


@dataclass(frozen=True)
class Comparison:
    """A vertebra's measured distances.

    Args:
        forward_mm: [V] of the reconstructed vertices to the true surface.
        numbers: the fields of `SurfaceError` that follow.
    """

    forward_mm: np.ndarray
    numbers: dict[str, float]


def surface_error(found: Surface, truth: Surface, regions: np.ndarray | None = None) -> Comparison:
    """Compares a reconstructed surface with the true one; both in world mm.

    Args:
        found: reconstructed.
        truth: true.
        regions: [V] the region of each reconstructed vertex, an index into `regions.REGIONS`.
    """
    forward, backward = surface_distance_mm(found, truth), surface_distance_mm(truth, found)
    pooled, voxels = np.concatenate([forward, backward]), voxel_scores(found, truth)
    numbers = {
        "mean_mm": float(forward.mean()),
        "symmetric_mm": float((forward.mean() + backward.mean()) / 2),
        "percentile95_mm": float(np.percentile(pooled, 95)),
        "hausdorff_mm": float(pooled.max()),
        "dice": voxels.dice,
        "voxel_asd_mm": voxels.average_distance_mm,
        "voxel_hd95_mm": voxels.hausdorff95_mm,
        "voxel_nsd": voxels.surface_dice,
    }
    if regions is not None:
        for index, name in enumerate(REGION_FIELDS[: len(REGIONS)]):
            numbers[name] = float(forward[regions == index].mean())
    return Comparison(forward, numbers)
