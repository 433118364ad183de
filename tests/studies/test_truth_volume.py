import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.io.volume import read_volume, write_volume
from lumbar_ext.mesh.surface import tube
from lumbar_ext.mesh.voxels import VoxelGrid
from lumbar_ext.studies.study_folder import TruthFolder
from lumbar_ext.studies.truth_volume import TRUTH_SHAPE, TRUTH_VOXEL_MM, TruthVolume, read_truth_volume, truth_grid
from lumbar_ext.transforms.tissue import NO_HU


def ring(height):
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    return np.stack([np.cos(angle) * 10 + 7, np.sin(angle) * 20 - 3, np.full(16, float(height))], -1)


def test_the_box_lies_about_the_vertebrae():
    grid = truth_grid([tube(np.stack([ring(z), ring(z + 20)])) for z in (0, 40)])
    middle = grid.origin_mm + (np.array(TRUTH_SHAPE) - 1) / 2 * TRUTH_VOXEL_MM
    np.testing.assert_allclose(middle, [7, -3, 30], atol=0.51)


def test_a_volume_comes_back_as_it_was_written(tmp_path):
    grid = VoxelGrid(np.array([-12.5, 3.0, 7.25]), 1.5, (4, 5, 6))
    rng = np.random.default_rng(0)
    values = rng.integers(-1000, 3000, grid.shape).astype(np.int16)
    values[0, 0, 0] = NO_HU
    TruthVolume(values, rng.integers(0, 255, grid.shape).astype(np.uint8), grid).write(TruthFolder(tmp_path))
    found = read_truth_volume(TruthFolder(tmp_path))
    np.testing.assert_array_equal(found.values_hu, values)
    np.testing.assert_allclose(found.grid.origin_mm, grid.origin_mm, atol=1e-5)
    assert found.grid.voxel_mm == 1.5 and found.labels.dtype == np.uint8
    # other software sees the voxel where it is: front, left and up from the world's origin
    np.testing.assert_allclose(
        read_volume(tmp_path / "volume.nii.gz").world_from_voxel, grid.world_from_voxel, atol=1e-5
    )


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    truth = TruthFolder(tmp_path)
    write_volume(truth.volume, np.zeros((4, 4, 4), np.int16), np.diag([1.5, 1.5, 1.5, 1.0]))
    with pytest.raises(InputError, match="labels"):
        read_truth_volume(truth)
    write_volume(truth.labels, np.zeros((4, 4, 5), np.uint8), np.diag([1.5, 1.5, 1.5, 1.0]))
    with pytest.raises(InputError, match="other voxels"):
        read_truth_volume(truth)
    for path, kind in ((truth.volume, np.int16), (truth.labels, np.uint8)):
        write_volume(path, np.zeros((4, 4, 4), kind), np.diag([1.5, 1.5, 2.0, 1.0]))
    with pytest.raises(InputError, match="cubic voxels"):
        read_truth_volume(truth)
