import numpy as np
import pytest

from lumbar_ext.anatomy import LANDMARKS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.transforms.confidence import (
    ConfidenceCalibration,
    MonotoneMap,
    calibration_beside,
    read_calibration_maps,
)
from lumbar_ext.transforms.decode import DecodedView

MAP = MonotoneMap([0.2, 0.6], [0.1, 0.9])


@pytest.fixture
def calibration():
    flat = MonotoneMap([0.5], [0.7])
    landmarks = {"ap": dict.fromkeys(LANDMARKS, MAP), "lat": dict.fromkeys(LANDMARKS, flat)}
    return ConfidenceCalibration(landmarks, dict.fromkeys(VIEWS, MAP), 4.0, "a test")


@pytest.fixture
def decoded():
    present = np.array([1, 1, 0, 1, 1], bool)
    scores = np.where(present[:, None], np.linspace(0, 1, 7), 0.0)
    positions = np.zeros((5, 7, 2))
    return DecodedView(np.zeros((4, 4)), positions[:, 0], positions, 0.4 * present, present, scores, True)


def test_a_map_interpolates_and_is_constant_beyond_its_ends():
    assert MAP(np.array([0.0, 0.2, 0.4, 0.6, 1.0])) == pytest.approx([0.1, 0.1, 0.5, 0.9, 0.9])


@pytest.mark.parametrize(
    ("scores", "probabilities"), [([0.2, 0.1], [0, 1]), ([0.1, 0.2], [1, 0]), ([0.1], [1.2]), ([], []), ([1], [0, 1])]
)
def test_maps_that_fall_or_leave_the_unit_interval_are_refused(scores, probabilities):
    with pytest.raises(InputError, match="scores"):
        MonotoneMap(scores, probabilities)


def test_scores_become_probabilities_and_absent_levels_none(calibration, decoded):
    sure = calibration.apply(decoded, "ap")
    assert sure.landmark_confidence[0] == pytest.approx(MAP(np.linspace(0, 1, 7)))
    assert sure.confidence == pytest.approx([0.5, 0.5, 0, 0.5, 0.5]) and not sure.landmark_confidence[2].any()
    assert np.all(calibration.apply(decoded, "lat").landmark_confidence[0] == 0.7)


def test_a_file_gives_back_what_was_written(calibration, decoded, tmp_path):
    calibration.write(tmp_path / "model_confidence.json")
    again = calibration_beside(tmp_path / "model.pt")
    assert again.source == "a test" and again.radius_mm == 4
    for view in VIEWS:
        same = again.apply(decoded, view).landmark_confidence == calibration.apply(decoded, view).landmark_confidence
        assert same.all()


def test_weights_without_a_calibration_have_none(tmp_path):
    assert calibration_beside(tmp_path / "model.pt") is None
    with pytest.raises(InputError, match="no such file"):
        read_calibration_maps(tmp_path / "model_confidence.json")


@pytest.mark.parametrize("text", ["", "{}", '{"landmarks": {"ap": []}, "radius_mm": 4}'])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / "model_confidence.json").write_text(text)
    with pytest.raises(InputError, match=r"model_confidence.json: not a confidence calibration"):
        calibration_beside(tmp_path / "model.pt")
