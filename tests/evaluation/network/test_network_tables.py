import pytest

from lumbar_ext.evaluation.network.network_tables import paper_tables
from lumbar_ext.evaluation.network.paper import PAPER, TYPES


def row_of(table, label):
    (line,) = (line for line in table.splitlines() if line.startswith(f"| {label} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_our_row_stands_beside_the_papers(evaluated_view):
    views = [evaluated_view(1.5, view="ap", dice=0.99), evaluated_view(3.0, view="lat", dice=0.97)]
    first, second, third, levels = paper_tables(views).split("\n\n")[1::2]
    assert row_of(first, "a, simulated")[1] == "0.990 / 0.970" and "0.995 / 0.993" in first
    assert "| a, simulated | LAT | 3.00 | 3.00 | 3.00 | 3.00 | 3.00 |" in second and "| 2.34 |" in second
    assert "| a, simulated | AP |" + " 100.0 / 100.0 / 100.0 |" * 4 in third and "76.9 / 98.6 / 99.9" in third
    assert row_of(levels, "a, simulated")[1:5] == ["2", "0.0", "0.0", "0.0"]


def test_findings_have_rows_of_their_own_where_there_are_any(evaluated_view):
    views = [
        evaluated_view(2.0, findings=("fused",), missed_levels=(0,)),
        evaluated_view(1.0),
        evaluated_view(set_name="b"),
    ]
    levels = paper_tables(views).split("\n\n")[-1]
    assert row_of(levels, "a: fused")[1:5] == ["1", "20.0", "0.0", "100.0"]
    assert row_of(levels, "a: no finding")[1:5] == ["1", "0.0", "0.0", "0.0"]
    assert row_of(levels, "a, simulated")[1:3] == ["2", "10.0"]
    assert "b, simulated" in levels and "b:" not in levels


def test_a_set_with_one_view_leaves_the_other_open(evaluated_view):
    tables = paper_tables([evaluated_view(view="lat")])
    assert "| a, simulated | - / 0.500 |" in tables and "| a, simulated | AP |" not in tables


def test_every_row_of_a_table_has_the_headers_columns(evaluated_view):
    views = [evaluated_view(view=view, set_name=name, findings=("fused",)) for view in ("ap", "lat") for name in "ab"]
    for table in paper_tables(views, tuple(PAPER)).split("\n\n")[1::2]:
        assert len({line.count("|") for line in table.splitlines()}) == 1


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_totals_are_the_means_of_its_types(name):
    """Two of seven landmarks are endplates, two transverse, two pedicles, one spinous: guards against misprints here."""
    for row in PAPER[name].values():
        mean = sum(row.error_mm[t] * n for t, n in zip(TYPES, (2, 2, 2, 1), strict=True)) / 7
        assert row.error_mm["total"] == pytest.approx(mean, abs=0.03)
