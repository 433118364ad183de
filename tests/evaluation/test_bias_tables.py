"""Shares of a bias and corrections on made-up tables."""

import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.bias_tables import (
    FILMS,
    SHAPE,
    TRUTH,
    Measured,
    apportion_biases,
    correction_table,
    error_table,
    share_table,
    slope,
)


def table(truths, errors, kind="canal_width", level="L1"):
    pairs = zip(truths, errors, strict=True)
    return {(f"s{i}", level, kind): Measured(truth, truth + error, error) for i, (truth, error) in enumerate(pairs)}


def cells(text, start):
    line = next(line for line in text.splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_shares_add_up_to_the_bias_over_the_same_values():
    """The model adds 1.0, the registration -0.25, the network 0.5; values that one table lacks do not count."""
    truths = np.linspace(20, 25, 12)
    tables = [table(truths, np.full(12, bias)) for bias in (1.0, 0.75, 1.25)]
    tables[2][("s99", "L1", "canal_width")] = Measured(20.0, 120.0, 100.0)
    row = cells(share_table({"one": tables}, 0.3), "| canal_width ")
    assert row == ["canal_width", "12", "+1.00", "-0.25", "+0.50", "+1.25"]


def test_mean_errors_are_of_the_same_values_too():
    truths = np.linspace(20, 25, 12)
    tables = [table(truths, np.where(np.arange(12) % 2, 1, -1) * size) for size in (0.5, 1.0, 2.0)]
    del tables[0][("s0", "L1", "canal_width")]
    row = cells(error_table({"one": tables, "few": [table(truths[:4], np.ones(4))] * 3}), "| canal_width ")
    assert row == ["canal_width", "11", "0.50", "1.00", "2.00", "", "", "", ""]


def test_kinds_without_a_bias_are_left_away():
    rng = np.random.default_rng(0)
    tables = [table(np.full(40, 20.0), rng.normal(size=40)) for _ in range(3)]
    assert len(share_table({"one": tables}, 0.5).splitlines()) == 2
    assert len(share_table({"one": tables}, 0.0).splitlines()) == 3


def test_a_slope_is_that_of_estimates_over_truths():
    truth = np.linspace(10, 20, 30)
    assert slope(np.stack([truth, 3 + 0.7 * truth], axis=1)) == pytest.approx(0.7)
    assert np.isnan(slope(np.stack([np.ones(5), truth[:5]], axis=1)))


def test_corrections_are_chosen_on_the_first_set_and_tried_on_the_others():
    """Estimates of both are a line of slope 0.5: undone it leaves nothing; the mean error leaves what the slope does.

    Errors of the first fall from 3 to -2 by quarters: 28.5 / 21 on average. Less the mean of the others, 21 / 20 of their
    distances from their own mean of 0.5 are left: 27.5 / 21 * 21 / 20.
    """
    first, other = np.linspace(10, 20, 21), np.linspace(20, 30, 21)
    films = {name: table(truth, 8 + 0.5 * truth - truth) for name, truth in (("first", first), ("other", other))}
    row = cells(correction_table(films, 0.0), "| canal_width ")
    assert [float(cell) for cell in row[1:5]] == pytest.approx([0.5, 28.5 / 21, 27.5 / 20, 0.0], abs=0.006)
    # Errors of the other lie 4.5 mm off on average; less the first one's mean of 0.5 it is 5.
    assert row[5:] == ["0.50", "4.50", "5.00", "0.00"]


def test_folders_are_read_and_what_is_missing_is_named(tmp_path, capsys):
    with pytest.raises(InputError, match="at least one name"):
        apportion_biases({})
    with pytest.raises(InputError, match=r"shape_errors\.csv: cannot be read"):
        apportion_biases({"a": str(tmp_path)})
    (tmp_path / "truth").mkdir()
    for name, bias in ((SHAPE, 1.0), (TRUTH, 1.5), (FILMS, 1.5)):
        rows = [f"s{i},L1,canal_width,{20 + i},{20 + i + bias},{bias}" for i in range(10)]
        rows += ["s1,L1,vertex,,,1.0", "s1,L2,canal_width,,20,"]
        (tmp_path / name).write_text("study,subject,id,truth,estimate,pipeline_error\n" + "\n".join(rows))
    apportion_biases({"a": str(tmp_path)})
    said = capsys.readouterr().out
    assert cells(said, "| canal_width | 10 | 1.00 ")[1:] == ["10", "1.00", "1.50", "1.50"]
    assert cells(said, "| canal_width | 10 | +")[1:] == ["10", "+1.00", "+0.50", "+0.00", "+1.50"]
    assert cells(said, "| canal_width | 1.00 ")[1:] == ["1.00", "1.50", "0.00", "0.00"]
    (tmp_path / FILMS).write_text("study,id\ns,cobb\n")
    with pytest.raises(InputError, match="expected the CSV file of a measurement study"):
        apportion_biases({"a": str(tmp_path)})
