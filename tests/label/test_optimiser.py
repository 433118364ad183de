"""The reconstruction task with another registration, which a request names, in this process."""

from types import SimpleNamespace

import pytest

pytest.importorskip("monailabel", reason="needs the extra [label], see docs/label.md")

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


def test_another_word_is_refused_before_any_work(asked):
    with pytest.raises(InputError, match="optimiser is 'powell', expected one of gauss_newton, bobyqa, paper"):
        asked(optimiser="powell")
