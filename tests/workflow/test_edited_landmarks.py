"""Edit and refit: landmarks dragged in a markups file move the vertebrae, an untouched file changes nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.anatomy import LANDMARKS, LEVELS, S1_LANDMARKS
from lumbar_ext.errors import InputError
from lumbar_ext.geometry.axes import lps_from_world, world_from_lps
from lumbar_ext.landmarks.markups import ANCHOR_NAMES, NAMES, write_points
from lumbar_ext.landmarks.sacral_endplate import TEMPLATE_MM
from lumbar_ext.landmarks.study_landmarks import read_landmarks
from lumbar_ext.landmarks.triangulated import triangulate_landmarks
from lumbar_ext.mesh.files import read_mesh
from lumbar_ext.studies.biplanar_study import read_study
from lumbar_ext.transforms.decode import DecodedView
from lumbar_ext.workflow.edited_landmarks import edited_landmarks, landmark_names
from lumbar_ext.workflow.observe import ObservedStudy, to_network_grids

L3 = LEVELS.index("L3")
MISLED_MM = (20.0, 20.0, 0.0)
DRAGGED = ("superior_endplate", "inferior_endplate", "left_pedicle", "right_pedicle")


@pytest.fixture(scope="module")
def misled(true_study, reconstruct, tmp_path_factory):
    """A study whose network sees the landmarks of L3 beside it, and what is reconstructed from it."""
    landmarks = true_study.landmarks_mm.copy()
    landmarks[L3] += MISLED_MM
    study = replace(true_study, landmarks_mm=landmarks)
    folder = tmp_path_factory.mktemp("misled")
    reconstruct(study, folder)
    return study, folder


def points_of(folder):
    return json.loads((folder / "landmarks.mrk.json").read_text())


def drag(document, level, names, landmarks_mm):
    """The document with points of a level moved to their true places."""
    for point in document["markups"][0]["controlPoints"]:
        own, landmark = point["label"].split(" ")
        if own == level and landmark in names:
            point["position"] = lps_from_world(landmarks_mm[LEVELS.index(own), LANDMARKS.index(landmark)]).tolist()
    return document


def saved(folder, document):
    path = folder / "edited.mrk.json"
    path.write_text(json.dumps(document))
    return str(path)


def centre_error_mm(folder, true_study, level):
    vertices, _ = read_mesh(folder / f"{level}.stl")
    return np.linalg.norm(vertices.mean(0) - true_study.vertebrae[LEVELS.index(level)].vertices_mm.mean(0))


def test_an_untouched_file_reproduces_the_result(true_study, reconstruct, reconstructed, tmp_path):
    reconstruct(true_study, tmp_path, landmarks=str(reconstructed / "landmarks.mrk.json"))
    for level in LEVELS:
        before, after = (read_mesh(folder / f"{level}.stl")[0] for folder in (reconstructed, tmp_path))
        np.testing.assert_array_equal(before, after)
    assert json.loads((tmp_path / "run.json").read_text())["landmarks_by_hand"] == []


def test_the_points_lie_where_the_landmarks_are(misled):
    _, folder = misled
    points = points_of(folder)["markups"][0]["controlPoints"]
    positions = [point["position"] for point in points[: len(NAMES)]]
    # This network sees neither T12 nor S1; their points wait to be placed.
    assert [point["positionStatus"] for point in points[len(NAMES) :]] == ["undefined"] * len(ANCHOR_NAMES)
    np.testing.assert_allclose(
        world_from_lps(np.reshape(positions, (5, 7, 3))),
        read_landmarks(folder / "landmarks.json").positions_mm,
        atol=1e-3,
    )


def test_dragged_points_bring_a_misplaced_vertebra_home(true_study, misled, reconstruct, tmp_path):
    study, folder = misled
    assert centre_error_mm(folder, true_study, "L3") > 5
    document = drag(points_of(folder), "L3", DRAGGED, true_study.landmarks_mm)
    reconstruct(study, tmp_path / "out", landmarks=saved(tmp_path, document))
    assert centre_error_mm(tmp_path / "out", true_study, "L3") < 1
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["landmarks_by_hand"] == [f"L3 {name}" for name in LANDMARKS if name in DRAGGED]
    assert run["inputs"]["landmarks_file"]["path"].endswith("edited.mrk.json")
    assert "set by hand" in (tmp_path / "out" / "report.html").read_text()


def test_a_level_whose_points_are_deleted_is_missing(true_study, misled, reconstruct, tmp_path):
    document = points_of(misled[1])
    points = document["markups"][0]["controlPoints"]
    document["markups"][0]["controlPoints"] = [point for point in points if not point["label"].startswith("L1")]
    with pytest.warns(UserWarning, match="L1: not found in both views"):
        reconstruct(misled[0], tmp_path / "out", landmarks=saved(tmp_path, document))
    assert not (tmp_path / "out" / "L1.stl").exists()


def test_points_of_other_axes_are_refused(true_study, misled, reconstruct, tmp_path):
    document = points_of(misled[1])
    document["markups"][0]["controlPoints"][0]["position"] = [900.0, 900.0, 900.0]
    with pytest.raises(InputError, match=rf"edited\.mrk\.json: {NAMES[0]}: lies far outside of the ap radiograph"):
        reconstruct(misled[0], tmp_path / "out", landmarks=saved(tmp_path, document))
    assert not (tmp_path / "out").exists()


def test_a_missing_file_is_named(true_study, reconstruct, tmp_path):
    with pytest.raises(InputError, match=r"nothing\.mrk\.json: no such file, expected a markups file"):
        reconstruct(true_study, tmp_path / "out", landmarks=str(tmp_path / "nothing.mrk.json"))


def test_exchanged_levels_are_refused(misled, true_study, reconstruct, tmp_path):
    study, folder = misled
    document = points_of(folder)
    points = document["markups"][0]["controlPoints"][: len(NAMES)]
    places = {point["label"]: point["position"] for point in points}
    for point in points:
        level, landmark = point["label"].split(" ")
        point["position"] = places[f"{LEVELS[4 - LEVELS.index(level)]} {landmark}"]
    with pytest.raises(InputError, match="are levels exchanged"):
        reconstruct(study, tmp_path / "out", landmarks=saved(tmp_path, document))
    assert not (tmp_path / "out" / "L1.stl").exists()


@pytest.mark.parametrize("spread_mm", [0.0, 5.0])
def test_points_on_one_line_are_refused(misled, reconstruct, tmp_path, spread_mm):
    study, folder = misled
    document = points_of(folder)
    own = [point for point in document["markups"][0]["controlPoints"] if point["label"].startswith("L4 ")]
    start = np.array(own[0]["position"])
    for place, point in enumerate(own):
        point["position"] = (start + np.array([spread_mm * place, 0, 0])).tolist()
    with pytest.raises(InputError, match=r"points of L4 .* on one line"):
        reconstruct(study, tmp_path / "out", landmarks=saved(tmp_path, document))


SHIFT_MM = np.array([0.0, 0.0, 5.0])


def test_points_against_the_pictures_are_reported_or_held(true_study, reconstruct, reconstructed, tmp_path):
    """All points of L5 moved up by 5 mm, though they were right."""
    document = points_of(reconstructed)
    for point in document["markups"][0]["controlPoints"]:
        if point["label"].startswith("L5 "):
            point["position"] = (np.array(point["position"]) + SHIFT_MM).tolist()
    path = saved(tmp_path, document)
    reconstruct(true_study, tmp_path / "free", landmarks=path)
    (warning,) = [
        text for text in run_of(tmp_path / "free")["warnings"] if text.startswith("L5: the pictures disagree")
    ]
    assert "--hold_landmarks" in warning
    reconstruct(true_study, tmp_path / "held", landmarks=path, hold_landmarks=True)
    moved = {level: centre_of(tmp_path / "held", level) - centre_of(reconstructed, level) for level in ("L2", "L5")}
    np.testing.assert_allclose(moved["L5"], SHIFT_MM, atol=1.0)
    # The other vertebrae have no points set by hand: they stay with the pictures.
    np.testing.assert_allclose(moved["L2"], 0, atol=0.3)
    assert not any("disagree" in text for text in run_of(tmp_path / "held")["warnings"])


def centre_of(folder, level):
    return read_mesh(folder / f"{level}.stl")[0].mean(0)


def run_of(folder):
    return json.loads((folder / "run.json").read_text())


@pytest.fixture
def unseen(true_study):
    """A study of which the network has said nothing, and its landmarks in space."""
    study = read_study(*(true_study.folder / name for name in ("ap.png", "lat.png", "calibration.json")))
    canonical = to_network_grids(study)
    nothing = DecodedView(
        decomposition=np.zeros((512, 512), np.float32),
        centres_px=np.full((5, 2), np.nan),
        landmarks_px=np.full((5, 7, 2), np.nan),
        confidence=np.zeros(5),
        present=np.zeros(5, bool),
        landmark_confidence=np.zeros((5, 7)),
        order_consistent=True,
    )
    observed = ObservedStudy(canonical, {"ap": nothing, "lat": nothing})
    return observed, triangulate_landmarks(observed.geometry, observed.landmarks)


def test_s1_may_be_set_by_hand_where_the_network_does_not_see_it(unseen, true_study, tmp_path):
    observed, landmarks = unseen
    assert observed.located_anchors().missing["S1"] == "the network of this run does not see S1"
    s1_mm = true_study.landmarks_mm[-1].mean(0) + TEMPLATE_MM - [0, 0, 40.0]
    anchors_mm = np.vstack([np.full((1, 3), np.nan), lps_from_world(s1_mm)])
    path = tmp_path / "set.mrk.json"
    write_points(path, lps_from_world(true_study.landmarks_mm), np.ones((5, 7)), anchors_mm, np.ones(6))
    edited = edited_landmarks(path, observed, landmarks)
    found = edited.observed.located_anchors()
    assert found.positions_mm[1:] == pytest.approx(s1_mm, abs=0.05)
    assert found.missing == {"T12": "neither view shows it"}
    names = landmark_names(np.zeros((5, 7), bool), edited.anchors_by_hand)
    assert names == [f"S1 {name}" for name in S1_LANDMARKS]


def test_a_point_of_s1_far_from_the_films_is_another_study_s(unseen, true_study, tmp_path):
    anchors_mm = np.full((6, 3), np.nan)
    anchors_mm[2] = [0.0, 0.0, 5000.0]
    path = tmp_path / "set.mrk.json"
    write_points(path, lps_from_world(true_study.landmarks_mm), np.ones((5, 7)), anchors_mm, np.ones(6))
    with pytest.raises(InputError, match="S1 superior_anterior: lies far outside of the ap radiograph"):
        edited_landmarks(path, *unseen)
