"""Cohorts: names, resuming, and the contact sheet."""

import json

import numpy as np
import pytest
from PIL import Image

from lumbar_ext.errors import InputError
from lumbar_ext.simulation import cohort
from lumbar_ext.simulation.checks.contact_sheet import contact_sheet


@pytest.fixture(autouse=True)
def toy(monkeypatch, population):
    class Loader:
        @staticmethod
        def load(_):
            return population

    monkeypatch.setattr(cohort, "Population", Loader)


def write(path, **kwargs):
    cohort.write_cohort(str(path), **{"n": 2, "size_px": 96, "parameters": "plain", **kwargs})


def test_studies_are_named_by_split_and_seed(tmp_path):
    write(tmp_path, seed=41, split="validation")
    assert sorted(f.name for f in tmp_path.iterdir() if f.is_dir()) == ["validation-000041", "validation-000042"]


def test_a_cohort_is_resumed_where_it_stopped(tmp_path):
    write(tmp_path, n=1)
    before = (tmp_path / "train-000000" / "ap.png").stat().st_mtime_ns
    broken = tmp_path / "train-000001"
    broken.mkdir()
    (broken / "ap.png").write_bytes(b"half a picture")
    write(tmp_path, n=2)
    assert (tmp_path / "train-000000" / "ap.png").stat().st_mtime_ns == before
    assert np.asarray(Image.open(broken / "ap.png")).shape == (96, 96)


def test_inverted_pictures_are_marked(tmp_path):
    write(tmp_path, n=1, inverted_share=1.0)
    meta = json.loads((tmp_path / "train-000000" / "truth" / "meta.json").read_text())
    assert meta["inverted"] == {"ap": True, "lat": True}


def test_parameters_come_from_a_file_and_are_kept(tmp_path):
    (tmp_path / "mine.json").write_text('{"beam": {"energy_bins": 2}}')
    write(tmp_path / "cohort", n=1, parameters=str(tmp_path / "mine.json"))
    kept = json.loads((tmp_path / "cohort" / "parameters.json").read_text())
    assert kept["beam"]["energy_bins"] == 2
    meta = json.loads((tmp_path / "cohort" / "train-000000" / "truth" / "meta.json").read_text())
    assert len(meta["exposure"]["ap"]["energies_kev"]) == 2


@pytest.mark.parametrize(("meshes", "expected"), [("false", 0), (True, 5)])
def test_meshes_are_written_on_demand(tmp_path, meshes, expected):
    write(tmp_path, n=1, meshes=meshes)
    assert len(list((tmp_path / "train-000000" / "truth").glob("*.stl"))) == expected


@pytest.mark.parametrize(
    "wrong",
    [{"split": "holdout"}, {"variation": "some"}, {"renderer": "gl"}, {"voxel_mm": 0.01}, {"pathology": "gout"}],
)
def test_an_unknown_choice_is_refused_by_name(tmp_path, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        write(tmp_path, **wrong)
    assert not any(tmp_path.iterdir())


def test_the_voxel_renderer_and_real_subjects_have_names_of_their_own(tmp_path):
    write(tmp_path, n=1, renderer="voxels", voxel_mm=2, split="test")
    write(tmp_path, n=1, split="test")
    kept = {
        name: json.loads((tmp_path / name / "truth" / "meta.json").read_text())["voxel_mm"]
        for name in ("test-voxels-000000", "test-000000")
    }
    assert kept == {"test-voxels-000000": 2, "test-000000": None}


def test_voxels_of_another_size_do_not_join_a_set(tmp_path):
    write(tmp_path, n=1, renderer="voxels", voxel_mm=2)
    with pytest.raises(InputError, match="voxel_mm"):
        write(tmp_path, n=1, renderer="voxels", voxel_mm=1.5)


def test_the_contact_sheet_holds_all_studies(tmp_path):
    write(tmp_path / "cohort")
    contact_sheet(str(tmp_path / "cohort"), str(tmp_path / "sheet.png"), columns=2, width_px=64)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (128, 128)
    assert all(sheet[v : v + 60, u : u + 60].std() > 0 for v in (0, 64) for u in (0, 64))


def test_an_empty_folder_has_no_contact_sheet(tmp_path):
    with pytest.raises(InputError, match="no complete study"):
        contact_sheet(str(tmp_path), str(tmp_path / "sheet.png"))
