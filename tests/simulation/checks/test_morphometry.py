"""Dimensions against shapes whose dimensions are known, and the tables made of them."""

import csv

import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.shape.population.variation import PARAMETERS, Geometry
from lumbar_ext.simulation.checks.dimensions import DIMENSIONS, Calliper
from lumbar_ext.simulation.checks.morphometry import morphometry
from lumbar_ext.simulation.checks.published_dimensions import PUBLISHED


@pytest.fixture(scope="module")
def calliper(real_population):
    return Calliper(real_population.atlas)


def test_lengths_scale_with_the_bone_and_angles_do_not(calliper, real_population):
    mean = np.asarray(real_population.atlas.means_mm[2], dtype=float)
    once, larger = calliper.measure(mean, 2), calliper.measure(mean * 1.05, 2)
    for name in ("superior_width_mm", "pedicle_width_mm", "canal_width_mm", "transverse_span_mm", "spinous_length_mm"):
        assert larger[name] / once[name] == pytest.approx(1.05, abs=0.015)
    assert larger["wedge_deg"] == pytest.approx(once["wedge_deg"], abs=1.0)


def test_a_stretch_changes_the_dimension_along_it_only(calliper, real_population):
    mean = np.asarray(real_population.atlas.means_mm[2], dtype=float)
    once, wide = calliper.measure(mean, 2), calliper.measure(mean * [1, 1.1, 1], 2)
    for name in ("superior_width_mm", "inferior_width_mm", "transverse_span_mm"):
        assert wide[name] / once[name] == pytest.approx(1.1, abs=0.01)
    for name in ("anterior_height_mm", "spinous_length_mm", "superior_depth_mm"):
        assert wide[name] == pytest.approx(once[name], rel=0.02)


def test_the_mean_mesh_has_the_dimensions_measured_by_sections(calliper, real_population):
    # Sections of the mean mesh of 87 CTs: middle height 26.5, superior width 51.0, spinous tip 71 mm behind the centre.
    measured = calliper.measure(real_population.atlas.means_mm[2], 2)
    assert measured["middle_height_mm"] == pytest.approx(26.5, abs=0.7)
    assert measured["superior_width_mm"] == pytest.approx(51.0, abs=1.5)
    assert measured["transverse_span_mm"] == pytest.approx(92.7, abs=2.0)
    assert measured["canal_width_mm"] == pytest.approx(22.9, abs=1.0)


@pytest.mark.parametrize("level", range(4))
def test_a_degree_of_pedicle_angle_turns_the_measured_axis_by_one(calliper, real_population, level):
    mean = np.asarray(real_population.atlas.means_mm[level], dtype=float)
    field = next(p.field for p in PARAMETERS if p.name == "pedicle_angle_deg")
    geometry = Geometry(mean, real_population.atlas.reference.landmarks_mm(mean))
    once, turned = calliper.measure(mean, level), calliper.measure(mean + 5 * field(geometry), level)
    change_deg = turned["pedicle_transverse_deg"] - once["pedicle_transverse_deg"]
    assert change_deg == pytest.approx(5, abs=1.2)
    assert turned["pedicle_width_mm"] == pytest.approx(once["pedicle_width_mm"], abs=0.3)


def test_published_rows_name_dimensions_that_are_measured():
    assert {row.dimension for row in PUBLISHED} <= set(DIMENSIONS)


def test_the_command_prints_and_writes_its_tables(tmp_path, capsys):
    morphometry(10, str(tmp_path))
    assert "| superior width, mm | both |" in capsys.readouterr().out
    with (tmp_path / "dimensions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 50
    assert {row["sex"] for row in rows} <= {"female", "male"}
    with (tmp_path / "morphometry.csv").open() as file:
        for row in csv.DictReader(file):
            off = (float(row["population_mean"]) - float(row["published_mean"])) / float(row["published_sd"])
            assert float(row["sds_off"]) == pytest.approx(off, abs=0.02)


def test_too_few_subjects_are_refused():
    with pytest.raises(InputError, match="at least 10"):
        morphometry(3)
