"""Slices of a volume of balls whose meshes are known: the outlines lie on their edges, and only the own volume is taken."""

import json

import numpy as np
import pytest
import trimesh

from lumbar_ext.errors import InputError
from lumbar_ext.io.provenance import provenance
from lumbar_ext.io.volume import Volume, write_volume
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.mesh.voxels import VoxelGrid
from lumbar_ext.report.overlay import LEVEL_COLOURS
from lumbar_ext.report.volume_slices import WINDOW_HU, read_own_volume, slices_with_outlines

CENTRES_MM = {"L3": np.array([20.0, 0, 30]), "L4": np.array([0.0, 5, -30])}
RADIUS_MM = 18.0
GRID = VoxelGrid(np.array([-40.0, -45, -60]), 2.0, (46, 41, 61))


@pytest.fixture(scope="module")
def balls():
    sphere = trimesh.creation.icosphere(4, RADIUS_MM)
    meshes = {level: Surface(sphere.vertices + centre, sphere.faces) for level, centre in CENTRES_MM.items()}
    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in GRID.shape), indexing="ij"), -1)
    points = GRID.origin_mm + GRID.voxel_mm * voxels
    inside = np.any([np.linalg.norm(points - c, axis=-1) < RADIUS_MM for c in CENTRES_MM.values()], axis=0)
    return Volume(np.where(inside, WINDOW_HU[1], WINDOW_HU[0]).astype(np.int16), GRID.world_from_voxel), meshes


def test_outlines_lie_on_the_edges_of_what_the_volume_shows(balls):
    volume, meshes = balls
    for caption, picture in slices_with_outlines(volume, meshes):
        grey = picture.astype(float).mean(axis=-1)
        for level, centre in CENTRES_MM.items():
            rows, columns = np.nonzero((picture == LEVEL_COLOURS[level]).all(axis=-1))
            pixel_mm = GRID.voxel_mm / 3
            middle = np.array([(rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2])
            distance = np.hypot(rows - middle[0], columns - middle[1]) * pixel_mm
            across = centre[1] if caption.startswith("Sagittal") else centre[0]
            place = np.median([c[1 if caption.startswith("Sagittal") else 0] for c in CENTRES_MM.values()])
            expected = np.sqrt(RADIUS_MM**2 - (across - place) ** 2)
            assert abs(distance.mean() - expected) < 1.5 and distance.std() < 1.0
            # bright within the outline, dark outside
            row, column = middle.astype(int)
            assert (
                grey[row, column] == 255
                and grey[row, min(column + int(1.3 * expected / pixel_mm), picture.shape[1] - 1)] == 0
            )
            assert middle[0] == pytest.approx((GRID.origin_mm[2] + 120 - centre[2]) / pixel_mm, abs=3), "head up"


def test_the_front_is_on_the_left_of_the_sagittal_slice(balls):
    (caption, sagittal), (_, coronal) = slices_with_outlines(*balls)
    assert caption.startswith("Sagittal")
    column = {level: np.nonzero((sagittal == LEVEL_COLOURS[level]).all(axis=-1))[1].mean() for level in CENTRES_MM}
    assert column["L3"] < column["L4"]  # L3 lies 20 mm in front
    column = {level: np.nonzero((coronal == LEVEL_COLOURS[level]).all(axis=-1))[1].mean() for level in CENTRES_MM}
    assert column["L3"] < column["L4"]  # L4 lies 5 mm to the left, which is right in the picture


@pytest.fixture
def results(tmp_path, balls):
    """The results of a volume of three files, and these."""
    inputs = {}
    for role in ("ap_image", "lat_image", "calibration"):
        inputs[role] = str(tmp_path / role)
        (tmp_path / role).write_text(role)
    folder = tmp_path / "volume"
    folder.mkdir()
    write_volume(folder / "volume.nii.gz", balls[0].values, GRID.world_from_voxel)
    (folder / "run.json").write_text(json.dumps(provenance(inputs=inputs, weights={}, parameters={})))
    return folder, inputs


def test_a_volume_of_the_same_files_is_read_as_it_was_written(results, balls):
    found = read_own_volume(*results)
    np.testing.assert_array_equal(found.values, balls[0].values)
    np.testing.assert_allclose(found.world_from_voxel, GRID.world_from_voxel, atol=1e-5)


def test_another_study_s_volume_is_refused(results, tmp_path):
    folder, inputs = results
    (tmp_path / "lat_image").write_text("another person")
    with pytest.raises(InputError, match="a volume of other files, its lat_image is not"):
        read_own_volume(folder, inputs)


def test_a_folder_without_a_volume_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"run\.json: found no list of inputs"):
        read_own_volume(tmp_path, {"ap_image": "x"})
