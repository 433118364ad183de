"""With a network that answers by formula: CT numbers and tissues of a known place."""

import numpy as np
import pytest
import torch
from torch import nn

from lumbar_ext.errors import InputError, NothingUsableError
from lumbar_ext.geometry import BiplanarGeometry, ConeBeam
from lumbar_ext.mesh.voxels import VoxelGrid
from lumbar_ext.transforms.field_views import POSITION_MM, FieldViews
from lumbar_ext.transforms.tissue import HU_WINDOW, NO_HU, NOT_SEEN_LABEL, TISSUE_LABELS, TISSUES
from lumbar_ext.volumes import study_field
from lumbar_ext.volumes.lumbar_box import given_box, lumbar_box
from lumbar_ext.volumes.study_field import StudyField

CENTRE_MM = np.array([10.0, -20.0, 30.0])
RADIUS_MM = 40.3


class Ball(nn.Module):
    """A ball of L3 in soft tissue; CT numbers are 10 HU a mm along X."""

    def __init__(self, middle_mm, radius_mm=RADIUS_MM):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))
        self.centre = torch.from_numpy((CENTRE_MM - middle_mm) / POSITION_MM).float()
        self.radius, self.middle_x = radius_mm / POSITION_MM, middle_mm[0]

    def encoder(self, image, views):
        return [image]

    def decode(self, features, places, positions, guides):
        low, high = HU_WINDOW
        share = (10 * (positions[..., :1] * POSITION_MM + self.middle_x) - low) / (high - low)
        logits = torch.zeros(*positions.shape[:2], len(TISSUES))
        logits[..., TISSUES.index("soft_tissue")] = 1
        inside = (positions - self.centre).norm(dim=-1) < self.radius
        logits[..., TISSUES.index("L3")] = 2.0 * inside
        return torch.cat([share, logits], -1)


def views():
    size, spacing = (400, 420), (0.9, 0.9)
    half = 0.9 * (np.array(size) - 1) / 2
    ap = ConeBeam([1000, 0, 0], [-200, -half[0], half[1]], [0, 1, 0], [0, 0, -1], spacing, size)
    lat = ConeBeam([0, 1000, 0], [half[0], -200, half[1]], [-1, 0, 0], [0, 0, -1], spacing, size)
    rng = np.random.default_rng(0)
    return FieldViews.of({view: rng.random((420, 400)) for view in ("ap", "lat")}, BiplanarGeometry(ap, lat))


@pytest.fixture(scope="module")
def field():
    seen = views()
    return StudyField(Ball(seen.middle_mm), seen, bfloat16=False, threads=2)


def test_a_grid_is_filled_with_the_field_at_its_voxels(field):
    grid = VoxelGrid(np.array([-50.0, -60, -30]), 4.0, (30, 25, 28))
    volume = field.on_grid(grid)
    lines = [grid.origin_mm[a] + 4.0 * np.arange(n) for a, n in enumerate(grid.shape)]
    places = np.stack(np.meshgrid(*lines, indexing="ij"), -1)
    np.testing.assert_allclose(volume.values_hu, 10 * places[..., 0], atol=0.6)
    inside = np.linalg.norm(places - CENTRE_MM, axis=-1) < RADIUS_MM
    np.testing.assert_array_equal(volume.labels == TISSUE_LABELS["L3"], inside)
    assert volume.seen_share == 1


def test_chunks_and_threads_do_not_show(field, monkeypatch):
    grid = VoxelGrid(np.array([-50.0, -60, -30]), 6.0, (11, 12, 13))
    whole = field.on_grid(grid)
    monkeypatch.setattr(study_field, "_CHUNK", 100)
    parts = StudyField(field.network, field.views, bfloat16=False, threads=3).on_grid(grid)
    np.testing.assert_array_equal(whole.values_hu, parts.values_hu)
    np.testing.assert_array_equal(whole.labels, parts.labels)


def test_what_one_film_does_not_show_is_marked_not_invented(field):
    grid = VoxelGrid(np.array([0.0, 0, -300]), 20.0, (3, 3, 31))
    volume = field.on_grid(grid)
    points = np.stack(
        np.meshgrid(*(grid.origin_mm[a] + 20.0 * np.arange(n) for a, n in enumerate(grid.shape)), indexing="ij"), -1
    )
    shown = field.views.shown(field.views.places(points.reshape(-1, 3))).reshape(grid.shape)
    assert 0 < shown.mean() < 1
    np.testing.assert_array_equal(volume.labels != NOT_SEEN_LABEL, shown)
    np.testing.assert_array_equal(volume.values_hu == NO_HU, ~shown)


def test_a_grid_outside_both_beams_and_one_too_large_are_refused(field):
    with pytest.raises(InputError, match="no voxel is seen"):
        field.on_grid(VoxelGrid(np.array([0.0, 0, 900]), 2.0, (4, 4, 4)))
    with pytest.raises(InputError, match="GB of memory"):
        field.on_grid(VoxelGrid(np.zeros(3), 0.01, (200_000, 200_000, 200_000)))


def test_the_box_is_about_what_is_lumbar(field):
    grid = lumbar_box(field, 2.0, margin_mm=15.0)
    low = grid.origin_mm - 1
    high = low + 2.0 * np.array(grid.shape)
    assert ((CENTRE_MM - RADIUS_MM - 15 - low) > -8).all() and ((CENTRE_MM - RADIUS_MM - 15 - low) < 16).all()
    assert ((high - CENTRE_MM - RADIUS_MM - 15) > -8).all() and ((high - CENTRE_MM - RADIUS_MM - 15) < 16).all()


def test_without_lumbar_vertebrae_there_is_no_box():
    seen = views()
    with pytest.raises(NothingUsableError, match="no lumbar vertebra"):
        lumbar_box(StudyField(Ball(seen.middle_mm, radius_mm=5.0), seen, bfloat16=False), 2.0)


def test_a_named_box_is_taken_as_it_is():
    grid = given_box([-10, -20, -30, 10, 20, 30], 2.0)
    assert grid.shape == (10, 20, 30) and grid.origin_mm.tolist() == [-9, -19, -29]
    for box in ([0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, float("nan")]):
        with pytest.raises(InputError, match="box"):
            given_box(box, 2.0)
