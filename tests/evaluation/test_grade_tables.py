"""Tables of grades on made-up vertebrae."""

import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.grade_tables import (
    GradedRow,
    check_grades,
    grade_table,
    limits_table,
    rank_correlation,
    sign_table,
    wilson,
)
from lumbar_ext.measurements.uncertainty.grade import CHECK, Grade

NONE = {"residual": 0.02, "gap_mm": 1.0, "bound_hits": 0.0, "vertex_sd_mm": 1.0, "look": 0.03}


def vertebra(grade, error_mm, doubts=0, **signs):
    return GradedRow("s", "L1", grade, error_mm, doubts, NONE | signs)


ROWS = [
    vertebra(Grade.GOOD, 0.5),
    vertebra(Grade.GOOD, 1.2),
    vertebra(Grade.GOOD, 2.4),
    vertebra(Grade.CHECK, 2.6, 1, residual=CHECK.residual + 0.015),
    vertebra(Grade.CHECK, 0.8, 1, gap_mm=9.0),
    vertebra(Grade.FAILED, float("nan"), 1),
]


def cells(table, start):
    line = next(line for line in table.splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_good_ones_and_wrong_ones_are_counted_by_set():
    table = grade_table({"a": ROWS, "b": ROWS[:1]})
    assert cells(table, "| a ") == [
        *("a", "6", "1", "3 of 5 (60%)", "1 of 3 (33%)", "2 of 3 (67%)", "1 of 2 (50%)", "1 of 3 (33%)"),
        "1.37 / 1.70 / -",
    ]
    assert cells(table, "| b ")[4:] == ["1 of 1 (100%)", "1 of 1 (100%)", "0 of 0", "0 of 1 (0%)", "0.50 / - / -"]
    assert cells(table, "| all ")[1:4] == ["7", "1", "4 of 6 (67%)"]


def test_rank_correlations_are_those_of_orders():
    rng = np.random.default_rng(0)
    a = rng.normal(size=50)
    assert rank_correlation(a, np.exp(3 * a)) == pytest.approx(1) and rank_correlation(a, -a) == pytest.approx(-1)
    assert np.isnan(rank_correlation(a, np.ones(50))) and np.isnan(rank_correlation(a[:2], a[:2]))
    rows = [
        vertebra(Grade.GOOD, error, residual=error / 10, look=-error, vertex_sd_mm=np.nan) for error in (1, 2, 3, 4)
    ]
    assert cells(sign_table({"a": rows}), "| a ") == ["a", "1.00", "", "", "", "-1.00"]


def test_other_limits_move_only_what_they_decide():
    """Higher limits trust vertebrae that nothing else speaks against; lower ones, of the second look too, doubt more."""
    assert cells(limits_table({"a": ROWS}), "| 0.07, none, 6 ")[1:] == ["3 of 5 (60%)", "1 of 3 (33%)", "1 of 2 (50%)"]

    def good(limits, row):
        return cells(limits_table({"a": [row]}), f"| {limits} ")[1].startswith("1 of 1")

    assert good("0.07, none, 6", vertebra(Grade.CHECK, 2.6, 1, residual=0.065))
    assert not good("0.06, none, 6", vertebra(Grade.CHECK, 2.6, 1, residual=0.065))
    assert not good("0.07, none, 6", vertebra(Grade.CHECK, 2.6, 2, residual=0.065))
    assert not good("0.06, 0.06, 6", vertebra(Grade.GOOD, 2.6, look=0.065))
    assert good("0.06, none, 6", vertebra(Grade.GOOD, 2.6, look=0.065))
    assert not good("0.06, none, 4", vertebra(Grade.GOOD, 2.6, vertex_sd_mm=5.0))
    assert good("0.06, none, 6", vertebra(Grade.GOOD, 2.6, vertex_sd_mm=5.0))


def test_wilsons_interval_is_that_of_the_literature():
    """Newcombe, Stat Med 1998;17:857, Table I: 81 of 263 give 0.2553 to 0.3662; 0 of 20 give 0 to 0.1611."""
    low, high = wilson(np.array([81 / 263, 0.0]), np.array([263, 20]))
    assert (*low, *high) == pytest.approx((0.2553, 0.0, 0.3662, 0.1611), abs=1e-4)


def test_files_make_tables_and_a_picture(tmp_path, capsys):
    head = "study,level,grade,error_mm,doubts,residual,gap_mm,bound_hits,vertex_sd_mm,look\n"
    rows = [f"s,L1,good,{0.5 + 0.1 * i},0,{0.01 * i},1,0,1,\n" for i in range(8)]
    (tmp_path / "q.csv").write_text(head + "".join(rows) + "s,L2,failed,,1,,,,,\n")
    check_grades({"mine": str(tmp_path / "q.csv")}, str(tmp_path / "grades.png"), limits=True)
    said = capsys.readouterr().out
    assert cells(said, "| mine ")[1:4] == ["9", "1", "8 of 8 (100%)"] and "| 0.03, none, 4 |" in said
    assert (tmp_path / "grades.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("a,b\n1,2\n", "expected the vertebra_quality.csv"),
        ("study,level,grade,error_mm,doubts,residual,gap_mm,bound_hits,vertex_sd_mm,look\n", "holds no vertebra"),
        (
            "study,level,grade,error_mm,doubts,residual,gap_mm,bound_hits,vertex_sd_mm,look\ns,L1,fine,1,0,,,,,\n",
            "'fine'",
        ),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, text, message):
    path = tmp_path / "q.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=rf"q\.csv: .*{message}"):
        check_grades({"mine": str(path)})
    with pytest.raises(InputError, match="at least one name"):
        check_grades({})
