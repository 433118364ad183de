"""Landmark files: round trip, unknown values as null, and the schema."""

import json

import numpy as np
import pytest

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.landmarks.study_landmarks import StudyLandmarks, read_landmarks, write_landmarks

FIELDS = ("position_mm", "ap_px", "lat_px", "confidence_ap", "confidence_lat", "gap_mm")


def some_landmarks():
    rng = np.random.default_rng(0)
    shapes = ((5, 7, 3), (5, 7, 2), (5, 7, 2), (5, 7), (5, 7), (5, 7))
    return StudyLandmarks(**{name: rng.random(shape) for name, shape in zip(FIELDS, shapes, strict=True)})


def test_round_trip_and_layout(tmp_path):
    landmarks = some_landmarks()
    write_landmarks(tmp_path / "l.json", landmarks)
    read = read_landmarks(tmp_path / "l.json")
    for name in FIELDS:
        np.testing.assert_allclose(getattr(read, name), getattr(landmarks, name), atol=1e-6)
    document = json.loads((tmp_path / "l.json").read_text())
    assert list(document["vertebrae"]) == list(LEVELS)
    assert list(document["vertebrae"]["L4"]) == list(LANDMARKS)
    np.testing.assert_allclose(document["vertebrae"]["L4"]["left_pedicle"]["ap_px"], landmarks.ap_px[3, 4], atol=1e-6)


def test_unknown_values_are_null_and_come_back_as_nan(tmp_path):
    landmarks = some_landmarks()
    landmarks.position_mm[4] = np.nan
    landmarks.lat_px[0, 2] = [np.nan, 1.0]
    write_landmarks(tmp_path / "l.json", landmarks)
    assert json.loads((tmp_path / "l.json").read_text())["vertebrae"]["L5"]["spinous_process"]["position_mm"] is None
    read = read_landmarks(tmp_path / "l.json")
    assert np.isnan(read.position_mm[4]).all() and np.isfinite(read.position_mm[:4]).all()
    assert np.isnan(read.lat_px[0, 2]).all()


def test_levels_and_landmarks_may_be_left_out(tmp_path):
    (tmp_path / "l.json").write_text('{"vertebrae": {"L2": {"left_pedicle": {"ap_px": [3, 4]}}}}')
    read = read_landmarks(tmp_path / "l.json")
    np.testing.assert_array_equal(read.ap_px[1, 4], [3, 4])
    assert np.isnan(read.ap_px).sum() == 5 * 7 * 2 - 2


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
    landmarks.confidence_lat[2, 3] = 2.0
    with pytest.raises(InputError, match="L3/right_transverse_process/confidence_lat"):
        write_landmarks(tmp_path / "l.json", landmarks)
    assert not any(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"gap_mm must have the shape \(5, 7\)"):
        StudyLandmarks(**{name: getattr(landmarks, name) for name in FIELDS[:-1]}, gap_mm=np.zeros(5))
