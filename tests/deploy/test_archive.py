"""The application on a real archive: a study is fetched from it, and the results are stored there."""

import logging
import os
import sys

import pytest

from lumbar_ext.deploy.__main__ import main
from lumbar_ext.pacs.archive import PASSWORD, USER
from tests.deploy.conftest import BUNDLES
from tests.pacs.conftest import NAME, PATIENT, SAMPLE, archive, orthanc, send_study  # noqa: F401, fixtures


@pytest.fixture
def deploy(run, tmp_path):
    """A function that runs the application on a study of an archive; the finished process."""
    (tmp_path / "rig").mkdir()
    (tmp_path / "rig" / "calibration.json").write_bytes((SAMPLE / "calibration.json").read_bytes())

    def start(url, study):
        command = ["-m", "lumbar_ext.deploy", "-i", "rig", "-m", BUNDLES, "-o", "out"]
        secret = {name: os.environ.get(name, "") for name in (USER, PASSWORD)}
        return run(*command, "--archive", url, "--study", study, cwd=tmp_path, env=secret)

    return start


def test_a_study_comes_from_the_archive_and_its_results_go_there_once(archive, send_study, deploy, tmp_path):  # noqa: F811
    study, other = send_study("20050203"), send_study("20050203")
    ended = deploy(archive.url, study)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert archive.has_results(study) and not archive.has_results(other)
    with archive._client() as client:
        stored = [data for data in client.retrieve_study(study) if data.Modality != "DX"]
    files = sorted((tmp_path / "out" / "dicom").glob("*.dcm"))
    assert len(stored) == len(files) >= 9
    assert {(data.StudyInstanceUID, data.PatientID, str(data.PatientName)) for data in stored} == {
        (study, PATIENT, NAME)
    }
    said = ended.stdout + ended.stderr
    assert f"stored: {len(files)} objects" in said
    assert NAME.split("^")[0] not in said and PATIENT not in said and "secret" not in said

    again = deploy(archive.url, study)
    assert again.returncode == 0 and "has results already" in again.stdout
    with archive._client() as client:
        assert len([data for data in client.retrieve_study(study) if data.Modality != "DX"]) == len(stored)


@pytest.mark.parametrize(
    "archive, study, message",
    [
        ("http://127.0.0.1:9/dicom-web", "1.2.3", "http://127.0.0.1:9/dicom-web: no answer"),
        ("http://127.0.0.1:9/dicom-web", "", "expected both, or neither"),
        ("", "1.2.3", "expected both, or neither"),
    ],
)
def test_an_archive_that_cannot_be_used_ends_in_one_line(archive, study, message, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setenv("LUMBAR_EXT_ARCHIVE", archive)
    monkeypatch.setenv("LUMBAR_EXT_STUDY", study)
    places = ["-i", str(tmp_path), "-m", str(BUNDLES), "-o", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["lumbar_ext.deploy", *places])
    # the SDK's handlers of earlier tests in this process write to streams that are closed since
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with pytest.raises(SystemExit) as ended:
        main()
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code == 2 and said.startswith("error: ") and message in said
    assert not (tmp_path / "out").exists()
