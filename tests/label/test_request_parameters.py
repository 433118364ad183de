"""Parameters of requests and names of images."""

from pathlib import Path

import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.label.names import calibration_of, partner_of, view_of
from lumbar_ext.label.request_parameters import TrainingParameters, ViewParameters, one_of
from lumbar_ext.registration import CONFIGS


def test_known_parameters_are_read_and_others_dropped():
    request = {"view": "lat", "pixel_spacing_mm": "0.4", "polarity": "bone_dark", "network_def": "$exit()"}
    assert ViewParameters.of(request) == ViewParameters("lat", 0.4, "bone_dark")
    assert ViewParameters.of({"view": "", "pixel_spacing_mm": ""}) == ViewParameters()
    assert TrainingParameters.of({"max_epochs": "2", "loss": "$exit()"}) == TrainingParameters(max_epochs=2)


@pytest.mark.parametrize(
    "kind, request_, message",
    [
        (ViewParameters, {"view": "$open('/etc/passwd')"}, "view is"),
        (ViewParameters, {"polarity": "@network"}, "polarity is"),
        (ViewParameters, {"pixel_spacing_mm": "$1"}, "expected a number"),
        (ViewParameters, {"pixel_spacing_mm": -1}, "expected a number from 0.01"),
        (ViewParameters, {"pixel_spacing_mm": True}, "expected a number"),
        (TrainingParameters, {"max_epochs": 0}, "max_epochs is 0"),
        (TrainingParameters, {"learning_rate": "nan"}, "learning_rate is 'nan'"),
        (TrainingParameters, {"batch_size": [1]}, "batch_size is"),
    ],
)
def test_wrong_parameters_are_said(kind, request_, message):
    with pytest.raises(InputError, match=message):
        kind.of(request_)


def test_a_choice_is_one_of_the_names():
    assert one_of("optimiser", "bobyqa", CONFIGS) == "bobyqa"
    for wrong in ("$exit()", "BOBYQA", None, ["bobyqa"]):
        with pytest.raises(InputError, match=r"optimiser is .*, expected one of gauss_newton, bobyqa, paper"):
            one_of("optimiser", wrong, CONFIGS)


def test_names_tell_view_partner_and_calibration(tmp_path):
    assert view_of("case_7_AP", Path("x.png")) == "ap" and view_of("a_lat", Path("x.png")) == "lat"
    assert partner_of("case_7_ap") == "case_7_lat" and partner_of("a_LAT") == "a_ap"
    assert calibration_of("a_ap", tmp_path) is None
    (tmp_path / "a_calibration.json").write_text("{}")
    assert calibration_of("a_lat", tmp_path) == calibration_of("a", tmp_path) == tmp_path / "a_calibration.json"


@pytest.mark.parametrize("ask", [lambda: view_of("spine", Path("spine.png")), lambda: partner_of("spine")])
def test_names_that_tell_nothing_are_said(ask):
    with pytest.raises(InputError, match="expected a name ending in _ap or _lat"):
        ask()
