"""The steps of an evaluation on made-up results."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh
from torch import nn

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.surfaces.measured_study import (
    Attempt,
    CompareRegistrations,
    MeasureSurfaceErrors,
    SurfaceReport,
    prepare_comparison,
)
from lumbar_ext.evaluation.surfaces.surface_error import CONTACT_FIELDS
from lumbar_ext.mesh.files import write_stl
from lumbar_ext.workflow.second_look import LookInput, SecondLook

BALL = trimesh.creation.icosphere(subdivisions=3, radius=20.0)
POINTS = np.array([[0, 0, 20], [0, 0, -20], [-5, 20, 0], [-5, -20, 0], [-2, 8, 2], [-2, -8, 2], [-20, 0, 0.0]])
MODEL = SimpleNamespace(
    mean=torch.tensor(np.stack([BALL.vertices] * 5), dtype=torch.float32),
    triangles=torch.tensor(BALL.faces),
    landmarks=lambda mean: torch.tensor(np.stack([POINTS] * 5)),
)


@pytest.fixture
def study(tmp_path):
    """A study of five equal balls, found 1 mm to the front by one method; L5 is missing; the other found nothing."""
    truth = tmp_path / "study_7" / "truth"
    truth.mkdir(parents=True)
    for level in LEVELS:
        write_stl(truth / f"{level}.stl", np.asarray(BALL.vertices), np.asarray(BALL.faces))
    fit = SimpleNamespace(
        vertices_mm=BALL.vertices + np.array([1.0, 0, 0]),
        warnings=("doubtful",),
        vertices_inside=7,
        vertices_deep=2,
        deepest_mm=0.8,
        crossing_triangles=3,
    )
    found = SimpleNamespace(vertebrae=dict.fromkeys(LEVELS[:4], fit), seconds=2.0)
    return {"pred": {"ours": found, "theirs": None}, "truth_dir": str(truth), "inputs": "radiographs"}


def test_all_levels_of_all_methods_are_measured(study):
    errors = MeasureSurfaceErrors(MODEL)(study)["surface_errors"]
    assert [(e.study, e.method, e.level) for e in errors] == [
        ("study_7", method, level) for method in ("ours", "theirs") for level in LEVELS
    ]
    assert errors[0].mean_mm == pytest.approx(0.5, abs=0.03) and errors[0].flagged and errors[0].seconds == 2
    assert [e.missing for e in errors] == [False] * 4 + [True] * 6
    assert [getattr(errors[0], field) for field in CONTACT_FIELDS] == [7, 2, 0.8, 3]
    assert all(np.isnan(getattr(errors[4], field)) for field in CONTACT_FIELDS)


def test_a_study_that_cannot_be_used_is_an_outcome():
    def fail(data):
        raise RuntimeError from InputError("no lumbar vertebra was found")

    observers = {"radiographs": fail, "truth": lambda data: {**data, "seen": data["read"] + 1}}
    attempt = Attempt(lambda data: {**data, "read": 0}, observers, dict)
    assert attempt({"inputs": "truth"})["seen"] == 1
    failed = attempt({"inputs": "radiographs"})
    assert failed["failure"] == "no lumbar vertebra was found" and prepare_comparison(failed) == (None, None)
    assert CompareRegistrations({"ours": None})(None, MODEL) == {"ours": None}


def test_a_registration_that_refuses_its_input_counts_as_not_found(monkeypatch, capsys):
    def refuse(*args, **kwargs):
        raise InputError("landmarks3d puts L1 outside the images")

    monkeypatch.setattr("lumbar_ext.evaluation.surfaces.measured_study.register", refuse)
    assert CompareRegistrations({"ours": None})(object(), MODEL) == {"ours": None}
    assert "outside the images" in capsys.readouterr().err


def test_second_looks_are_rows_of_their_own(monkeypatch):
    """Of radiographs alone; looks that ended early count with their last result."""
    monkeypatch.setattr("lumbar_ext.evaluation.surfaces.measured_study.register", lambda *args, **kwargs: "first")

    class TwoOfThree(SecondLook):
        def passes(self, inputs, model, config, first, max_seconds=None):
            yield from (first, "second", "third")

    compare = CompareRegistrations({"ours": None}, second_look=TwoOfThree(nn.Identity(), looks=3))
    looked = compare(LookInput("registration", {}), MODEL)
    assert looked == {"ours": "first", "ours, 1 look": "second", "ours, 2 looks": "third", "ours, 3 looks": "third"}
    assert compare("registration", MODEL) == {"ours": "first"}
    none = CompareRegistrations({"ours": None}, second_look=SecondLook(None, looks=0))
    assert none(LookInput("registration", {}), MODEL) == {"ours": "first"}


def test_other_errors_are_not_swallowed():
    def crash(data):
        raise KeyError("a defect")

    with pytest.raises(KeyError):
        Attempt(dict, {"radiographs": crash}, dict)({"inputs": "radiographs"})


def test_methods_are_chosen_by_name():
    assert list(CompareRegistrations({"ours": None, "theirs": None}, ["theirs"]).methods) == ["theirs"]
    with pytest.raises(InputError, match="expected some of ours, theirs, found outs"):
        CompareRegistrations({"ours": None, "theirs": None}, ["outs"])


def test_the_report_gathers_every_study(study, tmp_path, capsys):
    measured = MeasureSurfaceErrors(MODEL)({**study, "pred": {"theirs": None, "ours": study["pred"]["ours"]}})

    report = SurfaceReport(tmp_path / "new", MODEL)
    report.add({**measured, "meshes_mm": {}, "failure": "nothing found"})
    report.finish()
    rows = list(csv.DictReader((tmp_path / "new" / "surface_errors.csv").open()))
    assert len(rows) == 10 and rows[5]["method"] == "ours"
    assert (tmp_path / "new" / "error_distribution_radiographs_ours.png").is_file()
    printed = capsys.readouterr()
    assert "4 of 5" in printed.out and "0 of 5" in printed.out
    assert "nothing found; the vertebrae of " in printed.err and " count as missing" in printed.err
    assert (tmp_path / "new" / "tables.md").read_text() in printed.out
