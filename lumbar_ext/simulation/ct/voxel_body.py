"""A simulated person as a CT would show them: one grid of Hounsfield units, to be ray-cast like a real CT.

Bones are shells of their own thickness, mixed into voxels by volume, over trabecular bone whose density varies in three
dimensions; soft tissue is irregular in three dimensions, too, so both views see the same. (`material_paths` has neither:
it adds path lengths of meshes, textured view by view.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.compiled import compiled
from lumbar_ext.geometry import BiplanarGeometry
from lumbar_ext.io.volume import Volume
from lumbar_ext.mesh.voxels import VoxelGrid, coverage
from lumbar_ext.simulation.body.composition import Composition
from lumbar_ext.simulation.body.ellipsoids import Ellipsoids
from lumbar_ext.simulation.body.materials import ct_number
from lumbar_ext.simulation.body.noise import smooth_field
from lumbar_ext.simulation.body.trunk import TissueTexture, Trunk
from lumbar_ext.simulation.ct.ct_materials import AIR_HU
from lumbar_ext.simulation.imaging.material_paths import BodyScene, Inclusion, ShelledBone

# Soft tissue has no detail below this; its voxels are a multiple of the bones'.
_SOFT_VOXEL_MM = 2.0
_MARGIN_MM = 4.0  # around what the beam crosses
_STEPS = 400  # along each border ray when the crossed box is found
# Sideways of the skin: arms are kept, the ends of a table are not.
_BESIDE_SKIN_MM = 45.0
# As in `soft_tissue`: mottle at three scales that share its variance along 200 mm; bowel lies behind the abdominal wall.
_MOTTLE_CELLS_MM = (4.0, 11.0, 30.0)
_MOTTLE_DEPTH_MM = 200.0  # of a body, over which the projected mottle of `soft_tissue` was set
_BREATH_WAVE_MM = 90.0  # wavelength at which lungs are warped
_WALL_MM = 18.0  # of the abdomen: no gas nearer to the skin
_MARKING_CELL_MM = 3.5  # of the lung's vessels
# Trabeculae: patches longer along the axis of the trunk, as the load-bearing ones are.
_TRABECULAR_CELL_MM = np.array([1.6, 1.6, 3.2])
_PATCH_CELL_MM = 5.0  # of dense and porous bone


def voxel_body(rng: np.random.Generator, scene: BodyScene, geometry: BiplanarGeometry, voxel_mm: float) -> Volume:
    """The CT numbers of everything in the beam.

    Args:
        rng: draws the texture of bones and soft tissues.
        scene: what is in the beam, world frame.
        geometry: the cameras; what neither sees above and below is left out.
        voxel_mm: edge of the voxels.
    """
    return body_on_grid(rng, scene, _seen_grid(scene, geometry, voxel_mm))


def body_on_grid(rng: np.random.Generator, scene: BodyScene, grid: VoxelGrid) -> Volume:
    """The CT numbers of what lies in some voxels.

    Args:
        rng: draws the texture of bones and soft tissues.
        scene: what there is, world frame.
        grid: the voxels.
    """
    factor = max(1, round(_SOFT_VOXEL_MM / grid.voxel_mm))
    values = np.empty(grid.shape, dtype=np.float32)
    _interpolate(_soft_tissue(rng, scene.trunk, grid.coarser(factor)), factor, values)
    _add_plaques(values, scene.trunk.calcifications, grid)
    # What lies in bones and discs comes after them.
    late = [part for part in scene.inclusions if part.material == "metal" or part.replaces]
    for part in scene.inclusions:
        if not any(part is other for other in late):
            _add_inclusion(values, part, grid)
    for bone in scene.bones:
        _add_bone(rng, values, bone, scene.composition, grid)
    for part in late:
        _add_inclusion(values, part, grid)
    return Volume(values, grid.world_from_voxel)


def _seen_grid(scene: BodyScene, geometry: BiplanarGeometry, voxel_mm: float) -> VoxelGrid:
    """Voxels around trunk, bones and inclusions, as far up and down as either view sees them."""
    solids = [scene.trunk.skin, *(bone.outer for bone in scene.bones), *(part.solid for part in scene.inclusions)]
    corners = np.concatenate([solid.box_corners_mm for solid in solids])
    low, high = corners.min(0) - _MARGIN_MM, corners.max(0) + _MARGIN_MM
    skin = scene.trunk.skin.box_corners_mm[:, 1]
    low[1] = max(low[1], skin.min() - _BESIDE_SKIN_MM)
    high[1] = min(high[1], skin.max() + _BESIDE_SKIN_MM)
    heights = []
    for camera in (geometry.ap, geometry.lat):
        columns, rows = camera.size_px
        corners_px = np.array([[u, v] for u in (0, columns - 1) for v in (0, rows - 1)], dtype=float)
        starts, ends = camera.sources_mm(corners_px), camera.detector_point(corners_px)
        along = np.linspace(0, 1, _STEPS)[:, None, None]
        points = (starts + along * (ends - starts)).reshape(-1, 3)
        inside = ((points[:, :2] > low[:2]) & (points[:, :2] < high[:2])).all(axis=1)
        heights.append(points[inside, 2])
    seen = np.concatenate(heights)
    low[2] = max(low[2], seen.min() - _MARGIN_MM)
    high[2] = min(high[2], seen.max() + _MARGIN_MM)
    return VoxelGrid.around(low, high, voxel_mm)


def _soft_tissue(rng: np.random.Generator, trunk: Trunk, grid: VoxelGrid) -> np.ndarray:
    """CT numbers of the trunk without bones, float32 of the grid's shape."""
    fat_hu, soft_hu = ct_number("fat"), ct_number("soft")
    texture = trunk.texture
    skin, muscle = coverage(trunk.skin, grid), coverage(trunk.muscle, grid)
    bowel = _Places.displaced(rng, grid, texture.warp_mm, texture.warp_wave_mm)
    fat = bowel.share(trunk.fat) - bowel.share(trunk.muscles)
    fat = np.clip(fat + _mottle(rng, grid, texture.mottle_mm), 0.0, 1.0)
    inside = soft_hu + (fat_hu - soft_hu) * fat
    inside += (AIR_HU - inside) * _gas(trunk, bowel)
    lung_hu, lung = _lungs(rng, trunk, texture, grid)
    inside += (lung_hu - inside) * lung
    return AIR_HU * (1 - skin) + fat_hu * (skin - muscle) + inside * muscle


def _lungs(
    rng: np.random.Generator, trunk: Trunk, texture: TissueTexture, grid: VoxelGrid
) -> tuple[np.ndarray, np.ndarray]:
    """CT numbers of lung, and its share of every voxel: outside the dome that carves it."""
    breath = _Places.displaced(rng, grid, texture.warp_mm, _BREATH_WAVE_MM)
    share = np.zeros(grid.shape, dtype=np.float32)
    for n in range(len(trunk.lungs.contrast)):
        lung, dome = (breath.share(_only(parts, n)) for parts in (trunk.lungs, trunk.diaphragm))
        np.maximum(share, lung * (1 - dome), out=share)
    markings = texture.lung_markings * np.sqrt(_MOTTLE_DEPTH_MM / _MARKING_CELL_MM)
    density = texture.lung_density * (1 + markings * smooth_field(rng, grid.shape, _MARKING_CELL_MM / grid.voxel_mm))
    return AIR_HU - AIR_HU * np.clip(density, 0.05, 1.0), share


def _gas(trunk: Trunk, places: _Places) -> np.ndarray:
    """Share of gas in every voxel: bowel lies behind the abdominal wall, and where bubbles overlap the emptiest counts."""
    return places.share(trunk.gas, largest=True) * coverage(trunk.muscle.shrunk(_WALL_MM), places.grid, 1)


def _only(ellipsoids: Ellipsoids, n: int) -> Ellipsoids:
    return Ellipsoids(ellipsoids.centres_mm[[n]], ellipsoids.axes_mm[[n]], ellipsoids.contrast[[n]])


def _mottle(rng: np.random.Generator, grid: VoxelGrid, amplitude_mm: float) -> np.ndarray:
    """Fat exchanged for soft tissue: its sum along 200 mm deviates by `amplitude_mm`, as of cells that are independent."""
    total = np.zeros(grid.shape, dtype=np.float32)
    for cell in _MOTTLE_CELLS_MM:
        share = amplitude_mm / np.sqrt(len(_MOTTLE_CELLS_MM) * cell * _MOTTLE_DEPTH_MM)
        total += np.float32(share) * smooth_field(rng, grid.shape, cell / grid.voxel_mm)
    return total


@dataclass(frozen=True)
class _Places:
    """Where the voxels of a grid are once organs are displaced by a smooth random field.

    Args:
        points_mm: [3, I, J, K] float32, world frame.
        reach_mm: greatest displacement along an axis.
        grid: the voxels.
    """

    points_mm: np.ndarray
    reach_mm: float
    grid: VoxelGrid

    @classmethod
    def straight(cls, grid: VoxelGrid) -> _Places:
        """Places without displacement: each voxel is where it is."""
        lines = [start + grid.voxel_mm * np.arange(n) for start, n in zip(grid.origin_mm, grid.shape, strict=True)]
        return cls(np.stack(np.meshgrid(*lines, indexing="ij")).astype(np.float32), 0.0, grid)

    @classmethod
    def displaced(cls, rng: np.random.Generator, grid: VoxelGrid, amplitude_mm: float, wave_mm: float) -> _Places:
        """Displacements of a standard deviation and a wavelength."""
        points, reach = cls.straight(grid).points_mm, 0.0
        for axis in range(3):
            field = np.float32(amplitude_mm) * smooth_field(rng, grid.shape, 0.5 * wave_mm / grid.voxel_mm)
            points[axis] += field
            reach = max(reach, float(np.abs(field).max()))
        return cls(points, reach, grid)

    def share(self, ellipsoids: Ellipsoids, *, largest: bool = False) -> np.ndarray:
        """Sum of the ellipsoids' contrasts in every voxel, or the largest, float32 [I, J, K]; rims are a voxel wide."""
        total = np.zeros(self.grid.shape, dtype=np.float32)
        squared = (ellipsoids.axes_mm**2).sum(-1)
        rim = self.grid.voxel_mm / np.sqrt(squared.min(-1)) if len(squared) else np.zeros(0)
        half = np.sqrt((ellipsoids.axes_mm**2).sum(1)) * (1 + 0.5 * rim[:, None]) + self.reach_mm
        index = (ellipsoids.centres_mm - self.grid.origin_mm) / self.grid.voxel_mm
        low = np.clip(np.floor(index - half / self.grid.voxel_mm), 0, self.grid.shape).astype(np.int64)
        high = np.clip(np.ceil(index + half / self.grid.voxel_mm) + 1, 0, self.grid.shape).astype(np.int64)
        balls = ellipsoids.axes_mm / squared[..., None]
        _fill(ellipsoids.centres_mm, balls, ellipsoids.contrast, rim, low, high, self.points_mm, largest, total)
        return total


@compiled()
def _fill(centres, ball_from_world, contrast, rim, low, high, points, largest, out):
    """Adds to out [I, J, K] the contrast of N ellipsoids at points [3, I, J, K], or keeps the largest.

    Args:
        centres: [N, 3].
        ball_from_world: [N, 3, 3] maps of the ellipsoids to the unit ball.
        contrast: [N].
        rim: [N] widths of the rims over which the contrast falls, in radii.
        low, high: [N, 3] voxels that may lie inside.
        points: world mm.
        largest: keep the largest instead of the sum.
        out: changed in place.
    """
    for n in range(contrast.shape[0]):
        ball, outer = ball_from_world[n], 1.0 + 0.5 * rim[n]
        for i in range(low[n, 0], high[n, 0]):
            for j in range(low[n, 1], high[n, 1]):
                for k in range(low[n, 2], high[n, 2]):
                    x = points[0, i, j, k] - centres[n, 0]
                    y = points[1, i, j, k] - centres[n, 1]
                    z = points[2, i, j, k] - centres[n, 2]
                    distance = 0.0
                    for axis in range(3):
                        distance += (ball[axis, 0] * x + ball[axis, 1] * y + ball[axis, 2] * z) ** 2
                    if distance >= outer * outer:
                        continue
                    value = np.float32(contrast[n] * min((outer - np.sqrt(distance)) / rim[n], 1.0))
                    out[i, j, k] = max(out[i, j, k], value) if largest else out[i, j, k] + value


def _add_plaques(values: np.ndarray, plaques: Ellipsoids, grid: VoxelGrid) -> None:
    """Mixes calcifications into the CT numbers."""
    if not len(plaques.contrast):
        return
    reach = np.abs(plaques.axes_mm).sum(1).max() + grid.voxel_mm
    slices = grid.slices_around(np.concatenate([plaques.centres_mm - reach, plaques.centres_mm + reach]))
    if values[slices].size:
        share = _Places.straight(grid.part(slices)).share(plaques)
        values[slices] += (ct_number("bone") - values[slices]) * np.minimum(share, 1.0)


def _add_inclusion(values: np.ndarray, part: Inclusion, grid: VoxelGrid) -> None:
    """Puts metal, an arm or a table in place of what is there."""
    slices = grid.slices_around(part.solid.box_corners_mm)
    if values[slices].size:
        own_hu = AIR_HU + part.density * (ct_number(part.material) - AIR_HU)
        values[slices] += (own_hu - values[slices]) * coverage(part.solid, grid.part(slices))


def _add_bone(
    rng: np.random.Generator, values: np.ndarray, bone: ShelledBone, composition: Composition, grid: VoxelGrid
) -> None:
    """Puts shell and trabecular bone in place of soft tissue, by the share of the voxels they fill."""
    slices = grid.slices_around(bone.outer.box_corners_mm)
    here = values[slices]
    if not here.size:
        return
    part = grid.part(slices)
    core = coverage(bone.core, part)
    shell = np.maximum(coverage(bone.outer, part) - core, 0.0)
    shell_hu = ct_number("soft") + composition.shell_density * (ct_number("bone") - ct_number("soft"))
    core_hu = composition.trabecular_hu[bone.level] + _trabecular_hu(rng, composition, bone.level, part)
    here += (shell_hu - here) * shell + (core_hu - here) * core


def _trabecular_hu(rng: np.random.Generator, composition: Composition, level: int, grid: VoxelGrid) -> np.ndarray:
    """CT numbers by which trabecular bone deviates from its mean.

    Independent cells along a ray give `composition.texture` times the root of its length, as in `material_paths`; full
    weight where dense bone fills a sixth.
    """
    fine = smooth_field(rng, grid.shape, _TRABECULAR_CELL_MM / grid.voxel_mm)
    patches = smooth_field(rng, grid.shape, _PATCH_CELL_MM / grid.voxel_mm)
    share = np.float32(composition.texture / np.sqrt(_TRABECULAR_CELL_MM[0])) * fine
    share += np.float32(composition.patches / np.sqrt(_PATCH_CELL_MM)) * patches
    weight = min(6 * composition.core_density(level), 1.0)
    return np.float32(weight * (ct_number("bone") - ct_number("soft"))) * share


@compiled()
def _interpolate(coarse, factor, fine):
    """Fills fine [I, J, K] with values read linearly from voxels `factor` times as large that start at the same corner."""
    last = np.array(coarse.shape) - 1
    offset = 0.5 / factor - 0.5
    for i in range(fine.shape[0]):
        x = min(max(i / factor + offset, 0.0), last[0])
        a = min(int(x), last[0] - 1)
        x -= a
        for j in range(fine.shape[1]):
            y = min(max(j / factor + offset, 0.0), last[1])
            b = min(int(y), last[1] - 1)
            y -= b
            for k in range(fine.shape[2]):
                z = min(max(k / factor + offset, 0.0), last[2])
                c = min(int(z), last[2] - 1)
                z -= c
                near = (coarse[a, b, c] * (1 - y) + coarse[a, b + 1, c] * y) * (1 - z)
                near += (coarse[a, b, c + 1] * (1 - y) + coarse[a, b + 1, c + 1] * y) * z
                far = (coarse[a + 1, b, c] * (1 - y) + coarse[a + 1, b + 1, c] * y) * (1 - z)
                far += (coarse[a + 1, b, c + 1] * (1 - y) + coarse[a + 1, b + 1, c + 1] * y) * z
                fine[i, j, k] = np.float32(near * (1 - x) + far * x)
