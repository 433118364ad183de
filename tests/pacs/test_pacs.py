"""From a real archive and back into it."""

import json
import os
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import requests
import retrying

from lumbar_ext.batch.cohort_folder import CohortFolder
from lumbar_ext.batch.manifest import Study
from lumbar_ext.batch.study_outcome import Outcome, What, publish_outcome
from lumbar_ext.errors import InputError
from lumbar_ext.pacs import pacs_verb
from lumbar_ext.pacs.archive import Archive, ArchiveError
from tests.pacs.conftest import NAME, PATIENT, SAMPLE

QUICK = {"looks": 0, "max_seconds": 3, "write_pdf": False}


def stored(archive, study):
    """The objects that lie with a study beside its radiographs."""
    with archive._client() as client:
        return [data for data in client.retrieve_study(study) if data.Modality != "DX"]


def test_a_study_is_found_reconstructed_and_stored_once(archive, send_study, tmp_path, capfd):
    date = "20010203"
    study, other = send_study(date), send_study("19990101")
    options = {"filters": {"StudyDate": date}, "calibration": str(SAMPLE / "calibration.json"), "workers": 1, **QUICK}
    pacs_verb.pacs(archive.url, str(tmp_path / "out"), **options)
    objects = stored(archive, study)
    kinds = sorted(data.SOPClassUID.name for data in objects)
    assert (
        kinds
        == ["Comprehensive 3D SR Storage"] + ["Encapsulated STL Storage"] * 5 + ["Secondary Capture Image Storage"] * 2
    )
    assert {(data.StudyInstanceUID, data.PatientID, str(data.PatientName)) for data in objects} == {
        (study, PATIENT, NAME)
    }
    assert archive.has_results(study) and not archive.has_results(other) and stored(archive, other) == []

    # Again, here and from another machine: they are there.
    for folder in ("out", "elsewhere"):
        pacs_verb.pacs(archive.url, str(tmp_path / folder), **options)
    assert len(stored(archive, study)) == len(objects)
    said = "".join(capfd.readouterr())
    assert "1 were new, 1 of these have results" in said
    assert NAME.split("^")[0] not in said and PATIENT not in said and "secret" not in said


def test_what_fails_is_told_and_tried_once(archive, send_study, tmp_path, capfd):
    study = send_study("20020203", ViewPosition="AP")
    options = {"filters": {"StudyDate": "20020203"}, "workers": 1, **QUICK}
    for _ in range(2):
        pacs_verb.pacs(archive.url, str(tmp_path / "out"), **options)
    folder = CohortFolder(tmp_path / "out")
    outcome = folder.outcome(Study(study, {}))
    assert outcome.what == "bad input" and outcome.sentence
    assert "1 studies found, 1 were new, 0 of these" in capfd.readouterr().out
    assert stored(archive, study) == [] and NAME not in outcome.sentence and PATIENT not in outcome.sentence


def test_filters_and_credentials(archive, send_study, tmp_path):
    study = send_study("20030203")
    assert archive.studies({"StudyDate": "20030101-20031231"}) == [study]
    assert archive.studies({"StudyDate": "18000101"}) == []
    # Orthanc counts no pages for this filter: whoever asks on until a page is empty never ends.
    assert archive.studies({"StudyDate": "20030203", "ModalitiesInStudy": "DX"}) == [study]
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps({"user": "lumbar", "password": "wrong"}))
    with pytest.raises(InputError, match="permissions 600"):
        Archive(archive.url, str(file)).studies({})
    os.chmod(file, 0o600)
    with pytest.raises(InputError, match="refuses these credentials"):
        Archive(archive.url, str(file)).studies({})
    with pytest.raises(InputError, match="https only"):
        Archive("http://pacs.example.org/dicom-web", str(file)).studies({})


@pytest.fixture
def behind_tls(orthanc, tmp_path):
    """The address of a proxy in front of the archive, as hospitals have one, and its certificate.

    Debian's Orthanc 1.10 itself dies of https: a segmentation fault, with OpenSSL 3.
    """

    class Front(BaseHTTPRequestHandler):
        def do_GET(self):
            there = requests.get(f"{orthanc.url}{self.path}", headers=dict(self.headers), timeout=60)
            self.send_response(there.status_code)
            self.send_header("Content-Type", there.headers["Content-Type"])
            self.end_headers()
            self.wfile.write(there.content)

        def log_message(self, *_):
            pass

    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    told = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-keyout", key, "-out", certificate]
    subprocess.run([*made, *told], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Front) as front:
        front.socket = context.wrap_socket(front.socket, server_side=True)
        threading.Thread(target=front.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{front.server_port}", str(certificate)
        front.shutdown()


def test_a_certificate_is_verified(archive, behind_tls, send_study, monkeypatch):
    """By the bundle that is named, whatever the environment names; without one, by the system's."""
    url, certificate = behind_tls
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", requests.certs.where())
    # The client tries again for half a minute.
    monkeypatch.setattr(retrying, "time", SimpleNamespace(sleep=lambda _: None, time=lambda: 0.0))
    study, asked = send_study("20060203"), {"StudyDate": "20060203"}
    assert Archive(url, ca_bundle=certificate).studies(asked) == [study]
    refused = "its certificate cannot be verified; --ca_bundle names yours"
    with pytest.raises(InputError, match=f"{url}: {refused}"):
        Archive(url).studies(asked)
    with pytest.raises(InputError, match=r"gone\.pem: no such file"):
        Archive(url, ca_bundle="gone.pem").studies(asked)
    # Known, but of another machine.
    with pytest.raises(InputError, match=refused):
        Archive(url.replace("127.0.0.1", "localhost"), ca_bundle=certificate).studies(asked)


def test_an_archive_that_is_gone_is_asked_for_half_a_minute_and_is_no_answer(monkeypatch):
    waits = []
    clock = SimpleNamespace(sleep=waits.append, time=lambda: sum(waits))
    monkeypatch.setattr(retrying, "time", clock)
    with pytest.raises(ArchiveError, match="no answer"):
        Archive("http://127.0.0.1:9/dicom-web").studies({})
    assert len(waits) >= 3 and 15 <= sum(waits) <= 60


class _EnoughError(Exception):
    """Ends a watch."""


def test_a_watch_survives_the_restart_of_the_archive_and_takes_each_study_once(
    archive, orthanc, send_study, tmp_path, monkeypatch, capfd
):
    """Without reconstructions: what is handed on to them is counted."""
    given = []

    def run_studies(folder, studies, *_, **__):
        given.extend(study.name for study in studies)
        for study in studies:
            note_as_done(folder, study)

    passes = iter(
        [lambda: None, orthanc.stop, orthanc.start, lambda: sent.append(send_study("20040203")), lambda: None]
    )
    sent = [send_study("20040203")]

    def sleep(_seconds):
        step = next(passes, None)
        if step is None:
            raise _EnoughError
        step()

    monkeypatch.setattr(pacs_verb, "run_studies", run_studies)
    # Its own sleep alone: the client and the archive of the tests sleep, too.
    monkeypatch.setattr(pacs_verb, "time", SimpleNamespace(sleep=sleep))
    with pytest.raises(_EnoughError):
        pacs_verb.pacs(archive.url, str(tmp_path / "out"), filters={"StudyDate": "20040203"}, watch_seconds=1)
    assert given == sent and len(sent) == 2
    assert "looking again" in capfd.readouterr().err


def note_as_done(folder, study):
    publish_outcome(folder.study(study), Outcome(study.name, What.OK, "", (), "", {}))
