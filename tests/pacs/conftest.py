"""A real archive: Orthanc with its DICOMweb plugin, on loopback, with its own folder and password."""

import json
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image
from pydicom.uid import generate_uid

from lumbar_ext.bundle_paths import RECONSTRUCTION, bundle_dir
from lumbar_ext.pacs.archive import PASSWORD, USER, Archive
from tests.radiographs.conftest import _write_dicom

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
SAMPLE = bundle_dir(RECONSTRUCTION) / "sample"
NAME, PATIENT = "Zyxwv^Qponm", "PAT-4711-0815"


@dataclass
class Orthanc:
    """An archive that can be stopped and started again."""

    folder: Path
    port: int
    process: subprocess.Popen | None = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/dicom-web"

    def start(self):
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(["Orthanc", str(self.folder / "orthanc.json")], stdout=log, stderr=log)
        for _ in range(600):
            try:
                requests.get(
                    f"http://127.0.0.1:{self.port}/system", auth=("lumbar", "secret"), timeout=5
                ).raise_for_status()
                return
            except requests.RequestException:
                assert self.process.poll() is None, (self.folder / "log.txt").read_text()[-2000:]
                time.sleep(0.1)
        raise AssertionError("Orthanc did not start")

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def send(self, *paths):
        for path in paths:
            answer = requests.post(
                f"http://127.0.0.1:{self.port}/instances", data=path.read_bytes(), auth=("lumbar", "secret"), timeout=60
            )
            answer.raise_for_status()


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory):
    if shutil.which("Orthanc") is None or not PLUGIN.is_file():
        pytest.skip("needs Debian's orthanc and orthanc-dicomweb: apt-get install orthanc orthanc-dicomweb")
    folder = tmp_path_factory.mktemp("orthanc")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "orthanc.json").write_text(
        json.dumps(
            {
                "StorageDirectory": str(folder / "storage"),
                "IndexDirectory": str(folder / "storage"),
                "HttpPort": port,
                "DicomServerEnabled": False,
                "RemoteAccessAllowed": False,
                "AuthenticationEnabled": True,
                "RegisteredUsers": {"lumbar": "secret"},
                "Plugins": [str(PLUGIN)],
                "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            }
        )
    )
    archive = Orthanc(folder, port)
    archive.start()
    yield archive
    archive.stop()


@pytest.fixture
def archive(orthanc, monkeypatch):
    monkeypatch.setenv(USER, "lumbar")
    monkeypatch.setenv(PASSWORD, "secret")
    return Archive(orthanc.url)


@pytest.fixture
def send_study(orthanc, tmp_path):
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
