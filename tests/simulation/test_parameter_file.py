"""Parameter files: partial, checked, and kept with what was made from them."""

import json
from dataclasses import replace

import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.simulation.parameter_file import parameters_document, read_parameters, record_parameters
from lumbar_ext.simulation.ranges import SimulationParameters


def write(path, document):
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_no_file_gives_the_defaults():
    assert read_parameters(None) == SimulationParameters()


def test_a_file_overrides_what_it_names(tmp_path):
    path = write(tmp_path / "p.json", {"beam": {"tube_kv_ap": [60, 65], "energy_bins": 3}, "trunk": {"arms_share": 1}})
    parameters = read_parameters(path)
    assert parameters.beam.tube_kv_ap == (60.0, 65.0)
    assert parameters.beam.energy_bins == 3
    assert parameters.trunk.arms_share == 1.0
    assert parameters.posture == SimulationParameters().posture


def test_all_values_survive_a_round_trip(tmp_path):
    defaults = SimulationParameters()
    assert read_parameters(write(tmp_path / "p.json", parameters_document(defaults))) == defaults


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"beams": {}}, "beams is unknown"),
        ({"beam": {"voltage": 80}}, "beam.voltage is unknown"),
        ({"beam": {"tube_kv_ap": 80}}, "beam.tube_kv_ap is 80, expected"),
        ({"beam": {"tube_kv_ap": [70, 80, 90]}}, "tube_kv_ap"),
        ({"beam": {"energy_bins": 2.5}}, "whole number"),
        ({"beam": {"photons_per_mas": "many"}}, "photons_per_mas is 'many'"),
        ({"beam": 5}, "expected an object"),
        ("{", "not valid JSON"),
    ],
)
def test_bad_files_are_refused_with_the_key(tmp_path, document, message):
    with pytest.raises(InputError, match=message):
        read_parameters(write(tmp_path / "p.json", document))


def test_a_folder_holds_studies_of_one_kind(tmp_path):
    record_parameters(SimulationParameters(), tmp_path / "parameters.json")
    record_parameters(SimulationParameters(), tmp_path / "parameters.json")
    other = read_parameters(write(tmp_path / "o.json", {"trunk": {"arms_share": 0.5}}))
    with pytest.raises(InputError, match=r"trunk\.arms_share"):
        record_parameters(other, tmp_path / "parameters.json")


def test_plain_is_known_by_name_and_switches_off_what_tables_do_not_want():
    plain = read_parameters("plain")
    assert plain.wear.share == plain.geometry.cut_share == plain.geometry.format_share == 0
    assert plain.geometry.calibration_noise_mm == plain.geometry.calibration_turn_deg == (0.0, 0.0)
    assert plain.geometry.calibration_distance_mm == plain.geometry.calibration_spacing_percent == (0.0, 0.0)
    assert plain.appearance.stitch_offset_mm == (0.0, 0.0)
    assert plain.beam == SimulationParameters().beam


def test_noisy_cameras_are_plain_but_for_what_their_calibration_states():
    noisy, plain = read_parameters("noisy_cameras"), read_parameters("plain")
    assert noisy.geometry.calibration_noise_mm == (1.0, 1.0) and noisy.geometry.calibration_turn_deg == (0.3, 0.3)
    stated = {"calibration_noise_mm": (0.0, 0.0), "calibration_turn_deg": (0.0, 0.0)}
    assert replace(noisy, geometry=replace(noisy.geometry, **stated)) == plain
