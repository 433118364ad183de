"""The closest instance of a mesh that is one is itself, wherever it stands; the model's landmarks on it are its own."""

import numpy as np
import pytest
import torch

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.bundle_paths import RECONSTRUCTION, bundle_dir
from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.closest_instances import closest_meshes
from lumbar_ext.geometry import RigidTransform
from lumbar_ext.landmarks.study_landmarks import StudyLandmarks, write_landmarks
from lumbar_ext.mesh.files import write_stl
from lumbar_ext.shape.model.point_distribution import VertebraShapeModel
from lumbar_ext.studies.study_folder import TruthFolder


@pytest.fixture(scope="module")
def model():
    return VertebraShapeModel.load(bundle_dir(RECONSTRUCTION) / "models" / "model.pt", n_modes=6)


@pytest.fixture
def truth(model, tmp_path):
    """A person who is an instance of the model, turned and moved."""
    coefficients = torch.from_numpy(np.random.default_rng(0).uniform(-1.5, 1.5, (1, 5, 6)).astype(np.float32))
    pose = RigidTransform.from_euler(0.2, -0.3, 0.4, np.array([30.0, -20.0, 100.0]))
    vertices_mm = pose.apply(model(coefficients)[0].numpy().astype(float))
    folder = TruthFolder(tmp_path)
    for i, level in enumerate(LEVELS):
        write_stl(folder.mesh(level), vertices_mm[i], model.triangles.numpy())
    landmarks_mm = model.landmarks(torch.from_numpy(vertices_mm)).numpy()
    unknown = StudyLandmarks.unknown()
    write_landmarks(
        folder.landmarks, StudyLandmarks(landmarks_mm, unknown.positions_px, unknown.confidence, unknown.gap_mm)
    )
    return tmp_path


def test_an_instance_is_closest_to_itself(model, truth):
    true, renamed, closest = closest_meshes(truth, model)
    for level in LEVELS:
        assert np.abs(closest[level].vertices_mm - true[level].vertices_mm).max() < 0.01
        assert np.abs(renamed[level].landmarks_mm - true[level].landmarks_mm).max() < 0.01


def test_a_mesh_of_another_topology_is_refused(model, truth):
    write_stl(TruthFolder(truth).mesh("L3"), np.eye(4, 3) * 20, np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]))
    with pytest.raises(InputError, match=r"L3\.stl"):
        closest_meshes(truth, model)
