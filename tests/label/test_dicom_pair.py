"""A pair of DICOM files through the server's reconstruction."""

import shutil
import zipfile

import numpy as np
import pytest
import requests
from PIL import Image

from lumbar_ext.anatomy import LEVELS
from tests.radiographs.dicom_study import SAMPLE, write_image

DESCRIPTIONS = {"ap": "L-Spine a.p.", "lat": "L-Spine lateral"}


@pytest.fixture
def dicom_case(server):
    """The sample study as DICOM files among the server's images."""
    paths = [server.studies / f"dicom_{view}.dcm" for view in DESCRIPTIONS]
    for path, (view, description) in zip(paths, DESCRIPTIONS.items(), strict=True):
        write_image(path, np.asarray(Image.open(SAMPLE / f"{view}.png")), {"SeriesDescription": description})
    calibration = server.studies / "dicom_calibration.json"
    shutil.copy(SAMPLE / "calibration.json", calibration)
    for _ in range(200):
        known = requests.get(f"{server.url}/datastore/?output=all", timeout=60).json()["objects"]
        if {"dicom_ap", "dicom_lat"} <= set(known):
            break
    yield "dicom_ap"
    for path in (*paths, calibration):
        path.unlink()


def test_a_dicom_pair_becomes_meshes(server, dicom_case):
    file, document = server.client.infer("reconstruction", dicom_case, {"max_seconds": 3})
    assert document["levels"] == list(LEVELS) and document["missing_levels"] == []
    with zipfile.ZipFile(file) as archive:
        assert {f"{level}.stl" for level in LEVELS} | {"report.html"} <= set(archive.namelist())
        assert b"SIM-1" in archive.read("report.html"), "the person of the header is named"
