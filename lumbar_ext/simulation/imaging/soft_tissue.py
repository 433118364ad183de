"""Path lengths in the soft tissues of a trunk, with the irregularity that ellipsoids lack.

The images of organs, fat and gas are warped by a smooth random field, and fat is mixed at random into the viscera: both
differ between the two views, as bowel and breath do between two exposures.
"""

from __future__ import annotations

import numpy as np

from lumbar_ext.compiled import compiled
from lumbar_ext.drr import MeshProjector
from lumbar_ext.drr.projector import add_path_length
from lumbar_ext.geometry import Camera
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.simulation.body.ellipsoids import (
    Ellipsoids,
    carved_path_length,
    union_path_length,
    weighted_path_length,
)
from lumbar_ext.simulation.body.materials import MATERIALS
from lumbar_ext.simulation.body.noise import smooth_noise
from lumbar_ext.simulation.body.trunk import Trunk

# Mottle at three scales, in mm on the detector, with equal shares of its variance.
_MOTTLE_CELLS_MM = (4.0, 11.0, 30.0)
_MOTTLE_DEPTH_MM = 200.0  # of a body: mottle adds up over it
_MARKING_CELL_MM = 3.5  # of the lung's vessels, on the detector
_BREATH_WAVE_MM = 90.0  # wavelength at which lungs are warped
_WALL_MM = 60.0  # of muscle along a ray, below which there is no gas, and over which it appears


def soft_tissue_paths(rng: np.random.Generator, trunk: Trunk, camera: Camera) -> np.ndarray:
    """Path lengths in `MATERIALS` of everything but the skeleton, float32 [4, rows, columns] mm.

    Args:
        rng: draws warp and mottle.
        trunk: soft tissues, world frame.
        camera: the view.
    """
    soft, fat, bone, _ = range(len(MATERIALS))
    columns, rows = camera.size_px
    paths = np.zeros((len(MATERIALS), rows, columns), dtype=np.float32)
    projector = MeshProjector(camera)
    skin, muscle = (_path(projector, solid) for solid in (trunk.skin, trunk.muscle))
    texture = trunk.texture
    bowel = _Warp(rng, camera, texture.warp_mm, texture.warp_wave_mm)
    breath = _Warp(rng, camera, texture.warp_mm, _BREATH_WAVE_MM)
    # Only gas has edges that need the full resolution.
    added_fat = bowel.apply(weighted_path_length(_added_fat(trunk), coarser(camera, 4)), 4)
    added_fat += _mottle(rng, muscle, camera, texture.mottle_mm)
    gas = bowel.apply(union_path_length(trunk.gas, camera), 1)
    lung = breath.apply(carved_path_length(trunk.lungs, trunk.diaphragm, coarser(camera, 2)), 2)
    lung *= 1 + texture.lung_markings * smooth_noise(rng, lung.shape, _MARKING_CELL_MM / camera.pixel_spacing_mm[0])
    inside = muscle > 0
    # Bowel lies behind the abdominal wall: thin rims of the trunk hold no gas.
    gas *= np.clip((muscle - _WALL_MM) / _WALL_MM, 0.0, 1.0)
    emptied = np.minimum((gas + (1 - texture.lung_density) * lung) * inside, 0.97 * muscle)
    paths[soft] = muscle - emptied - added_fat * inside
    paths[fat] = skin - muscle + added_fat * inside
    plaques = weighted_path_length(trunk.calcifications, camera)
    paths[bone] = plaques
    paths[soft] -= plaques
    return paths


def coarser(camera: Camera, factor: int) -> Camera:
    """The same view in pixels `factor` times as large, that cover it and start where it does."""
    spacing = np.array(camera.pixel_spacing_mm)
    shift = (factor - 1) / 2 * spacing
    return camera.replace(
        detector_origin_mm=camera.detector_origin_mm + shift[0] * camera.u_axis + shift[1] * camera.v_axis,
        pixel_spacing_mm=tuple((factor * spacing).tolist()),
        size_px=tuple(-(-n // factor) for n in camera.size_px),
    )


def _path(projector: MeshProjector, solid: Surface) -> np.ndarray:
    columns, rows = projector.camera.size_px
    path = np.zeros((rows, columns), dtype=np.float32)
    add_path_length(path, projector, solid)
    # Where a ray grazes the rim, what its entries and exits add up to in float32 can end a rounding below zero.
    return np.maximum(path, 0.0, out=path)


def _added_fat(trunk: Trunk) -> Ellipsoids:
    """Fat in place of soft tissue, and muscles in place of fat."""
    muscles = Ellipsoids(trunk.muscles.centres_mm, trunk.muscles.axes_mm, -trunk.muscles.contrast)
    return Ellipsoids.concatenated([trunk.fat, muscles])


def _mottle(rng: np.random.Generator, muscle: np.ndarray, camera: Camera, amplitude_mm: float) -> np.ndarray:
    """Fat exchanged for soft tissue at random, mm; it grows with the root of the depth of the viscera."""
    spacing = camera.pixel_spacing_mm[0]
    field = sum(smooth_noise(rng, muscle.shape, cell / spacing) for cell in _MOTTLE_CELLS_MM)
    amplitude = amplitude_mm / np.sqrt(len(_MOTTLE_CELLS_MM) * _MOTTLE_DEPTH_MM)
    return np.float32(amplitude) * np.sqrt(muscle) * field


class _Warp:
    """A smooth random displacement of the pixels of a view."""

    def __init__(self, rng: np.random.Generator, camera: Camera, amplitude_mm: float, wave_mm: float) -> None:
        columns, rows = camera.size_px
        spacing = camera.pixel_spacing_mm[0]
        cell = 0.5 * wave_mm / spacing
        amplitude = np.float32(amplitude_mm / spacing)
        self._u, self._v = (amplitude * smooth_noise(rng, (rows, columns), cell) for _ in range(2))

    def apply(self, image: np.ndarray, factor: int) -> np.ndarray:
        """The warped image, float32 [rows, columns]; `image` has pixels `factor` times as large."""
        if not image.any():
            return np.zeros_like(self._u)
        warped = np.empty_like(self._u)
        _read(np.ascontiguousarray(image), self._u, self._v, factor, warped)
        return warped


@compiled()
def _read(image, shift_u, shift_v, factor, warped):
    """Bilinear reading of image at displaced pixels; beyond its edge the edge goes on."""
    rows, columns = image.shape
    offset = 0.5 / factor - 0.5
    for row in range(warped.shape[0]):
        for column in range(warped.shape[1]):
            v = min(max((row + shift_v[row, column]) / factor + offset, 0.0), rows - 1.0)
            u = min(max((column + shift_u[row, column]) / factor + offset, 0.0), columns - 1.0)
            i, j = min(int(v), rows - 2), min(int(u), columns - 2)
            a, b = v - i, u - j
            top = image[i, j] * (1 - b) + image[i, j + 1] * b
            bottom = image[i + 1, j] * (1 - b) + image[i + 1, j + 1] * b
            warped[row, column] = np.float32(top * (1 - a) + bottom * a)
