"""A person's session with the server, in order: look, label, train, look again."""

import json
import time
import zipfile

import itk
import numpy as np
import psutil
import pytest

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.io.input_file import sha256
from lumbar_ext.label.image_markups import read_markups
from lumbar_ext.label.image_space import ImageSpace
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from tests.radiographs.dicom_study import SAMPLE, SPACING_MM

SHIPPED = SAMPLE.parents[1] / "lumbar_multitask" / "models" / "model.pt"
TRAIN_SECONDS = 900


@pytest.fixture(scope="module")
def landmarks(server):
    """What the server first says of the AP radiograph as PNG: markups file and document."""
    return server.client.infer("landmarks", "case1_ap", {})


def trained(server, params):
    """Trains and waits for the end: the task's last status."""
    server.client.train_start("landmarks", params)
    for _ in range(TRAIN_SECONDS):
        status = server.client.train_status()
        if status["status"] not in ("SUBMITTED", "RUNNING"):
            return status
        time.sleep(1)
    raise AssertionError(status)


def test_it_serves_this_machine_alone(server):
    addresses = {c.laddr.ip for c in psutil.Process(server.process.pid).net_connections() if c.status == "LISTEN"}
    assert addresses == {"127.0.0.1"}


def test_info_lists_what_it_can_do(server):
    info = server.client.info()
    assert set(info["models"]) == {"landmarks", "decomposition", "reconstruction"}
    assert set(info["trainers"]) == {"landmarks"} and set(info["strategies"]) == {"uncertainty", "random"}
    assert info["datastore"]["total"] == 3


def test_landmarks_are_markups_of_all_levels(server, landmarks):
    file, document = landmarks
    assert file.endswith(".mrk.json") and document["levels"] == list(LEVELS) and document["view"] == "ap"
    assert document["weights"] == {"sha256": sha256(SHIPPED), "trained_here": False}
    pixels = read_markups(file, ImageSpace.of_file(server.studies / "case1_ap.png"))
    np.testing.assert_allclose(pixels[2, 6], document["landmarks"]["L3 spinous_process"]["pixel"], atol=0.01)
    assert (np.diff(pixels[:, 0, 1]) > 0).all(), "levels lie from the top down"


def test_a_dicom_file_gives_the_same_pixels_in_its_own_mm(server, landmarks):
    file, document = server.client.infer("landmarks", "film", {})
    assert document["view"] == "ap" and document["pixel_spacing_mm"] is None
    points = [json.loads(open(path).read())["markups"][0]["controlPoints"] for path in (landmarks[0], file)]
    as_png, as_dicom = (np.array([point["position"] for point in own]) for own in points)
    np.testing.assert_allclose(as_dicom, SPACING_MM * as_png, atol=0.01)


def test_the_decomposition_lies_on_the_radiograph(server):
    file, _ = server.client.infer("decomposition", "film", {})
    image, film = itk.imread(file), ImageSpace.of_file(server.studies / "film.dcm")
    assert tuple(itk.size(image)) == (1024, 1024, 1)
    np.testing.assert_allclose(list(itk.spacing(image))[:2], SPACING_MM, rtol=1e-6)
    np.testing.assert_allclose(list(itk.origin(image)), film.origin_mm, atol=1e-6)
    values = itk.array_from_image(image)
    assert 0 <= values.min() and 0.3 < values.max() < 1
    # it is bone where the landmarks of the same film have the vertebral bodies, and nothing beside the spine
    pixels = read_markups(server.client.infer("landmarks", "film", {})[0], film)
    centres = np.rint(pixels[:, :2].mean(axis=1)).astype(int)
    assert (values[0, centres[:, 1], centres[:, 0]] > 0.1).all()
    assert (values[0, centres[:, 1], centres[:, 0] - int(100 / SPACING_MM)] < 0.02).all()


def test_a_pair_becomes_meshes(server, landmarks):
    file, document = server.client.infer("reconstruction", "case1_lat", {"max_seconds": 3})
    assert document["levels"] == list(LEVELS)
    with zipfile.ZipFile(file) as archive:
        assert {f"{level}.stl" for level in LEVELS} <= set(archive.namelist())
        archive.extract("landmarks.json", server.studies.parent)
    # The same network saw the same radiograph, once laid by its camera, once as it is shown.
    seen = read_landmarks(server.studies.parent / "landmarks.json").positions_px["ap"]
    alone = read_markups(landmarks[0], ImageSpace.of_file(server.studies / "case1_ap.png"))
    np.testing.assert_allclose(seen, alone, atol=0.02)


def test_the_least_sure_radiograph_comes_next(server):
    confidence = {}
    for image in ("case1_ap", "case1_lat", "film"):
        found = server.client.infer("landmarks", image, {})[1]["landmarks"]
        confidence[image] = sum(landmark["confidence"] for landmark in found.values()) / 35
    chosen = server.client.next_sample("uncertainty", {})
    assert confidence[chosen["id"]] == min(confidence.values())
    assert chosen["uncertainty"] == pytest.approx(1 - min(confidence.values()), abs=1e-3)


def test_dragged_landmarks_are_saved_and_come_back(server, landmarks, tmp_path):
    document = json.loads(open(landmarks[0]).read())
    for point in document["markups"][0]["controlPoints"]:
        point["position"][1] += 12
    dragged = tmp_path / "dragged.mrk.json"
    dragged.write_text(json.dumps(document))
    assert server.client.save_label("case1_ap", str(dragged), "final", {})["label"] == "case1_ap"
    back = server.client.download_label("case1_ap", "final")
    assert json.loads(open(back).read()) == document
    assert server.client.info()["datastore"]["completed"] == 1
    assert server.client.next_sample("uncertainty", {})["id"] != "case1_ap"


def test_two_epochs_of_training_put_new_weights_in_use(server, landmarks):
    status = trained(server, {"max_epochs": 2, "batch_size": 1, "learning_rate": 3e-4})
    assert status["status"] == "DONE", status["details"]
    stats = server.client.info()["train_stats"]["landmarks"]
    assert (stats["views"], stats["epochs"], stats["weights_before"]) == (1, 2, sha256(SHIPPED))
    file, document = server.client.infer("landmarks", "case1_ap", {})
    assert document["weights"] == {"sha256": stats["weights"], "trained_here": True}
    assert stats["weights"] != stats["weights_before"]
    space = ImageSpace.of_file(server.studies / "case1_ap.png")
    before, after = read_markups(landmarks[0], space), read_markups(file, space)
    # The person had dragged every landmark 12 px down; two steps go part of that way.
    assert 1 < np.nanmedian(after[..., 1] - before[..., 1]) < 13
    assert not list((server.studies / ".lumbar_ext").glob(".training-*")), "nothing is left behind"


def test_labels_outlive_the_session(server):
    index = json.loads((server.studies / "datastore_v2.json").read_text())
    assert index["objects"]["case1_ap"]["labels"]["final"]["ext"] == ".mrk.json"
    assert (server.studies / "labels" / "final" / "case1_ap.mrk.json").is_file()


def test_training_refuses_parameters_that_would_be_evaluated(server):
    status = trained(server, {"max_epochs": "$open('/tmp/lumbar_ext-proof', 'w')"})
    assert status["status"] == "ERROR" and "expected a number from 1 to 1000" in " ".join(status["details"])
