"""A real archive: Orthanc with its DICOMweb plugin, on loopback, with its own folder and password."""

import json
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
LOGIN = ("lumbar", "secret")


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
                requests.get(f"http://127.0.0.1:{self.port}/system", auth=LOGIN, timeout=5).raise_for_status()
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
                f"http://127.0.0.1:{self.port}/instances", data=path.read_bytes(), auth=LOGIN, timeout=60
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
                "RegisteredUsers": dict([LOGIN]),
                "Plugins": [str(PLUGIN)],
                "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            }
        )
    )
    archive = Orthanc(folder, port)
    archive.start()
    yield archive
    archive.stop()
