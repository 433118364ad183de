"""All values of a set of items, and the report that is made of them, from one process and from several."""

import psutil
import pytest

from lumbar_ext.engine.completed import Gathered, completed, report_completed
from lumbar_ext.errors import InputError
from tests.engine.faulty import Faulty


def children():
    return [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("workers", [1, 2])
def test_one_process_and_several_give_the_same_values(tmp_path, workers):
    items = [f"good-{i}" for i in range(5)]
    found = list(completed(Faulty(str(tmp_path)), items, items, workers, threads=1))
    assert sorted(found) == [(index, item.upper()) for index, item in enumerate(items)]
    assert len(list(tmp_path.glob("prepared-*"))) <= workers and not children()


def test_refused_and_crashed_items_are_named(tmp_path):
    with pytest.raises(InputError, match="expected a radiograph"):
        list(completed(Faulty(str(tmp_path)), ["good", "refuse"], ["a", "b"], 2))
    found = []
    with pytest.raises(RuntimeError, match=r"1 studies crashed; all others are there\nb: .*status 7"):
        found.extend(completed(Faulty(str(tmp_path)), ["good", "exit"], ["a", "b"], 2))
    assert found == [(0, "GOOD")]


def reported(folder, items, workers):
    """The values in the order in which they were reported, and what was raised after that."""
    reports, error = [], None
    try:
        report_completed(Faulty(str(folder)), items, items, Gathered(reports.append), workers)
    except Exception as raised:
        error = raised
    return reports, error


@pytest.mark.parametrize("workers", [1, 2])
def test_a_report_has_the_order_of_the_items(tmp_path, workers):
    items = ["slow-0", *(f"good-{i}" for i in range(5))]  # the first ends last where there are several processes
    assert reported(tmp_path, items, workers) == ([[item.upper() for item in items]], None)


def test_a_process_that_dies_costs_its_item_another_attempt(tmp_path):
    assert reported(tmp_path, ["once", "good"], 2) == ([["ONCE", "GOOD"]], None)
    assert (tmp_path / "attempts.txt").read_text().split().count("once") == 2


def test_what_crashes_each_time_is_missing_from_the_report_and_named(tmp_path):
    reports, error = reported(tmp_path, ["a", "die", "b"], 2)
    assert reports == [["A", "B"]]
    assert isinstance(error, RuntimeError) and "\ndie: the process was ended by SIGKILL" in str(error)


@pytest.mark.parametrize("workers", [1, 2])
def test_of_a_set_with_an_item_that_is_refused_there_is_no_report(tmp_path, workers):
    reports, error = reported(tmp_path, ["good", "refuse"], workers)
    assert reports == [] and isinstance(error, InputError) and "expected a radiograph" in str(error)
