"""Bad input, dead disks, many requests at once and hostile clients: a clear answer, and the server stays up."""

import http.client
import json
import pickle
import resource
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests

from benchmarks.label_load import temporary_files
from tests.radiographs.dicom_study import SAMPLE, write_image


def infer(server, model="landmarks", image="case1_ap", params=None, **kwargs):
    data = {"params": json.dumps(params or {})}
    return requests.post(f"{server.url}/infer/{model}", params={"image": image}, data=data, timeout=600, **kwargs)


def put_label(server, content, image="case1_ap", tag="final", name="a.mrk.json"):
    files = {"label": (name, content)}
    return requests.put(f"{server.url}/datastore/label", params={"image": image, "tag": tag}, files=files, timeout=60)


def detail(response):
    return response.json()["detail"]


@pytest.fixture
def added(server):
    """A function that puts a file among the images and tells its name to the server; removed afterwards."""
    names = []

    def add(name, content):
        (server.studies / name).write_bytes(content)
        names.append(name)
        image = name.split(".")[0]
        for _ in range(100):
            if image in requests.get(f"{server.url}/datastore/?output=all", timeout=60).json()["objects"]:
                return image
        raise AssertionError(f"{name} was not noticed")

    yield add
    for name in names:
        (server.studies / name).unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def stays_up(server):
    yield
    assert server.process.poll() is None
    assert requests.get(f"{server.url}/info/", timeout=600).status_code == 200


@pytest.mark.parametrize("image", ["nothing", "/etc/passwd", "../case1_ap", "labels", "case1_calibration", "$1"])
def test_an_image_is_a_name_in_the_studies_folder_and_nothing_else(server, image):
    for answer in (infer(server, image=image), infer(server, params={"image": image})):
        assert answer.status_code == 400 and "not among the images of the studies folder" in detail(answer)


def test_an_existing_path_is_no_name_either(server):
    answer = infer(server, image=str(server.studies / "case1_ap.png"))
    assert answer.status_code == 400 and "not among the images" in detail(answer)


def test_images_are_not_taken_with_a_request(server):
    answer = infer(server, image="", files={"file": ("a.png", b"x")})
    assert answer.status_code == 400 and "not among the images" in detail(answer)


def test_a_link_out_of_the_folder_is_not_followed(server, added, tmp_path):
    shutil.copy(SAMPLE / "ap.png", tmp_path / "outside.png")
    image = added("inside_ap.png", b"")
    (server.studies / "inside_ap.png").unlink()
    (server.studies / "inside_ap.png").symlink_to(tmp_path / "outside.png")
    answer = infer(server, image=image)
    assert answer.status_code == 400 and "outside the studies folder" in detail(answer)
    url = f"{server.url}/datastore/image"
    assert requests.get(url, params={"image": image}, timeout=60).status_code == 404
    assert requests.delete(url, params={"id": image}, timeout=60).status_code == 400
    assert (tmp_path / "outside.png").is_file(), "what the link leads to is not removed"


@pytest.mark.parametrize("name", ["../case1_ap", "/etc/passwd", "..", "labels/final/case1_ap"])
def test_nothing_outside_is_read_or_removed_by_name(server, name):
    outside = server.studies.parent / "case1_ap.png"
    outside.write_bytes(b"not yours")
    image, label = f"{server.url}/datastore/image", f"{server.url}/datastore/label"
    answers = [
        requests.get(image, params={"image": name}, timeout=60),
        requests.get(label, params={"label": name, "tag": "final"}, timeout=60),
        requests.get(label, params={"label": "case1_ap", "tag": name}, timeout=60),
        requests.delete(image, params={"id": name}, timeout=60),
        requests.put(f"{image}/info", params={"image": name}, data={"info": "{}"}, timeout=60),
    ]
    assert all(400 <= answer.status_code < 500 for answer in answers), [answer.status_code for answer in answers]
    requests.delete(label, params={"id": "case1_ap", "tag": name}, timeout=60)
    assert outside.read_bytes() == b"not yours" and (server.studies / "case1_ap.png").is_file()


@pytest.mark.parametrize(
    "method, path",
    [
        ("POST", "/infer/wsi/landmarks?image=/etc/passwd"),
        ("POST", "/infer/wsi_v2/landmarks?image=/etc/passwd"),
        ("GET", "/proxy/dicom/../../etc/passwd"),
        ("GET", "/proxy/dicom/wado/studies"),
        ("PUT", "/session/"),
        ("POST", "/batch/infer/landmarks"),
        ("PUT", "/model/landmarks"),
        ("GET", "/model/landmarks"),
        ("GET", "/ohif/index.html"),
        ("POST", "/reload"),
        ("GET", "/logs/gpu"),
        ("GET", "/datastore/dataset"),
        ("GET", "/info/../ohif/index.html"),
    ],
)
def test_what_this_app_has_no_use_for_is_not_served(server, method, path):
    answer = requests.request(method, server.url + path, timeout=60)
    assert answer.status_code == 404 and "not served" in detail(answer)


@pytest.mark.parametrize(
    "model, params, message",
    [
        ("nothing", {}, "expected one of ['decomposition', 'landmarks', 'reconstruction']"),
        ("landmarks", {"view": "front"}, "view is 'front'"),
        ("landmarks", {"pixel_spacing_mm": "$__import__('os')"}, "expected a number from 0.01 to 5"),
        ("reconstruction", {"partner": "case1_ap"}, "both show the ap view"),
        ("reconstruction", {"partner": "film"}, "both show the ap view"),
        ("reconstruction", {"partner": "/etc/passwd"}, "not among the images"),
        ("reconstruction", {"calibration": {"views": {}}}, "lacks 'ap'"),
        ("reconstruction", {"calibration": "no json"}, "not valid JSON"),
    ],
)
def test_wrong_parameters_are_said(server, model, params, message):
    answer = infer(server, model=model, params=params)
    assert answer.status_code == 400 and message in detail(answer)


@pytest.mark.parametrize(
    "params, message", [("{", "not valid JSON"), ("5", "no JSON object"), ("[]", "no JSON object")]
)
def test_parameters_that_are_no_json_object_are_said(server, params, message):
    url = f"{server.url}/infer/landmarks?image=case1_ap"
    answer = requests.post(url, data={"params": params}, timeout=60)
    assert answer.status_code == 400 and message in detail(answer)


def test_training_asked_for_at_once_says_what_is_wrong_at_once(server):
    url = f"{server.url}/train/landmarks?run_sync=true"
    answer = requests.post(url, json={"max_epochs": "$exit()"}, timeout=60)
    assert answer.status_code == 400 and "expected a number from 1 to 1000" in detail(answer)


def test_one_view_alone_and_no_calibration_are_said(server, added):
    content = (SAMPLE / "ap.png").read_bytes()
    image = added("single_ap.png", content)
    assert "no pixel spacing" in detail(infer(server, image=image))
    assert infer(server, image=image, params={"pixel_spacing_mm": 0.417}).status_code == 200
    assert "'single_lat': not among the images" in detail(infer(server, model="reconstruction", image=image))
    added("single_lat.png", (SAMPLE / "lat.png").read_bytes())
    assert "no calibration" in detail(infer(server, model="reconstruction", image=image))


def test_a_third_view_under_the_same_name_is_said(server, added):
    image = added("triple_ap.png", (SAMPLE / "ap.png").read_bytes())
    added("triple_lat.png", (SAMPLE / "lat.png").read_bytes())
    (server.studies / "triple_lat.dcm").write_bytes((server.studies / "film.dcm").read_bytes())
    try:
        answer = infer(server, model="reconstruction", image=image)
    finally:
        (server.studies / "triple_lat.dcm").unlink()
    assert answer.status_code == 400
    assert "there are 2 of that name (triple_lat.dcm, triple_lat.png), expected one" in detail(answer)


def test_radiographs_of_two_patients_are_refused(server, added, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 4096, (60, 50))
    for view, patient in (("ap", "A-7"), ("lat", "B-8")):
        path = write_image(tmp_path / f"mixed_{view}.dcm", pixels, {"PatientID": patient})
        added(path.name, path.read_bytes())
    answer = infer(server, model="reconstruction", image="mixed_ap")
    assert answer.status_code == 400 and "radiographs of 2 patients" in detail(answer)
    assert "A-7" not in detail(answer), "answers and logs name no patient"


@pytest.mark.parametrize("name", ["broken_png_ap.png", "broken_dicom_ap.dcm", "broken_nifti_ap.nii.gz"])
def test_corrupt_images_are_said_and_left_out_of_active_learning(server, added, name):
    image = added(name, b"\x89PNG\r\n\x1a\n" + b"\0" * 200 if name.endswith("png") else b"\0" * 128 + b"DICMxx")
    answer = infer(server, image=image, params={"pixel_spacing_mm": 0.4})
    assert answer.status_code == 400 and name in detail(answer)
    pair = infer(server, model="reconstruction", image=image, params={"partner": "case1_lat"})
    assert pair.status_code == 400 and len(detail(pair)) > 10
    assert requests.post(f"{server.url}/activelearning/uncertainty", json={}, timeout=600).json().get("id") != image


@pytest.mark.parametrize("tag", ["../../out", "/tmp/lumbar_ext-out", "..", "a/b", ".hidden"])
def test_a_tag_is_no_path(server, tag):
    answer = put_label(server, b"{}", tag=tag)
    assert answer.status_code == 400 and "no path" in detail(answer)
    assert not (server.studies.parent / "out").exists() and not Path("/tmp/lumbar_ext-out").exists()


@pytest.mark.parametrize("image", ["../evil", "/tmp/lumbar_ext-evil", "a/b", ".hidden"])
def test_an_added_image_is_no_path(server, image):
    files = {"file": ("a.png", (SAMPLE / "ap.png").read_bytes())}
    answer = requests.put(f"{server.url}/datastore/image", params={"image": image}, files=files, timeout=60)
    assert answer.status_code == 400 and "no path" in detail(answer)


def test_images_are_added_once_and_of_known_types(server):
    put = f"{server.url}/datastore/image"
    answer = requests.put(put, params={"image": "x"}, files={"file": ("a.pkl", b"x")}, timeout=60)
    assert "expected a file of type" in detail(answer)
    png = {"file": ("a.png", (SAMPLE / "ap.png").read_bytes())}
    assert "already" in detail(requests.put(put, params={"image": "case1_ap"}, files=png, timeout=60))
    png = {"file": ("a.png", (SAMPLE / "ap.png").read_bytes())}
    assert requests.put(put, params={"image": "new_ap"}, files=png, timeout=60).json() == {"image": "new_ap"}
    assert requests.delete(put, params={"id": "new_ap"}, timeout=60).status_code == 200


def test_uploads_are_bounded_and_leave_nothing_behind(server):
    own = psutil.Process(server.process.pid)
    before = temporary_files(own)
    url = f"{server.url}/datastore/image"
    answer = requests.put(url, params={"image": "big"}, data=endless_form(), headers=MULTIPART, timeout=600)
    assert answer.status_code == 413 and "expected one radiograph" in detail(answer)
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    connection.putrequest("PUT", "/datastore/image?image=big")
    for name, value in {**MULTIPART, "Content-Length": str(2**40)}.items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 413, "by what is declared, before anything is sent"
    connection.close()
    for name, image in (("a.png", "case1_ap"), ("a.png", "../a"), ("a.exe", "b")):
        files = {"file": (name, bytes(5000))}
        assert requests.put(url, params={"image": image}, files=files, timeout=60).status_code == 400
    assert put_label(server, b"{}").status_code == 400
    assert infer(server, image="", files={"file": ("a.png", b"x")}).status_code == 400
    assert temporary_files(own) == before


MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}


def endless_form():
    """A file of 500 MiB whose size is not declared."""
    yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    for _ in range(500):
        yield bytes(2**20)


def test_a_calibration_that_is_a_link_out_of_the_folder_is_not_read(server, added, tmp_path):
    shutil.copy(SAMPLE / "calibration.json", tmp_path / "outside.json")
    for view in ("ap", "lat"):
        image = added(f"linked_{view}.png", (SAMPLE / f"{view}.png").read_bytes())
    link = server.studies / "linked_calibration.json"
    link.symlink_to(tmp_path / "outside.json")
    try:
        answer = infer(server, model="reconstruction", image=image)
    finally:
        link.unlink()
    assert answer.status_code == 400 and "leads out of the studies folder" in detail(answer)


def test_names_in_capitals_are_names(server, added):
    """The pair is found; that its calibration is missing is the first thing to say."""
    for name in ("LOUD_AP.PNG", "LOUD_LAT.png"):
        added(name, (SAMPLE / "ap.png").read_bytes())
    answer = infer(server, model="reconstruction", image="LOUD_AP")
    assert answer.status_code == 400 and "LOUD_AP: no calibration" in detail(answer)


@pytest.mark.parametrize("folder", ["/proc/self", "/", "/etc/lumbar_ext", "/dev/shm/../null"])
def test_odd_folders_are_refused(folder):
    command = [sys.executable, "-m", "lumbar_ext.label", "--studies", folder]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode != 0 and ended.stderr.startswith("error: ") and "not usable as studies" in ended.stderr


def test_ten_requests_at_once_are_all_answered(server):
    images = ["case1_ap", "case1_lat", "film"] * 3 + ["case1_ap"]
    with ThreadPoolExecutor(10) as pool:
        asked = [pool.submit(infer, server, image=image) for image in images]
        answers = [future.result() for future in asked]
    assert [answer.status_code for answer in answers] == [200] * 10
    same = [answer.content.split(b'"landmarks"')[1][:2000] for answer in answers if b"film" not in answer.content]
    assert same[0] == same[3] == same[6] == same[9]


@pytest.fixture
def label(server):
    """A good label of case1_ap, saved; its content."""
    url = f"{server.url}/infer/landmarks?image=case1_ap&output=image"
    content = requests.post(url, data={"params": "{}"}, timeout=600).content
    assert put_label(server, content).status_code == 200
    return content


def saved(server):
    return requests.get(
        f"{server.url}/datastore/label", params={"label": "case1_ap", "tag": "final"}, timeout=60
    ).content


@pytest.mark.parametrize(
    "content, name, image, message",
    [
        (b"", "a.mrk.json", "case1_ap", "label of 'case1_ap': an empty file, expected a markups file"),
        (b"{}", "a.mrk.json", "case1_ap", "no point list"),
        (pickle.dumps({"markups": []}), "a.mrk.json", "case1_ap", "not a text file, expected JSON"),
        (b"{}", "a.nii.gz", "case1_ap", "expected a markups file"),
        (b"{}", "a.mrk.json", "nothing", "not among the images"),
    ],
)
def test_a_bad_label_is_refused_and_the_good_one_stays(server, label, content, name, image, message):
    answer = put_label(server, content, image=image, name=name)
    assert answer.status_code == 400 and message in detail(answer)
    assert saved(server) == label


def test_a_full_disk_is_said_and_saved_labels_stay(server, label):
    """A limit on file sizes makes the server's writes fail half-way, as a full disk does."""
    process = psutil.Process(server.process.pid)
    index = (server.studies / "datastore_v2.json").read_bytes()
    before = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    try:
        for answer in (put_label(server, label), infer(server)):
            assert answer.status_code == 507 and "cannot read or write a file" in detail(answer)
    finally:
        process.rlimit(psutil.RLIMIT_FSIZE, before)
    assert saved(server) == label and (server.studies / "datastore_v2.json").read_bytes() == index
    assert put_label(server, label).status_code == 200


def test_a_dead_disk_is_said_and_the_server_recovers(server, label):
    final, aside = server.studies / "labels" / "final", server.studies / "labels" / "aside"
    final.rename(aside)
    final.symlink_to("/nonexistent/disk")
    try:
        answer = put_label(server, label)
        assert answer.status_code == 507 and "cannot read or write a file" in detail(answer)
        assert "507: the server cannot read or write a file" in server.log.read_text()
    finally:
        final.unlink()
        aside.rename(final)
    assert put_label(server, label).status_code == 200 and saved(server) == label


class Payload:
    """Runs a command where it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("/tmp/lumbar_ext-unpickled"),))


def test_weights_are_never_unpickled(server):
    Path("/tmp/lumbar_ext-unpickled").unlink(missing_ok=True)
    weights = server.studies / ".lumbar_ext" / "second_generation.pt"
    aside = weights.with_suffix(".aside")
    if weights.exists():
        weights.rename(aside)
    weights.write_bytes(pickle.dumps(Payload()))
    try:
        answer = infer(server)
        assert answer.status_code == 400 and "second_generation.pt: not the weights of LumbarSpineNet" in detail(answer)
    finally:
        weights.unlink()
        if aside.exists():
            aside.rename(weights)
    assert not Path("/tmp/lumbar_ext-unpickled").exists()


def test_pages_of_other_sites_get_nothing(server):
    answer = requests.get(f"{server.url}/info/", headers={"Host": "evil.example"}, timeout=60)
    assert answer.status_code == 400


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "null"])
def test_pages_of_other_sites_start_nothing(server, origin):
    """A browser sends such requests without asking first; what they start, they need not be able to read."""
    answer = requests.post(f"{server.url}/train/landmarks", headers={"Origin": origin}, timeout=60)
    assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers
    own = requests.get(f"{server.url}/info/", headers={"Origin": server.url}, timeout=60)
    assert own.status_code == 200


def test_a_made_up_host_header_leads_nowhere_else(server):
    host = f"{server.url.removeprefix('http://')}/info/?"
    answer = requests.get(f"{server.url}/ohif/index.html", headers={"Host": host}, timeout=60)
    assert answer.status_code in (400, 404), "refused, by whichever part of the server looks first"


def test_errors_are_in_the_log(server):
    infer(server, image="nothing_at_all")
    assert "400: image 'nothing_at_all': not among the images" in server.log.read_text()
