"""Landmarks found by fitting the mean shape to a label, against those of the shape that was voxelised."""

import nibabel
import numpy as np
import pytest
import trimesh

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import euler_rotation
from lumbar_ext.shape.population.atlas import Atlas
from lumbar_ext.simulation.cohort import DEFAULT_ANATOMY
from lumbar_ext.simulation.ct.ct_labels import read_vertebrae

VOXEL_MM = 1.5
# The columns are the axes front, left, up of this world in RAS.
RAS_FROM_OURS = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])


@pytest.fixture(scope="module")
def voxelised(tmp_path_factory):
    """A label map of a scaled and turned mean L3, and its landmarks in this package's world."""
    atlas = Atlas.load(DEFAULT_ANATOMY)
    turn = euler_rotation(0.05, 0.15, -0.04)
    vertices = (atlas.means_mm[2] * 1.06) @ turn.T + [12.0, -7.0, 30.0]
    mesh = trimesh.Trimesh(vertices, atlas.reference.surface.triangles, process=False)
    grid = mesh.voxelized(VOXEL_MM).fill()
    affine = np.eye(4)
    affine[:3, :3] = RAS_FROM_OURS * VOXEL_MM
    affine[:3, 3] = RAS_FROM_OURS @ (grid.transform[:3, 3] - 4 * VOXEL_MM)
    path = tmp_path_factory.mktemp("labels") / "msk.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.pad(grid.matrix, 4).astype(np.uint8) * 22, affine), path)
    return path, atlas.reference.landmarks_mm(vertices)


def test_landmarks_are_found_on_a_label(voxelised):
    path, expected = voxelised
    found = read_vertebrae(path, anatomy=DEFAULT_ANATOMY)
    distance = np.linalg.norm(found.landmarks_mm[2] - expected, axis=-1)
    # The voxels that the surface touches count as bone: the label is half a voxel larger all around.
    assert distance[:2].max() < VOXEL_MM
    assert distance.max() < 2 * VOXEL_MM
    assert list(found.poses) == ["L3"]
    assert [solid is not None for solid in found.solids] == [level == "L3" for level in LEVELS]


def test_landmarks_beyond_the_end_of_the_image_are_unknown(voxelised, tmp_path):
    """The image ends within the left transverse process: its tip was not seen, the rest is where it was."""
    path, expected = voxelised
    whole = nibabel.load(path)
    labels = np.asanyarray(whole.dataobj)
    last = np.flatnonzero(labels.any(axis=(0, 2)))[-1]
    nibabel.save(nibabel.Nifti1Image(labels[:, : last - 7], whole.affine), tmp_path / "cut.nii.gz")
    found = read_vertebrae(tmp_path / "cut.nii.gz", anatomy=DEFAULT_ANATOMY)
    assert found.cut == ("L3",)
    known = np.isfinite(found.landmarks_mm[2]).all(-1)
    assert known.tolist() == [name != "left_transverse_process" for name in LANDMARKS]
    assert np.linalg.norm(found.landmarks_mm[2] - expected, axis=-1)[known].max() < 2 * VOXEL_MM


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "cannot be read as landmarks by level"),
        ('{"L9": {"spinous_process": [0, 0, 0]}}', "L9.spinous_process is unknown"),
        ('{"L3": {"spinous_process": [0, 0]}}', "expected three numbers"),
    ],
)
def test_bad_landmark_files_are_refused(voxelised, tmp_path, text, message):
    (tmp_path / "landmarks.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_vertebrae(voxelised[0], landmarks=tmp_path / "landmarks.json")
