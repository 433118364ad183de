"""A real server on a folder of studies; only `make test-label` runs these tests, in an environment of their own."""

import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

pytest.importorskip("monailabel", reason="needs the extra [label], see docs/label.md")

from monailabel.client.client import MONAILabelClient

from tests.radiographs.dicom_study import SAMPLE, write_image

START_SECONDS = 900


@dataclass(frozen=True)
class Server:
    """A running server.

    Args:
        url: where it listens.
        studies: its studies folder.
        client: MONAI Label's own client.
        process: the process.
        log: the file with its output.
    """

    url: str
    studies: Path
    client: MONAILabelClient
    process: subprocess.Popen
    log: Path


@pytest.fixture(scope="package")
def server(tmp_path_factory):
    """A server whose folder holds the sample study as PNG (case1) and its AP view as DICOM (film)."""
    folder = tmp_path_factory.mktemp("server")
    studies = folder / "studies"
    write_studies(studies)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "lumbar_ext.label", "--studies", str(studies), "--port", str(port)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=folder)
    url = f"http://127.0.0.1:{port}"
    answers = folder / "answers"
    answers.mkdir()
    try:
        wait_for(url, process, folder / "log.txt")
        yield Server(url, studies, MONAILabelClient(url, tmpdir=str(answers)), process, folder / "log.txt")
    finally:
        process.terminate()
        process.wait(60)


def write_studies(folder: Path) -> None:
    """Pairs, their calibration and a DICOM file."""
    folder.mkdir()
    for view in ("ap", "lat"):
        shutil.copy(SAMPLE / f"{view}.png", folder / f"case1_{view}.png")
    shutil.copy(SAMPLE / "calibration.json", folder / "case1_calibration.json")
    pixels = np.asarray(Image.open(SAMPLE / "ap.png"))
    write_image(folder / "film.dcm", pixels, {"SeriesDescription": "L-Spine a.p."})


def wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    """Until the server answers."""
    for _ in range(START_SECONDS):
        assert process.poll() is None, log.read_text()
        try:
            requests.get(f"{url}/info/", timeout=60)
            return
        except requests.ConnectionError:
            time.sleep(1)
    raise AssertionError(log.read_text())
