"""Studies in a real archive, and the client that the package has of it."""

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import generate_uid

from lumbar_ext.bundle_paths import RECONSTRUCTION, bundle_dir
from lumbar_ext.pacs.archive import PASSWORD, USER, Archive
from tests.pacs.orthanc import LOGIN, orthanc  # noqa: F401, a fixture
from tests.radiographs.conftest import _write_dicom

SAMPLE = bundle_dir(RECONSTRUCTION) / "sample"
NAME, PATIENT = "Zyxwv^Qponm", "PAT-4711-0815"


@pytest.fixture
def archive(orthanc, monkeypatch):  # noqa: F811
    monkeypatch.setenv(USER, LOGIN[0])
    monkeypatch.setenv(PASSWORD, LOGIN[1])
    return Archive(orthanc.url)


@pytest.fixture
def send_study(orthanc, tmp_path):  # noqa: F811
    """A function that sends the sample's radiographs as a new DICOM study and returns its UID."""

    def send(date="20260304", **tags):
        study = generate_uid()
        for view, position in (("ap", "AP"), ("lat", "LL")):
            stored = np.asarray(Image.open(SAMPLE / f"{view}.png")).astype(np.uint16)
            whose = {
                "PatientName": NAME,
                "PatientID": PATIENT,
                "StudyDate": date,
                "StudyTime": "101112",
                "AccessionNumber": "77",
            }
            uids = {"StudyInstanceUID": study, "SeriesInstanceUID": generate_uid(), "ViewPosition": position}
            path = _write_dicom(tmp_path / f"{view}-{study}.dcm", stored, **{**whose, **uids, "Modality": "DX", **tags})
            orthanc.send(path)
            path.unlink()
        return study

    return send
