"""Studies of people with four or six lumbar vertebrae, through files and readers."""

import json

import numpy as np
import pytest

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.truth import true_surfaces
from lumbar_ext.io.json_document import check_document
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.simulation.parameter_file import read_parameters
from lumbar_ext.simulation.simulated_study import simulate_study
from lumbar_ext.simulation.study_files import write_study
from lumbar_ext.simulation.study_spec import StudySpec
from lumbar_ext.training.view_records import read_view


@pytest.fixture(scope="module", params=["sacralised", "lumbarised"])
def written(request, real_population, tmp_path_factory):
    study = simulate_study(
        real_population, StudySpec(3, size_px=256, pathology=request.param, parameters=read_parameters("plain"))
    )
    folder = tmp_path_factory.mktemp(request.param) / "study"
    write_study(study, folder)
    return request.param, study, folder


def test_files_name_the_vertebrae_there_are(written):
    kind, study, folder = written
    expected = ["L1", "L2", "L3", "L4"] + ([] if kind == "sacralised" else ["L5", "L6"])
    document = json.loads((folder / "truth" / "landmarks.json").read_text())
    check_document(document, "landmarks.schema.json")
    assert list(document["vertebrae"]) == list(study.truth.levels) == expected
    assert sorted(path.stem for path in (folder / "truth").glob("*.stl")) == expected
    meta = json.loads((folder / "truth" / "meta.json").read_text())
    assert meta["pathology"] == {"kind": kind, "level": None, "amount": 0.0}
    assert list(meta["posture"]["world_from_vertebra"]) == expected


def test_readers_of_five_levels_cope(written):
    kind, _, folder = written
    position = read_landmarks(folder / "truth" / "landmarks.json").positions_mm
    assert np.isfinite(position[:4]).all()
    assert np.isfinite(position[4]).all() == (kind == "lumbarised")
    assert list(true_surfaces(folder / "truth")) == ["L1", "L2", "L3", "L4"] + ([] if kind == "sacralised" else ["L5"])
    record = read_view(folder, "lat")
    assert record.present.tolist() == [True] * 4 + [kind == "lumbarised"]


def test_the_decomposition_shows_the_free_vertebrae_only(written):
    kind, study, _ = written
    for view in VIEWS:
        landmarks = study.truth.landmarks_mm
        if kind == "lumbarised":
            landmarks = study.truth.other_landmarks_mm["L6"][None]
        centres = study.truth.geometry[view].project(
            np.nanmean(landmarks[..., :2, :], axis=-2)[-1 if kind == "lumbarised" else 3]
        )
        u, v = np.rint(centres).astype(int)
        assert study.truth.decomposition[view][v, u] > 0.3


def test_a_folder_without_meshes_is_refused(tmp_path):
    with pytest.raises(InputError, match="--meshes true"):
        true_surfaces(tmp_path)
