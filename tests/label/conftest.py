"""A real server on a folder of studies; only `make test-label` runs these tests, in an environment of their own."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("monailabel", reason="needs the extra [label], see docs/label.md")

from monailabel.client.client import MONAILabelClient

from benchmarks.label_load import serving, write_sample_case
from tests.radiographs.dicom_study import SAMPLE, write_image


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
    (folder / "answers").mkdir()
    with serving(studies, folder / "log.txt") as (url, process):
        client = MONAILabelClient(url, tmpdir=str(folder / "answers"))
        yield Server(url, studies, client, process, folder / "log.txt")


def write_studies(folder: Path) -> None:
    """Pairs, their calibration and a DICOM file."""
    write_sample_case(folder)
    pixels = np.asarray(Image.open(SAMPLE / "ap.png"))
    write_image(folder / "film.dcm", pixels, {"SeriesDescription": "L-Spine a.p."})
