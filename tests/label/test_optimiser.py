"""The reconstruction task with another registration, which a request names, in this process."""

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("monailabel", reason="needs the extra [label], see docs/label.md")

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.label.reconstruction_task import ReconstructionTask
from lumbar_ext.label.seen_radiograph import NetworkBundle
from tests.radiographs.dicom_study import SAMPLE

BUNDLES = SAMPLE.parents[1]


@pytest.fixture
def asked(tmp_path):
    """A function that asks for the sample with further parameters."""
    images = SimpleNamespace(
        folder=SAMPLE, partner=lambda image_id: "lat", image_path=lambda image_id: SAMPLE / "lat.png"
    )
    task = ReconstructionTask(NetworkBundle(BUNDLES, tmp_path), BUNDLES, images)
    request = {"image": str(SAMPLE / "ap.png"), "image_id": "sample_ap", "partner": "sample_lat", "max_seconds": 600}
    request["calibration"] = (SAMPLE / "calibration.json").read_text()
    return lambda **further: task({**request, **further})


def test_bobyqa_and_a_second_look_end_to_end(asked, quick_bobyqa):
    path, document = asked(optimiser="bobyqa")
    assert document["levels"] == list(LEVELS) and document["missing_levels"] == []
    with zipfile.ZipFile(path) as answer:
        run, registration = (json.loads(answer.read(f"{name}.json")) for name in ("run", "registration"))
        assert {f"{level}.stl" for level in LEVELS} | {"report.html"} <= set(answer.namelist())
    Path(path).unlink()
    assert "BobyqaBlocks" in run["parameters"]["registration"] and run["parameters"]["looks"] == 1
    assert len(registration["second_looks"]) == 1
    assert {len(own["shape_coefficients_sd"]) for own in registration["vertebrae"].values()} == {14}


def test_another_word_is_refused_before_any_work(asked):
    with pytest.raises(InputError, match="optimiser is 'powell', expected one of gauss_newton, bobyqa, paper"):
        asked(optimiser="powell")
