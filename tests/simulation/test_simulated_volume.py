import json
import shutil

import numpy as np
import pytest

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.mesh.voxels import occupancy
from lumbar_ext.simulation.parameter_file import parameters_document, read_parameters
from lumbar_ext.simulation.simulated_volume import recorded_spec, simulated_volume, write_simulated_volumes
from lumbar_ext.studies.study_folder import StudyFolder
from lumbar_ext.studies.truth_volume import read_truth_volume
from lumbar_ext.transforms.tissue import TISSUE_LABELS


@pytest.fixture(scope="module")
def volume(true_study, real_population):
    return simulated_volume(real_population, true_study.folder, read_parameters("plain"))


def test_labels_of_vertebrae_are_those_of_the_study_s_own_meshes(volume, true_study):
    for level, solid in zip(LEVELS, true_study.vertebrae, strict=True):
        true, found = occupancy(solid, volume.grid), volume.labels == TISSUE_LABELS[level]
        assert 2 * (true & found).sum() / (true.sum() + found.sum()) > 0.995


def test_ct_numbers_are_those_of_the_tissues(volume, true_study):
    bones = StudyFolder(true_study.folder).truth.read_meta()["bones"]
    for index, level in enumerate(LEVELS):
        inside = volume.values_hu[volume.labels == TISSUE_LABELS[level]]
        assert np.median(inside) == pytest.approx(bones["trabecular_hu"][index + 1], abs=60)
        assert inside.max() > 700  # the shell
    assert (volume.values_hu[volume.labels == TISSUE_LABELS["air"]] < -399).all()
    soft = volume.values_hu[volume.labels == TISSUE_LABELS["soft_tissue"]]
    assert -150 < np.percentile(soft, 5) and np.percentile(soft, 90) < 120
    assert {"other_bone", "sacrum"} <= {n for n, v in TISSUE_LABELS.items() if (volume.labels == v).any()}


def test_the_command_writes_what_is_missing_and_leaves_what_is_there(true_study, tmp_path, capsys):
    shutil.copytree(true_study.folder, tmp_path / "study")
    (tmp_path / "parameters.json").write_text(json.dumps(parameters_document(read_parameters("plain"))))
    write_simulated_volumes(str(tmp_path))
    truth = StudyFolder(tmp_path / "study").truth
    written = truth.labels.stat().st_mtime_ns
    assert read_truth_volume(truth).values_hu.std() > 100
    write_simulated_volumes(str(tmp_path))
    assert truth.labels.stat().st_mtime_ns == written
    assert "0 volumes written, 1 found" in capsys.readouterr().out


def test_a_study_of_another_person_or_of_none_is_refused(true_study, tmp_path, real_population):
    folder = tmp_path / "study"
    shutil.copytree(true_study.folder, folder)
    files = StudyFolder(folder)
    meta = files.truth.read_meta()
    files.truth.meta.write_text(json.dumps({**meta, "seed": meta["seed"] + 1, "person_seed": meta["seed"] + 1}))
    with pytest.raises(InputError, match="differs by"):
        simulated_volume(real_population, folder, read_parameters("plain"))
    files.truth.meta.write_text(json.dumps({**meta, "pathology": {"kind": "slip", "level": "L4", "amount": 99.0}}))
    with pytest.raises(InputError, match="no choice of pathology"):
        recorded_spec(files, read_parameters("plain"))
    files.truth.meta.write_text("{}")
    with pytest.raises(InputError, match="no simulated person"):
        recorded_spec(files, read_parameters("plain"))
