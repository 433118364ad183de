"""Studies through the stages of an evaluation: the same report from one process and from two."""

import sys

import cloudpickle
import numpy as np
import pytest
from torch import nn

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.evaluation.evaluated_studies import StudyStages, evaluate_studies
from lumbar_ext.evaluation.surfaces.measured_study import MeasureSurfaceErrors, SurfaceReport
from lumbar_ext.evaluation.surfaces.surface_error import CONTACT_FIELDS
from lumbar_ext.mesh.files import write_stl
from tests.evaluation.surfaces.test_measured_study import BALL, MODEL

METHODS = ("ours",)


class BallModel(nn.Module):
    """In place of a shape model; says whether it is asked as an evaluator asks."""

    def forward(self):
        return not self.training


class Found:
    """What a registration gives of a study: balls a bit off, by a distance that its name says; one has none at all."""

    def __init__(self, offset_mm):
        vertices_mm = BALL.vertices + np.array([offset_mm, 0, 0])
        fit = type("Fit", (), {"vertices_mm": vertices_mm, "warnings": (), **dict.fromkeys(CONTACT_FIELDS, 0)})()
        self.vertebrae, self.seconds = dict.fromkeys(LEVELS, fit), 1.0


def observe(item):
    return {**item, "failure": "nothing found"} if item["output_dir"] == "out/2" else {**item, "offset_mm": 0.1}


def prepare(study):
    return study.get("offset_mm"), None, (), {"more_mm": float(study["output_dir"][-1])}


def find(offset_mm, network, more_mm):
    assert network(), "not in evaluation mode"
    return dict.fromkeys(METHODS, offset_mm and Found(offset_mm + more_mm))


# The processes know no tests.
for module in (sys.modules[__name__], sys.modules[BallModel.__module__]):
    cloudpickle.register_pickle_by_value(module)


@pytest.fixture
def items(tmp_path):
    """Three studies whose truth are five balls."""
    found = []
    for name in "123":
        truth = tmp_path / name / "truth"
        truth.mkdir(parents=True)
        for level in LEVELS:
            write_stl(truth / f"{level}.stl", np.asarray(BALL.vertices), np.asarray(BALL.faces))
        found.append({"truth_dir": str(truth), "inputs": "truth", "output_dir": f"out/{name}"})
    return found


class NoOverlays(SurfaceReport):
    """A report of studies without radiographs."""

    def _draw_overlays(self, *_):
        pass


def test_two_processes_report_what_one_reports(items, tmp_path, capsys):
    stages = StudyStages(observe, prepare, find, BallModel(), MeasureSurfaceErrors(MODEL))
    for workers in (1, 2):
        evaluate_studies(stages, items, NoOverlays(tmp_path / f"by {workers}", MODEL), workers)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / f"by {workers}").iterdir()} for workers in (1, 2))
    assert one == two and {"surface_errors.csv", "tables.md", "error_distribution_truth_ours.png"} == one.keys()
    rows = one["surface_errors.csv"].decode().splitlines()
    assert len(rows) == 1 + 3 * len(METHODS) * len(LEVELS)
    assert capsys.readouterr().err.count("nothing found; the vertebrae of 2 count as missing") == 2
