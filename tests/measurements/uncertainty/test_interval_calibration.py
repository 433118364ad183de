"""Factors and coverage on errors of known spread."""

import csv
import json

import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.measurements.uncertainty.interval_calibration import (
    LEAST_SHARE,
    VERTEX,
    Calibration,
    Cases,
    Coverage,
    read_errors,
    read_interval_calibration,
    shipped_calibration,
)
from lumbar_ext.measurements.uncertainty.interval_check import check, people_held
from lumbar_ext.measurements.uncertainty.interval_fit import (
    ALL_SETS,
    fit_factors,
    fit_interval_calibration,
    left_out_coverage,
    new_person_quantile,
    unseen_set_coverage,
)


def cases(errors, deviations=None, per_person=1):
    """Cases of people with as many each."""
    errors = np.asarray(errors, dtype=float)
    people = np.array([f"p{i // per_person:04d}" for i in range(len(errors))])
    return Cases(errors, np.ones(len(errors)) if deviations is None else np.asarray(deviations), people)


def write_errors(path, errors, deviations, kind="cobb", subject="L1-L5"):
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["study", "subject", "id", "pipeline_error", "laplace_sd"])
        rows.writerows([[f"s{i}", subject, kind, *own] for i, own in enumerate(zip(errors, deviations, strict=True))])
        rows.writerow(["s", subject, kind, "", "1.0"])
        rows.writerow(["s", subject, kind, "1.0", ""])


def test_the_factor_is_the_ratio_of_true_and_claimed_spread():
    rng = np.random.default_rng(0)
    claimed = rng.uniform(0.5, 2, 20000)
    own = cases(3 * claimed * rng.standard_normal(20000), claimed)
    factor = fit_factors({"plain": {"cobb": own}}).factors["cobb"]
    assert factor == pytest.approx(3, rel=0.03)
    assert own.coverage(factor).share == pytest.approx(0.9, abs=0.001)
    assert own.coverage(factor, 0.5).share == pytest.approx(0.5, abs=0.02)


def test_one_case_a_person_is_split_conformal_prediction():
    """At rank ceil((n + 1) 0.9): of nineteen the eighteenth; of nine the last; of eight none is far enough."""
    scaled = np.arange(1.0, 20.0)
    assert new_person_quantile(scaled, np.arange(19)) == 18
    assert new_person_quantile(scaled[:9], np.arange(9)) == 9
    assert new_person_quantile(scaled[:8], np.arange(8)) is None
    assert new_person_quantile(scaled[:0], np.arange(0)) is None


def test_a_bound_holds_nine_in_ten_cases_of_new_people_whose_cases_err_alike():
    """People have a level of their own that their five cases share: the plain quantile of a hundred cases holds too few."""
    rng = np.random.default_rng(5)
    held, held_plainly = [], []
    for _ in range(600):
        size = np.abs(rng.normal(0, 1, 21))[:, None] + 0.1 * np.abs(rng.normal(0, 1, (21, 5)))
        known, new = size[:20].ravel(), size[20]
        held.append(np.mean(new <= new_person_quantile(known, np.repeat(np.arange(20), 5))))
        held_plainly.append(np.mean(new <= np.sort(known)[89]))
    # The mean of 600 shares, each nearly 0 or 1, is known to 0.012.
    assert 0.89 <= np.mean(held) <= 0.97 and np.mean(held_plainly) < np.mean(held) - 0.02


def test_a_person_with_many_cases_counts_as_one():
    people = np.repeat(np.arange(20), [81, *[1] * 19])
    scaled = np.where(people == 0, 100.0, 1.0)
    assert new_person_quantile(scaled, people) == 1.0


def test_the_set_that_needs_most_decides_so_that_the_interval_holds_in_every_set():
    rng = np.random.default_rng(2)
    sets = {name: {"cobb": cases(spread * rng.standard_normal(400))} for name, spread in (("plain", 1.0), ("ill", 3.0))}
    chosen = fit_factors(sets)
    assert chosen.decided_by == {"cobb": "ill"} and chosen.factors["cobb"] == pytest.approx(3, rel=0.15)
    assert all(own["cobb"].coverage(chosen.factors["cobb"]).share >= 0.9 for own in sets.values())
    unseen = unseen_set_coverage(sets)["cobb"]
    # Three sd of errors in the interval of one: 1.645 / 3 sd, 42 %.
    assert unseen["ill"].share == pytest.approx(0.42, abs=0.06) and unseen["plain"].share > 0.99


def test_kinds_that_no_set_has_enough_people_of_are_chosen_on_all_sets_together():
    rng = np.random.default_rng(3)
    sets = {name: {"apical_rotation": cases(rng.standard_normal(6))} for name in "abc"}
    chosen = fit_factors(sets)
    assert chosen.decided_by == {"apical_rotation": ALL_SETS}
    assert fit_factors({name: sets[name] for name in "ab"}).factors == {}


def test_people_who_are_left_out_have_no_part_in_the_factor():
    """One person of twenty errs a hundred times as far: left out, it is not held."""
    errors = np.ones(20)
    errors[7] = 100
    sets = {"plain": {"cobb": cases(errors)}}
    assert left_out_coverage(sets)["cobb"]["plain"] == Coverage(0.95, 20)


def test_too_few_cases_give_no_factor_and_are_told():
    assert fit_factors({"plain": {"cobb": cases(np.ones(14))}}).factors == {}
    few = Calibration({"axial_rotation": 2.0}, {"axial_rotation": 100, "cobb": 9})
    assert few.no_interval("cobb") == "no interval: 9 validation cases, 15 are needed"
    assert few.no_interval("axial_rotation") is None and Calibration({}, {}).no_interval("cobb") == "not calibrated"


def test_a_file_without_enough_cases_writes_no_factors(tmp_path):
    write_errors(tmp_path / "few.csv", np.ones(14), np.ones(14))
    (tmp_path / "factors.json").write_text("earlier ones")
    with pytest.raises(
        InputError, match=r"few\.csv: 1 kinds .*none in 15 cases of nine people or more: nothing written"
    ):
        fit_interval_calibration({"few": str(tmp_path / "few.csv")}, str(tmp_path / "factors.json"))
    assert (tmp_path / "factors.json").read_text() == "earlier ones"
    with pytest.raises(InputError, match="at least one name"):
        fit_interval_calibration({}, str(tmp_path / "factors.json"))


def test_a_bias_widens_the_interval_until_it_holds_the_truth():
    errors = cases(np.full(100, 2.0))
    factor = fit_factors({"plain": {"a": errors}}).factors["a"]
    assert errors.coverage(factor).share == 1


def test_fit_and_check_work_on_files(tmp_path, capsys):
    rng = np.random.default_rng(1)
    for name in ("plain", "ill", "other"):
        deviations = rng.uniform(1, 2, 400)
        write_errors(tmp_path / f"{name}.csv", 2 * deviations * rng.standard_normal(400), deviations)
    tables = {name: str(tmp_path / f"{name}.csv") for name in ("plain", "ill")}
    fit_interval_calibration(tables, str(tmp_path / "calibration.json"))
    table = capsys.readouterr().out
    assert "| value | cases | factor | decided by | plain: held | ill: held | lowest unseen set |" in table
    chosen = read_interval_calibration(tmp_path / "calibration.json")
    assert chosen.factors["cobb"] == pytest.approx(2, rel=0.15) and chosen.chosen_on == {"plain": 400, "ill": 400}
    assert chosen.cases["cobb"] == 800 and {own.cases for own in chosen.left_out["cobb"].values()} == {400}
    check({"other": str(tmp_path / "other.csv")}, str(tmp_path / "plot.png"), str(tmp_path / "calibration.json"))
    printed = capsys.readouterr().out
    share = float(printed.splitlines()[-1].split("|")[-2].strip().rstrip("%"))
    assert 85 <= share <= 97
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_where_nobody_was_left_out_the_check_decides():
    """Factors that were chosen by the former rule: what held too seldom on other people is not printed."""
    checked = {"cobb": {"plain": Coverage(0.84, 100)}, "sagittal_tilt": {"plain": Coverage(0.86, 100)}}
    factors = dict.fromkeys(checked, 2.0)
    former = Calibration(factors, dict.fromkeys(checked, 100), checked=checked)
    assert (
        former.factor("cobb") is None
        and former.no_interval("cobb") == "interval withheld: held 84% of 100 checked cases (plain)"
    )
    assert former.factor("sagittal_tilt") == 2.0
    left_out = {"cobb": {"plain": Coverage(0.9, 100)}}
    assert Calibration(factors, former.cases, left_out=left_out, checked=checked).factor("cobb") == 2.0


def test_what_left_out_validation_people_say_decides_and_what_the_check_finds_is_told(tmp_path):
    """Two kinds with factors of one. Of the people of the check, errors of one are four times as large: it is told, no more."""
    rng = np.random.default_rng(1)
    file, factors = tmp_path / "errors.csv", tmp_path / "factors.json"
    spreads = (("cobb", 1.0), ("axial_rotation", 4.0), ("sagittal_tilt", 1.0))
    rows = [f"s{i},L3,{kind},{spread * rng.normal()},1.0" for kind, spread in spreads for i in range(200)]
    file.write_text("study,subject,id,pipeline_error,laplace_sd\n" + "\n".join(rows))
    left_out = {
        "cobb": {"plain": [0.9, 20], "ill": [0.86, 21]},
        "sagittal_tilt": {"plain": [0.95, 20], "ill": [0.8, 20]},
    }
    kinds = dict.fromkeys(("cobb", "axial_rotation", "sagittal_tilt"), 20)
    document = {
        "factors": dict.fromkeys(kinds, 1.0),
        "cases": kinds,
        "studies": {"plain": 20, "ill": 20},
        "left_out": left_out,
    }
    factors.write_text(json.dumps(document))
    before = read_interval_calibration(factors)
    assert before.factor("axial_rotation") == 1.0 and "not held against people" in before.statement()
    assert before.held("cobb") is None
    check({"one": str(file)}, record=str(factors), people="studies of one other person")
    after = read_interval_calibration(factors)
    # A normal error of 4 sd lies within 1.645 sd in 32 % of the cases.
    assert (
        after.held("axial_rotation").share == pytest.approx(0.32, abs=0.08)
        and after.held("axial_rotation").cases == 200
    )
    assert after.factor("axial_rotation") == 1.0 and after.held("cobb").share > LEAST_SHARE
    assert after.factor("sagittal_tilt") is None and after.held("sagittal_tilt") is None
    assert after.no_interval("sagittal_tilt") == "interval withheld: held 80% of 20 left-out validation cases (ill)"
    said = after.statement()
    assert "chosen on 40 simulated validation studies" in said and "in each of these sets: plain, ill" in said
    assert (
        f"of 200 studies of one other person stands beside each value: {after.held('axial_rotation').share:.0%} to"
        in said
    )
    with pytest.raises(InputError, match="cannot be read as a calibration"):
        check({"one": str(file)}, calibration=str(factors), record=str(tmp_path / "none.json"))


def test_the_check_tells_shares_by_set_and_the_people_in_whom_all_were_held(tmp_path, capsys):
    """Ten people with two cases each; the interval of one holds both cases of eight, and one case of the ninth."""
    errors = np.zeros(20)
    errors[[16, 18, 19]] = 9.0
    assert people_held(cases(errors, per_person=2), 1.0) == Coverage(0.8, 10)
    file, factors = tmp_path / "errors.csv", tmp_path / "factors.json"
    rows = [f"p{i // 2},L{1 + i % 2},axial_rotation,{error},1.0" for i, error in enumerate(errors)]
    file.write_text("study,subject,id,pipeline_error,laplace_sd\n" + "\n".join(rows))
    factors.write_text('{"factors": {"axial_rotation": 1.0}, "cases": {"axial_rotation": 20}}')
    check({"a": str(file), "b": str(file)}, calibration=str(factors))
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| axial_rotation"))
    assert row == "| axial_rotation | 85% of 20 | 80% of 10 | 85% of 20 | 80% of 10 | 85% |"
    with pytest.raises(InputError, match="holds no value that is calibrated"):
        check({"a": str(file)}, calibration=str(_other(tmp_path)))


def _other(folder):
    path = folder / "other.json"
    path.write_text('{"factors": {"cobb": 1.0}, "cases": {"cobb": 20}}')
    return path


def test_rows_without_error_or_deviation_do_not_count(tmp_path):
    write_errors(tmp_path / "e.csv", [1.0, -2.0], [0.5, 0.6])
    found = read_errors(tmp_path / "e.csv")["cobb"]
    assert (found.errors.tolist(), found.deviations.tolist(), found.people.tolist()) == (
        [1, -2],
        [0.5, 0.6],
        ["s0", "s1"],
    )


@pytest.mark.parametrize("content", [None, "a,b\n1,2\n"])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "e.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"e\.csv"):
        read_errors(path)


@pytest.mark.parametrize("content", ["{}", "[1]", '{"factors": {"a": 1}, "cases": {}, "left_out": {"a": {"b": 3}}}'])
def test_a_broken_calibration_is_refused(tmp_path, content):
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(InputError, match=r"c\.json"):
        read_interval_calibration(tmp_path / "c.json")


def test_shipped_factors_are_positive_and_those_of_the_grade_are_there():
    shipped = shipped_calibration()
    assert all(factor > 0 for factor in shipped.factors.values()) and shipped.factor(VERTEX) is not None


def test_the_hips_take_the_factor_of_the_sacral_slope_but_not_what_was_found_of_it():
    known = Calibration(
        {"sacral_slope": 1.5}, {"sacral_slope": 40}, checked={"sacral_slope": {"plain": Coverage(1.0, 20)}}
    )
    assert known.factor("pelvic_tilt") == 1.5 and known.held("pelvic_tilt") is None
    assert known.held("sacral_slope") == Coverage(1.0, 20)
    too_narrow = Calibration(
        {"sacral_slope": 1.5}, {"sacral_slope": 40}, left_out={"sacral_slope": {"a": Coverage(0.5, 20)}}
    )
    assert too_narrow.factor("pelvic_tilt") is None and "held 50% of 20" in too_narrow.no_interval("pelvic_tilt")


def test_values_on_s1_have_factors_of_their_own_that_are_not_below_one():
    """S1's spread comes from the network, and forty cases do not make them as wide as the many angles of the same unit."""
    rng = np.random.default_rng(2)
    table = {
        "lordosis_l1_s1": cases(1.5 * rng.standard_normal(40)),
        "disc_angle L5-S1": cases(0.3 * rng.standard_normal(40)),
        "disc_angle": cases(9 * rng.standard_normal(80)),
        "cobb": cases(3 * rng.standard_normal(40)),
    }
    factors = fit_factors({"plain": table}).factors
    assert factors["lordosis_l1_s1"] == pytest.approx(1.5, rel=0.4) and factors["disc_angle L5-S1"] == 1.0
    assert factors["cobb"] == factors["disc_angle"] > 6
