"""Landmark files: round trip, unknown values as null, and the schema."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lumbar_ext.anatomy import LANDMARKS, LEVELS, S1_LANDMARKS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.landmarks.study_landmarks import AnchorLandmarks, StudyLandmarks, read_landmarks, write_landmarks

KEYS = ("position_mm", "ap_px", "lat_px", "confidence_ap", "confidence_lat", "gap_mm")


def some_landmarks():
    rng = np.random.default_rng(0)
    pixels, confidence = ({view: rng.random(shape) for view in VIEWS} for shape in ((5, 7, 2), (5, 7)))
    return StudyLandmarks(rng.random((5, 7, 3)), pixels, confidence, rng.random((5, 7)))


def test_round_trip_and_layout(tmp_path):
    landmarks = some_landmarks()
    write_landmarks(tmp_path / "l.json", landmarks)
    read = read_landmarks(tmp_path / "l.json")
    assert tuple(read.by_key()) == KEYS
    for name in KEYS:
        np.testing.assert_allclose(read.by_key()[name], landmarks.by_key()[name], atol=1e-6)
    document = json.loads((tmp_path / "l.json").read_text())
    assert list(document["vertebrae"]) == list(LEVELS)
    assert list(document["vertebrae"]["L4"]) == list(LANDMARKS)
    np.testing.assert_allclose(
        document["vertebrae"]["L4"]["left_pedicle"]["ap_px"], landmarks.positions_px["ap"][3, 4], atol=1e-6
    )


def test_unknown_values_are_null_and_come_back_as_nan(tmp_path):
    landmarks = some_landmarks()
    landmarks.positions_mm[4] = np.nan
    landmarks.positions_px["lat"][0, 2] = [np.nan, 1.0]
    write_landmarks(tmp_path / "l.json", landmarks)
    assert json.loads((tmp_path / "l.json").read_text())["vertebrae"]["L5"]["spinous_process"]["position_mm"] is None
    read = read_landmarks(tmp_path / "l.json")
    assert np.isnan(read.positions_mm[4]).all() and np.isfinite(read.positions_mm[:4]).all()
    assert np.isnan(read.positions_px["lat"][0, 2]).all()


def test_levels_and_landmarks_may_be_left_out(tmp_path):
    (tmp_path / "l.json").write_text('{"vertebrae": {"L2": {"left_pedicle": {"ap_px": [3, 4]}}}}')
    read = read_landmarks(tmp_path / "l.json")
    np.testing.assert_array_equal(read.positions_px["ap"][1, 4], [3, 4])
    assert np.isnan(read.positions_px["ap"]).sum() == 5 * 7 * 2 - 2


@pytest.mark.parametrize(
    "entry, message",
    [
        ({"ap_px": [1, 2, 3]}, "vertebrae/L1/spinous_process/ap_px is wrong"),
        ({"confidence_ap": 1.5}, "confidence_ap is wrong: found 1.5, expected a number from 0 to 1"),
        ({"gap_mm": -1}, "gap_mm is wrong"),
        ({"position": [1, 2, 3]}, r"unknown keys \['position'\]"),
        ({"position_mm": [1, float("nan"), 3]}, "position_mm/1 is nan"),
    ],
)
def test_documents_that_violate_the_schema(tmp_path, entry, message):
    (tmp_path / "l.json").write_text(json.dumps({"vertebrae": {"L1": {"spinous_process": entry}}}))
    with pytest.raises(InputError, match=message):
        read_landmarks(tmp_path / "l.json")


def test_impossible_landmarks_are_not_written(tmp_path):
    landmarks = some_landmarks()
    landmarks.confidence["lat"][2, 3] = 2.0
    with pytest.raises(InputError, match="L3/right_transverse_process/confidence_lat"):
        write_landmarks(tmp_path / "l.json", landmarks)
    assert not any(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"gap_mm must have the shape \(5, 7\)"):
        replace(landmarks, gap_mm=np.zeros(5))
    with pytest.raises(InputError, match="views"):
        replace(landmarks, confidence={"ap": np.ones((5, 7))})


def test_t12_and_s1_stand_in_the_file_where_something_is_known_of_them(tmp_path):
    rng = np.random.default_rng(1)
    anchors = AnchorLandmarks(
        rng.random((6, 3)),
        {view: rng.random((6, 2)) for view in VIEWS},
        {view: rng.random(6) for view in VIEWS},
        rng.random(6),
    )
    anchors.positions_mm[2] = np.nan
    for file, own in (("known", anchors), ("unknown", AnchorLandmarks.unknown())):
        path = tmp_path / f"{file}.json"
        write_landmarks(path, replace(StudyLandmarks.unknown(), anchors=own))
        read = read_landmarks(path).anchors
        for name, value in own.by_key().items():
            np.testing.assert_allclose(read.by_key()[name], value, atol=1e-6)
    document = json.loads((tmp_path / "known.json").read_text())["vertebrae"]
    assert list(document["T12"]) == ["centre"] and set(document["S1"]) == set(S1_LANDMARKS)
    assert document["S1"]["superior_anterior"]["position_mm"] is None
    assert not {"T12", "S1"} & set(json.loads((tmp_path / "unknown.json").read_text())["vertebrae"])
