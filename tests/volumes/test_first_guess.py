"""Levels without landmarks begin from their labels in a volume, where there are such, and the run says so."""

import json
import subprocess
import sys

import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS, VERSE_LABELS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.io.provenance import provenance
from lumbar_ext.io.volume import Volume, write_volume
from lumbar_ext.landmarks.triangulated import Landmarks3D
from lumbar_ext.mesh.files import read_mesh
from lumbar_ext.mesh.surface import Surface, surface_distance_mm
from lumbar_ext.mesh.voxels import VoxelGrid, occupancy
from lumbar_ext.shape.model.level_shape import level_shapes
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.volumes.first_guess import GuessMissingLevels, laid_into_label
from lumbar_ext.workflow.edited_landmarks import EditedLandmarks
from tests.simulated_study import BUNDLE

VOXEL_MM = 1.5


def labelled(surfaces: dict[str, Surface]) -> Volume:
    """The labels of closed meshes, as a perfect field would give them."""
    points = np.concatenate([surface.vertices_mm for surface in surfaces.values()])
    first = points.min(0) - 15
    grid = VoxelGrid(first, VOXEL_MM, tuple(int(n) for n in (points.max(0) + 15 - first) / VOXEL_MM))
    values = np.zeros(grid.shape, np.float32)
    for level, surface in surfaces.items():
        values[occupancy(surface, grid)] = VERSE_LABELS[level]
    return Volume(values, grid.world_from_voxel)


@pytest.fixture(scope="module")
def third_level():
    return level_shapes(VertebraShapeModel.load(BUNDLE / "models" / "model.pt"))[2]


@pytest.mark.parametrize("seed", range(3))
def test_the_mean_shape_is_laid_where_its_label_is(third_level, seed):
    rng = np.random.default_rng(seed)
    pose = RigidTransform.from_euler(*np.radians(rng.uniform(-15, 15, 3)), rng.uniform(-50, 50, 3))
    posed = Surface(pose.apply(third_level.surface.mean_mm.astype(float)), third_level.surface.triangles)
    laid = laid_into_label(labelled({"L3": posed}), "L3", third_level, np.eye(3))
    off = laid.inverse() @ pose
    assert np.linalg.norm(off.translation_mm) < 0.5 and np.degrees(off.angle_rad()) < 1


def test_a_label_too_small_for_a_vertebra_is_none(third_level):
    chip = Surface(0.3 * third_level.surface.mean_mm.astype(float), third_level.surface.triangles)
    assert laid_into_label(labelled({"L3": chip}), "L3", third_level, np.eye(3)) is None
    assert laid_into_label(labelled({"L2": chip}), "L3", third_level, np.eye(3)) is None


@pytest.fixture(scope="module")
def volume_dir(true_study, tmp_path_factory):
    """What `lumbar-ext volume` would write with a perfect field."""
    folder = tmp_path_factory.mktemp("volume")
    labels = labelled(dict(zip(LEVELS, true_study.vertebrae, strict=True)))
    for file in ("volume.nii.gz", "labels.nii.gz"):
        write_volume(folder / file, labels.values.astype(np.int16), labels.world_from_voxel)
    inputs = {name: path for name, path in true_study.inputs("").items() if name != "output_dir"}
    (folder / "run.json").write_text(json.dumps(provenance(inputs=inputs, weights={}, parameters={})))
    return folder


def test_a_level_that_no_landmark_shows_is_reconstructed_from_its_label(reconstruct, true_study, volume_dir, tmp_path):
    given = {"hidden": ("L3",), "volume_dir": str(volume_dir)}
    reconstruct(true_study, tmp_path, guess_missing=True, **given)
    found = Surface(*read_mesh(tmp_path / "L3.stl"))
    assert surface_distance_mm(found, true_study.vertebrae[2]).mean() < 1.0
    said = json.loads((tmp_path / "run.json").read_text())
    assert any(text.startswith("L3 was not found in both views") for text in said["warnings"])
    assert said["parameters"]["guess_missing"] is True and said["missing_levels"] == []
    assert "begins from its label" in (tmp_path / "report.html").read_text()


def test_a_study_without_any_landmark_is_reconstructed_from_labels(reconstruct, true_study, volume_dir, tmp_path):
    reconstruct(
        true_study,
        tmp_path,
        hidden=LEVELS,
        volume_dir=str(volume_dir),
        guess_missing=True,
        max_seconds=2,
    )
    for level, truth in zip(LEVELS, true_study.vertebrae, strict=True):
        assert surface_distance_mm(Surface(*read_mesh(tmp_path / f"{level}.stl")), truth).mean() < 2.0


def test_nothing_changes_where_all_levels_were_found(true_study):
    landmarks = Landmarks3D(true_study.landmarks_mm, np.zeros((5, 7)), np.ones((5, 7)), np.ones(5, bool))
    found = EditedLandmarks(None, landmarks, np.zeros((5, 7), bool))
    labels = labelled(dict(zip(LEVELS, true_study.vertebrae, strict=True)))
    model = VertebraShapeModel.load(BUNDLE / "models" / "model.pt")
    assert GuessMissingLevels(model)(found, labels) == (found, ())


def test_a_guess_without_labels_is_refused(reconstruct, true_study, tmp_path):
    with pytest.raises(InputError, match=r"--guess_missing: .* expected --volume_dir"):
        reconstruct(true_study, tmp_path, guess_missing=True)


def test_a_reconstruction_is_imported_without_the_extra_that_surfaces_of_labels_need():
    """The Deploy application and the plain installation have no scikit-image."""
    code = "import sys; sys.modules['skimage'] = None; import lumbar_ext.volumes.first_guess"
    subprocess.run([sys.executable, "-c", code], check=True)
