"""The weights that are shipped, on the embedded sample: its vertebrae are where its truth says."""

import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS, VERSE_LABELS
from lumbar_ext.bundle_paths import MULTITASK, RECONSTRUCTION, bundle_dir
from lumbar_ext.mesh.files import read_mesh
from lumbar_ext.mesh.surface import Surface
from lumbar_ext.mesh.voxels import VoxelGrid, occupancy
from lumbar_ext.studies.biplanar_study import read_study
from lumbar_ext.volumes.study_field import StudyField
from lumbar_ext.volumes.volume_stages import found_landmarks
from lumbar_ext.workflow.network_bundle import load_bundle_network, load_locating_networks

VOXEL_MM = 3.0


@pytest.fixture(scope="module")
def sample():
    root = bundle_dir(RECONSTRUCTION)
    folder = root / "sample"
    study = read_study(folder / "ap.png", folder / "lat.png", folder / "calibration.json")
    meshes = {level: Surface(*read_mesh(folder / "truth" / f"{level}.stl")) for level in LEVELS}
    points = np.concatenate([mesh.vertices_mm for mesh in meshes.values()])
    grid = VoxelGrid.around(points.min(0) - 10, points.max(0) + 10, VOXEL_MM)
    network = load_bundle_network(root, root / "models" / "volume.pt", config="volume_inference.json")
    return study, meshes, grid, network


def overlaps(labels, meshes, grid):
    shares = []
    for level, mesh in meshes.items():
        found, true = labels == VERSE_LABELS[level], occupancy(mesh, grid)
        shares.append(2 * (found & true).sum() / (found.sum() + true.sum()))
    return np.array(shares)


def test_every_vertebra_of_the_sample_is_found_where_it_is(sample):
    study, meshes, grid, network = sample
    landmarks_mm = found_landmarks(*load_locating_networks(bundle_dir(MULTITASK)), study)
    labels = StudyField.of(network, study, landmarks_mm).on_grid(grid).labels
    assert overlaps(labels, meshes, grid).min() > 0.6


def test_without_landmarks_it_still_sees_bone(sample):
    """It was trained to answer without them, too; names are then less sure than bone."""
    study, meshes, grid, network = sample
    labels = StudyField.of(network, study).on_grid(grid).labels
    bone = np.isin(labels, [VERSE_LABELS[level] for level in LEVELS])
    true = np.any([occupancy(mesh, grid) for mesh in meshes.values()], axis=0)
    assert 2 * (bone & true).sum() / (bone.sum() + true.sum()) > 0.5
