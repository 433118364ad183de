"""Soft tissue around a CT that is cropped to the spine, so that its projections look like a person's.

The image is continued in its own voxels to the skin of a trunk of random size: near the image with the tissue at its edge
(without bone, but above and below it), farther off with fat and muscle.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter, zoom

from lumbar_ext.io.volume import Volume
from lumbar_ext.simulation.body.materials import ct_number
from lumbar_ext.simulation.body.trunk_outline import Sections, sample_sections
from lumbar_ext.simulation.ranges import TrunkParameters

# Above and below the image, for the rays that leave it there.
_ENDS_MM = 45.0
_BLEND_MM = 35.0  # over which a CT's border passes into what is made up around it
_OPEN_AIR_HU = -900.0  # below it there is no tissue, nor lung
# Scanned air is noisy; a value that this share of all air has is a constant.
_CONSTANT_SHARE = 0.3
_EDGE_HU = (-110.0, 70.0)  # fat to muscle: other values at the border are bone or gas and are not drawn outward
_EDGE_SIGMA_MM = 3.0  # of the border's blur, before it is drawn outward
# Muscle as it is on average with the fat in it, and its mottle.
_MUSCLE_HU = 15.0
_MOTTLE_HU = 30.0  # of the tissue that is made up
_MOTTLE_CELL_MM = 9.0  # of that


def with_surroundings(
    rng: np.random.Generator, ct: Volume, bones_mm: np.ndarray, spine_mm: np.ndarray, parameters: TrunkParameters
) -> Volume:
    """Continues a CT to the skin; what the CT shows stays as it is.

    Args:
        rng: draws size and texture of the trunk.
        ct: CT numbers, world frame with its origin near the spine's middle.
        bones_mm: [M, 3] points on bones, world mm.
        spine_mm: [N, 3] body centres.
        parameters: ranges of the trunk.
    """
    skin = sample_sections(rng, bones_mm, spine_mm, 1.0, parameters)
    muscle = skin.inset(rng.uniform(*parameters.fat_mm))
    before, after = _margins(ct, skin)
    size = np.array(ct.values.shape)
    shape = size + before + after
    affine = ct.world_from_voxel.copy()
    affine[:3, 3] -= affine[:3, :3] @ before
    missing = missing_voxels(ct.values)
    known = distance_transform_edt(missing, ct.spacing_mm, return_distances=False, return_indices=True)
    edge = gaussian_filter(ct.values[tuple(known)], _EDGE_SIGMA_MM / ct.spacing_mm)
    mottle = _mottle(rng, shape, ct.spacing_mm)
    values = np.empty(shape, dtype=np.float32)
    # Slice by slice: the positions of all voxels at once would need gigabytes.
    for i in range(shape[0]):
        index = np.stack(np.meshgrid([i], np.arange(shape[1]), np.arange(shape[2]), indexing="ij"), axis=-1)[0]
        points = index @ affine[:3, :3].T + affine[:3, 3]
        tissue = np.where(_inside(muscle, points), _MUSCLE_HU + mottle[i], ct_number("fat"))
        continued = _continued(edge, known, index - before, tissue, ct)
        values[i] = np.where(_inside(skin, points), continued, -1000.0)
    inner = values[tuple(slice(b, b + n) for b, n in zip(before, size, strict=True))]
    inner[~missing] = ct.values[~missing]
    return Volume(values, affine)


def missing_voxels(values_hu: np.ndarray) -> np.ndarray:
    """Voxels that no scan filled: resampled images have one constant below air in the corners outside the old field."""
    low = values_hu[values_hu < _OPEN_AIR_HU]
    found, counts = np.unique(low, return_counts=True)
    if not low.size or counts.max() < max(_CONSTANT_SHARE * low.size, 100):
        return np.zeros(values_hu.shape, dtype=bool)
    constant = values_hu == found[counts.argmax()]
    # Resampling rings next to the constant.
    return binary_dilation(constant, iterations=2) & ((values_hu < _OPEN_AIR_HU) | constant)


def _continued(edge: np.ndarray, known: np.ndarray, index: np.ndarray, tissue: np.ndarray, ct: Volume) -> np.ndarray:
    """CT numbers at voxel indices [..., 3] without a scan: the nearest voxel with one, blending into tissue.

    `known` [3, I, J, K] holds the nearest scanned voxel of each voxel of the image.
    """
    inside = tuple(np.moveaxis(np.clip(index, 0, np.array(edge.shape) - 1), -1, 0))
    nearest = np.moveaxis(known[(slice(None), *inside)], 0, -1)
    away = (index - nearest) @ ct.world_from_voxel[:3, :3].T
    beside = np.linalg.norm(away[..., :2], axis=-1)
    i, j, k = np.moveaxis(nearest, -1, 0)
    value = edge[i, j, k]
    weight = np.where(value < _OPEN_AIR_HU, 1.0, np.exp(-beside / _BLEND_MM))
    soft = np.where((beside > 0) & (value > _EDGE_HU[0]), np.clip(value, *_EDGE_HU), value)
    return weight * soft + (1 - weight) * tissue


def _margins(ct: Volume, skin: Sections) -> tuple[np.ndarray, np.ndarray]:
    """Voxels [3] to add before and after the image along each axis, to reach the skin."""
    top = np.array([(skin.back_mm + 2 * skin.half_depth_mm).max(), (skin.middle_y_mm + skin.half_width_mm).max()])
    low = np.array([skin.back_mm.min(), (skin.middle_y_mm - skin.half_width_mm).min()])
    voxel_from_world = np.linalg.inv(ct.world_from_voxel)
    corners = np.stack(np.meshgrid(*([0, n - 1] for n in ct.values.shape), indexing="ij"), -1).reshape(-1, 3)
    heights = (corners @ ct.world_from_voxel[:3, :3].T + ct.world_from_voxel[:3, 3])[:, 2]
    box = np.array([[*low, heights.min() - _ENDS_MM], [*top, heights.max() + _ENDS_MM]])
    wanted = np.stack(np.meshgrid(*box.T, indexing="ij"), -1).reshape(-1, 3)
    index = wanted @ voxel_from_world[:3, :3].T + voxel_from_world[:3, 3]
    before = np.ceil(np.clip(-index.min(0), 0, None)).astype(int)
    after = np.ceil(np.clip(index.max(0) - (np.array(ct.values.shape) - 1), 0, None)).astype(int)
    return before, after


def _mottle(rng: np.random.Generator, shape: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    """Zero-mean CT numbers, alike within some millimetres, float32 of a shape."""
    cells = np.maximum(np.ceil(shape * spacing_mm / _MOTTLE_CELL_MM).astype(int), 2)
    coarse = rng.standard_normal(cells, dtype=np.float32) * np.float32(_MOTTLE_HU)
    return zoom(coarse, shape / cells, order=1, grid_mode=True, mode="nearest")


def _inside(sections: Sections, points_mm: np.ndarray) -> np.ndarray:
    """Whether points [..., 3] lie inside the superelliptic sections."""
    z = points_mm[..., 2]
    back, middle, depth, width = (
        np.interp(z, sections.z_mm, values)
        for values in (sections.back_mm, sections.middle_y_mm, sections.half_depth_mm, sections.half_width_mm)
    )
    x, y = (points_mm[..., 0] - back - depth) / depth, (points_mm[..., 1] - middle) / width
    return np.abs(x) ** sections.exponent + np.abs(y) ** sections.exponent < 1
