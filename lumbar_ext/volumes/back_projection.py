"""A volume as both radiographs would show it, and how much of them it explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from lumbar_ext.anatomy import VERSE_LABELS, VIEWS
from lumbar_ext.io.volume import Volume
from lumbar_ext.simulation.body.materials import CT_ENERGY_KEV, MATERIALS, attenuation_per_mm
from lumbar_ext.simulation.ct.ct_materials import AIR_HU
from lumbar_ext.simulation.ct.ct_projection import ct_paths
from lumbar_ext.transforms.field_views import FieldViews
from lumbar_ext.transforms.tissue import NOT_SEEN_LABEL
from lumbar_ext.volumes.study_field import ReconstructedVolume

_DETAIL_MM = 12.0  # on the detector: what is smoother is soft tissue around the box, and processing
_BESIDE_MM = 8.0  # on the detector, of the vertebrae's outlines: what counts, so that these do


@dataclass(frozen=True)
class BackProjection:
    """One view of a volume.

    Args:
        attenuation: float32 [rows, columns], line integrals of the box at the CT energy, on the network's grid.
        residual: float32, the film's detail that is not explained, in standard deviations of that detail; NaN elsewhere than
            on and beside the lumbar vertebrae (on the box, where there are none).
        unexplained: share of the variance of the film's detail that the volume's detail leaves, in [0, 1].
    """

    attenuation: np.ndarray
    residual: np.ndarray
    unexplained: float


def back_projections(volume: ReconstructedVolume, views: FieldViews) -> dict[str, BackProjection]:
    """The volume in both views.

    Args:
        volume: what was reconstructed; what is not seen counts as air.
        views: the radiographs it was reconstructed from.
    """
    values = np.where(volume.values_hu < AIR_HU, AIR_HU, volume.values_hu).astype(np.float32)
    body = Volume(values, volume.grid.world_from_voxel)
    lumbar = np.isin(volume.labels, list(VERSE_LABELS.values()))
    if not lumbar.any():
        lumbar = volume.labels != NOT_SEEN_LABEL
    # water where a vertebra is and air elsewhere: its ways are the vertebrae's
    solid = Volume(np.where(lumbar, 0, AIR_HU).astype(np.float32), volume.grid.world_from_voxel)
    found = {}
    for view in VIEWS:
        camera = views.seen[view].camera
        weights = np.array([attenuation_per_mm(name, CT_ENERGY_KEV) for name in MATERIALS], np.float32)
        attenuation = np.tensordot(weights, ct_paths(body, camera), 1)
        spacing = camera.pixel_spacing_mm[0]
        behind = ct_paths(solid, camera).sum(0) > volume.grid.voxel_mm
        near = distance_transform_edt(~behind) * spacing < _BESIDE_MM if behind.any() else behind
        found[view] = _compared(attenuation, views.images[view], near & views.seen[view].inside, _DETAIL_MM / spacing)
    return found


def _compared(attenuation: np.ndarray, film: np.ndarray, shown: np.ndarray, sigma_px: float) -> BackProjection:
    """Least squares of the film's detail by the volume's, over the pixels shown."""
    detail = [_detail(image, shown, sigma_px)[shown] for image in (attenuation, film)]
    ours, theirs = (values - values.mean() if values.size else values for values in detail)
    residual = np.full(film.shape, np.nan, np.float32)
    energy = float(theirs @ theirs)
    if not energy or not float(ours @ ours):
        return BackProjection(attenuation, residual, 1.0)
    left = theirs - ours * float(ours @ theirs) / float(ours @ ours)
    residual[shown] = left / np.sqrt(energy / theirs.size)
    return BackProjection(attenuation, residual, float(left @ left) / energy)


def _detail(image: np.ndarray, shown: np.ndarray, sigma_px: float) -> np.ndarray:
    """The image less its local mean over the pixels shown."""
    weights = gaussian_filter(shown.astype(np.float32), sigma_px)
    mean = gaussian_filter(np.where(shown, image, 0).astype(np.float32), sigma_px) / np.maximum(weights, 1e-6)
    return image - mean
