"""Study folders, read back with the package's own readers."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS, VIEWS
from lumbar_ext.geometry import BiplanarGeometry
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.mesh.files import read_mesh
from lumbar_ext.radiographs.nifti import read_nifti_image
from lumbar_ext.simulation.imaging.acquisition import misread
from lumbar_ext.simulation.parameter_file import read_parameters
from lumbar_ext.simulation.simulated_study import simulate_study
from lumbar_ext.simulation.study_files import is_complete, write_study
from lumbar_ext.simulation.study_spec import StudySpec
from lumbar_ext.studies.biplanar_study import read_study


@pytest.fixture(scope="module")
def study(population):
    return simulate_study(population, StudySpec(7, size_px=128, parameters=read_parameters("plain")))


@pytest.fixture(scope="module")
def folder(study, tmp_path_factory):
    path = tmp_path_factory.mktemp("studies") / "study"
    write_study(study, path)
    return path


def test_pictures_and_calibration_are_a_readable_study(study, folder):
    read = read_study(
        *(folder / f"{view}.png" for view in VIEWS),
        folder / "calibration.json",
        ap_polarity="bone_bright",
        lat_polarity="bone_bright",
    )
    for view in VIEWS:
        assert np.array_equal(read[view].pixels, study.pictures[view].pixels)
        assert np.allclose(read.geometry[view].projection_matrix(), study.geometry[view].projection_matrix())


def test_landmarks_are_projections_of_their_positions(study, folder):
    landmarks = read_landmarks(folder / "truth" / "landmarks.json")
    assert np.allclose(landmarks.positions_mm, study.truth.landmarks_mm, atol=1e-4)
    for view in VIEWS:
        projected = study.geometry[view].project(landmarks.positions_mm)
        assert np.allclose(landmarks.positions_px[view], projected, atol=1e-3)
        assert (landmarks.confidence[view] == 1).all()


def test_decompositions_keep_values_and_spacing(study, folder):
    for view in VIEWS:
        pixels, spacing = read_nifti_image(folder / "truth" / f"decomposition_{view}.nii.gz")
        assert np.array_equal(pixels, study.truth.decomposition[view])
        assert np.allclose(spacing, study.geometry[view].pixel_spacing_mm, rtol=1e-5)


def test_meshes_are_the_true_vertebrae(study, folder):
    for level, vertebra in zip(LEVELS, study.truth.vertebrae, strict=True):
        vertices, triangles = read_mesh(folder / "truth" / f"{level}.stl")
        assert np.allclose(vertices.max(0), vertebra.vertices_mm.max(0), atol=1e-3)
        assert len(triangles) == len(vertebra.triangles)


def test_meta_tells_where_the_study_came_from(study, folder):
    meta = json.loads((folder / "truth" / "meta.json").read_text())
    assert (meta["seed"], meta["split"], meta["base"]) == (7, "train", "toy")
    assert meta["posture"]["direction"] == study.truth.posture.direction
    assert meta["inverted"] == {"ap": False, "lat": False}
    assert meta["exposure"]["lat"]["scatter_ratio"] > 0


def test_meta_tells_by_how_much_the_calibration_is_off(study, tmp_path):
    off = {view: misread(study.truth.geometry[view], 4.0, -0.25) for view in VIEWS}
    write_study(replace(study, geometry=BiplanarGeometry(**off)), tmp_path / "study", meshes=False)
    meta = json.loads((tmp_path / "study" / "truth" / "meta.json").read_text())
    assert meta["lower_part_mm"] == {"ap": [0, 0], "lat": [0, 0]}
    for view in VIEWS:
        errors = meta["camera_errors"][view]
        assert (errors["distance_mm"], errors["spacing_percent"], errors["turn_deg"]) == (4.0, -0.25, 0.0)
        assert np.linalg.norm(errors["source_mm"]) == pytest.approx(4.0, abs=1e-4)


def test_a_failed_write_leaves_nothing_behind(study, tmp_path, monkeypatch):
    from lumbar_ext.simulation import study_files

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(study_files, "write_nifti_image", fail)
    with pytest.raises(OSError, match="disk full"):
        write_study(study, tmp_path / "study")
    assert list(tmp_path.iterdir()) == []
    assert not is_complete(tmp_path / "study")
