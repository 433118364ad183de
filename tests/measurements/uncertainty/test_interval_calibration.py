"""Factors and coverage on errors of known spread."""

import csv

import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.measurements.uncertainty.interval_calibration import (
    LEAST_SHARE,
    check,
    fit_factors,
    fit_interval_calibration,
    interval_coverage,
    read_errors,
    read_interval_calibration,
    shipped_calibration,
)


def write_errors(path, errors, deviations, kind="cobb"):
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["study", "id", "pipeline_error", "laplace_sd"])
        rows.writerows([["s", kind, e, d] for e, d in zip(errors, deviations, strict=True)])
        rows.writerow(["s", kind, "", "1.0"])
        rows.writerow(["s", kind, "1.0", ""])


def test_the_factor_is_the_ratio_of_true_and_claimed_spread():
    rng = np.random.default_rng(0)
    claimed = rng.uniform(0.5, 2, 20000)
    errors = 3 * claimed * rng.standard_normal(20000)
    chosen = fit_factors({"cobb": errors}, {"cobb": claimed})
    assert chosen.factors["cobb"] == pytest.approx(3, rel=0.03)
    assert interval_coverage(errors, chosen.factors["cobb"] * claimed, 0.9) == pytest.approx(0.9, abs=0.001)
    assert interval_coverage(errors, chosen.factors["cobb"] * claimed, 0.5) == pytest.approx(0.5, abs=0.02)


def test_too_few_cases_give_no_factor():
    assert fit_factors({"cobb": np.ones(5)}, {"cobb": np.ones(5)}).factors == {}


def test_a_file_without_enough_cases_writes_no_factors(tmp_path):
    write_errors(tmp_path / "few.csv", np.ones(14), np.ones(14))
    (tmp_path / "factors.json").write_text("earlier ones")
    with pytest.raises(InputError, match=r"few\.csv: 1 kinds .*none in 15 cases or more: nothing written"):
        fit_interval_calibration(str(tmp_path / "few.csv"), str(tmp_path / "factors.json"))
    assert (tmp_path / "factors.json").read_text() == "earlier ones"


def test_a_bias_widens_the_interval_until_it_holds_the_truth():
    errors = np.full(100, 2.0)
    factor = fit_factors({"a": errors}, {"a": np.ones(100)}).factors["a"]
    assert interval_coverage(errors, factor * np.ones(100), 0.9) == 1


def test_fit_and_check_work_on_files(tmp_path, capsys):
    rng = np.random.default_rng(1)
    for name in ("validation", "other"):
        deviations = rng.uniform(1, 2, 400)
        write_errors(tmp_path / f"{name}.csv", 2 * deviations * rng.standard_normal(400), deviations)
    fit_interval_calibration(str(tmp_path / "validation.csv"), str(tmp_path / "calibration.json"))
    assert read_interval_calibration(tmp_path / "calibration.json").factors["cobb"] == pytest.approx(2, rel=0.15)
    check(str(tmp_path / "other.csv"), str(tmp_path / "plot.png"), str(tmp_path / "calibration.json"))
    printed = capsys.readouterr().out
    share = float(printed.splitlines()[-1].split("|")[3].strip().rstrip("%"))
    assert 85 <= share <= 95
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_an_interval_that_fails_on_other_people_is_withheld_and_the_rest_is_told(tmp_path, capsys):
    """Two kinds with factors of one: errors that the deviations explain, and errors four times as large."""
    rng = np.random.default_rng(1)
    file, factors = tmp_path / "errors.csv", tmp_path / "factors.json"
    rows = [
        (kind, spread * rng.normal()) for kind, spread in (("cobb", 1.0), ("axial_rotation", 4.0)) for _ in range(200)
    ]
    file.write_text("id,pipeline_error,laplace_sd\n" + "".join(f"{kind},{error},1.0\n" for kind, error in rows))
    factors.write_text('{"factors": {"cobb": 1.0, "axial_rotation": 1.0}, "cases": {"cobb": 20, "axial_rotation": 20}}')
    before = read_interval_calibration(factors)
    assert before.factor("axial_rotation") == 1.0 and "not held against people" in before.statement()
    check(str(file), calibration=str(factors), record=str(factors), people="twenty studies of one person")
    after = read_interval_calibration(factors)
    # A normal error of 4 sd lies within 1.645 sd in 32 % of the cases.
    assert after.held["axial_rotation"] == pytest.approx(0.32, abs=0.08) and after.held["cobb"] > LEAST_SHARE
    assert after.factor("axial_rotation") is None and after.factor("cobb") == 1.0
    said = after.statement()
    assert (
        f"{after.held['cobb']:.0%} of 200 cases of twenty studies of one person" in said and "85% no interval" in said
    )
    assert "axial_rotation" in capsys.readouterr().out
    with pytest.raises(InputError, match="cannot be read as a calibration"):
        check(str(file), calibration=str(factors), record=str(tmp_path / "none.json"))


def test_rows_without_error_or_deviation_do_not_count(tmp_path):
    write_errors(tmp_path / "e.csv", [1.0, -2.0], [0.5, 0.6])
    errors, deviations = read_errors(tmp_path / "e.csv")
    assert errors["cobb"].tolist() == [1.0, -2.0]
    assert deviations["cobb"].tolist() == [0.5, 0.6]


@pytest.mark.parametrize("content", [None, "a,b\n1,2\n"])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "e.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"e\.csv"):
        read_errors(path)


def test_a_broken_calibration_is_refused(tmp_path):
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(InputError, match=r"c\.json"):
        read_interval_calibration(tmp_path / "c.json")


def test_shipped_factors_are_positive():
    assert all(factor > 0 for factor in shipped_calibration().factors.values())


def test_values_on_s1_have_factors_of_their_own_that_leave_the_others_alone(tmp_path):
    """S1's spread comes from the network, and its studies from another one than those of the other values."""
    rng = np.random.default_rng(2)
    factors, file = tmp_path / "factors.json", tmp_path / "errors.csv"
    factors.write_text(
        '{"factors": {"cobb": 7.0, "disc_angle": 9.0}, "cases": {"cobb": 20, "disc_angle": 80}, '
        '"check": {"people": "others", "held": {"cobb": 0.9}, "cases": {"cobb": 20}}}'
    )
    kinds = [("L1-S1", "lordosis_l1_s1", 1.5), ("L5-S1", "disc_angle", 1.5), ("L1-L5", "cobb", 3.0)]
    rows = [f"{subject},{name},{spread * rng.normal()},1.0" for subject, name, spread in kinds for _ in range(40)]
    rows += [f"L1-L2,disc_angle,{9 * rng.normal()},1.0" for _ in range(80)]
    file.write_text("subject,id,pipeline_error,laplace_sd\n" + "\n".join(rows))
    fit_interval_calibration(str(file), str(factors), landmarks_only=True)
    chosen = read_interval_calibration(factors)
    assert (chosen.factors["cobb"], chosen.factors["disc_angle"], chosen.held) == (7.0, 9.0, {"cobb": 0.9})
    # Forty cases do not make them as wide as the many angles of the same unit, whose factor is nine.
    assert chosen.factors["lordosis_l1_s1"] == pytest.approx(1.5, rel=0.4)
    assert chosen.factors["disc_angle L5-S1"] == pytest.approx(1.5, rel=0.4)
    assert chosen.cases["disc_angle L5-S1"] == 40 and chosen.cases["disc_angle"] == 80
    check(str(file), calibration=str(factors), record=str(factors), people="these")
    checked = read_interval_calibration(factors)
    # What was found of other kinds, in another study, stays.
    assert checked.held["lordosis_l1_s1"] >= 0.9 and checked.checked_cases["lordosis_l1_s1"] == 40
    assert checked.checked_on == "others and these" or set(checked.held) >= {"cobb", "disc_angle L5-S1"}
