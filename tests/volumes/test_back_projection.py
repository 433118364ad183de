import numpy as np
import pytest

from lumbar_ext.anatomy import VERSE_LABELS, VIEWS
from lumbar_ext.geometry import BiplanarGeometry, ConeBeam
from lumbar_ext.io.volume import Volume
from lumbar_ext.mesh.voxels import VoxelGrid
from lumbar_ext.simulation.body.materials import CT_ENERGY_KEV, MATERIALS, attenuation_per_mm, ct_number
from lumbar_ext.simulation.ct.ct_projection import ct_paths
from lumbar_ext.transforms.field_views import FieldViews
from lumbar_ext.transforms.tissue import NO_HU, TISSUE_LABELS
from lumbar_ext.volumes.back_projection import back_projections
from lumbar_ext.volumes.study_field import ReconstructedVolume

GRID = VoxelGrid(np.array([-39.0, -39, -60]), 2.0, (40, 40, 61))


def geometry():
    size, spacing = (256, 256), (1.668, 1.668)
    half = 1.668 * 255 / 2
    ap = ConeBeam([1000, 0, 0], [-200, -half, half], [0, 1, 0], [0, 0, -1], spacing, size)
    lat = ConeBeam([0, 1000, 0], [half, -200, half], [-1, 0, 0], [0, 0, -1], spacing, size)
    return BiplanarGeometry(ap, lat)


def blocks():
    """Blocks of dense bone in soft tissue, some voxels not seen."""
    values = np.full(GRID.shape, ct_number("soft"), np.float32)
    for k in range(6, 55, 12):
        values[12:28, 10:30, k : k + 7] = ct_number("bone")
    values[0] = NO_HU
    return np.rint(values).astype(np.int16)


def labels():
    """The blocks are L3."""
    return np.where(blocks() > 500, VERSE_LABELS["L3"], TISSUE_LABELS["soft_tissue"]).astype(np.uint8)


def films(values):
    body = Volume(np.maximum(values, -1000).astype(np.float32), GRID.world_from_voxel)
    per_mm = [attenuation_per_mm(name, 80.0) for name in MATERIALS]
    paths = {view: ct_paths(body, geometry()[view]) for view in VIEWS}
    return {view: sum(mu * path for mu, path in zip(per_mm, paths[view], strict=True)) for view in VIEWS}


def test_a_block_of_one_material_attenuates_by_its_thickness():
    values = np.full(GRID.shape, round(ct_number("soft")), np.int16)
    found = back_projections(
        ReconstructedVolume(values, np.zeros(GRID.shape, np.uint8), GRID), FieldViews.of(films(blocks()), geometry())
    )
    thickness = 2.0 * GRID.shape[0]
    assert found["ap"].attenuation[128, 128] == pytest.approx(
        thickness * attenuation_per_mm("soft", CT_ENERGY_KEV), rel=0.03
    )


def test_the_volume_behind_a_film_explains_it_and_another_does_not():
    volume = ReconstructedVolume(blocks(), labels(), GRID)
    own = back_projections(volume, FieldViews.of(films(blocks()), geometry()))
    shifted = ReconstructedVolume(np.roll(blocks(), 6, axis=2), np.roll(labels(), 6, axis=2), GRID)
    other = back_projections(shifted, FieldViews.of(films(blocks()), geometry()))
    for view in VIEWS:
        assert own[view].unexplained < 0.05 and other[view].unexplained > 0.5
        assert np.nanstd(own[view].residual) == pytest.approx(np.sqrt(own[view].unexplained), rel=0.05)


def test_what_counts_is_on_and_beside_the_vertebrae():
    volume = ReconstructedVolume(blocks(), labels(), GRID)
    residual = back_projections(volume, FieldViews.of(films(blocks()), geometry()))["ap"].residual
    inside = np.argwhere(labels() == VERSE_LABELS["L3"]) * 2.0 + GRID.origin_mm
    low, high = (f(geometry().ap.project(inside), axis=0) for f in (np.min, np.max))
    v, u = np.nonzero(np.isfinite(residual))
    assert (np.abs([u.min() - low[0], u.max() - high[0], v.min() - low[1], v.max() - high[1]]) < 9 / 1.668 + 2).all()


def test_how_a_film_is_exposed_does_not_matter():
    volume = ReconstructedVolume(blocks(), labels(), GRID)
    plain = back_projections(volume, FieldViews.of(films(blocks()), geometry()))
    slope = np.linspace(0, 30, 256)
    exposed = {view: 40 * film + 1000 + slope for view, film in films(blocks()).items()}
    other = back_projections(volume, FieldViews.of(exposed, geometry()))
    for view in VIEWS:
        assert other[view].unexplained == pytest.approx(plain[view].unexplained, abs=0.02)


def test_a_film_without_detail_is_not_explained():
    volume = ReconstructedVolume(blocks(), labels(), GRID)
    flat = {view: np.ones((256, 256)) for view in VIEWS}
    assert back_projections(volume, FieldViews.of(flat, geometry()))["ap"].unexplained == 1
