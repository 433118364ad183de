"""What a finished run says, and how it ends."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.measurements.uncertainty.assessment import Assessment, Measurement
from lumbar_ext.measurements.uncertainty.grade import Grade, Quality
from lumbar_ext.workflow.run_summary import end_reconstruction, is_usable, reconstruction_summary

LORDOSIS = Measurement("L1-L5", "lordosis_l1_l5", 41.26, 2.0, (37.9, 44.6), None, None, None, None)
COBB = Measurement("L1-L5", "cobb", None, None, None, "L4 is missing", None, None, None)


def finished(grades, output_dir="out"):
    """An evaluator that has run; a grade for each level."""
    qualities = [Quality(grade, 0.1, 1.0, 0, 1.0, () if grade is Grade.GOOD else ("why",)) for grade in grades]
    assessment = Assessment((LORDOSIS, COBB), {}, dict(zip(LEVELS, qualities, strict=True)), True)
    levels = SimpleNamespace(warnings=("the count is uncertain",))
    batch = {
        "study": SimpleNamespace(warnings=("polarity was guessed",)),
        "observed": SimpleNamespace(levels=levels, doubts=("the ap film is hardly one",)),
        "landmarks": None,
        "by_hand": None,
        "guessed": ("L5 was not found in both views",),
        "output_dir": output_dir,
    }
    output = {"pred": SimpleNamespace(warnings=("L2 stands on a bound",), vertebrae={}), "assessment": assessment}
    return SimpleNamespace(state=SimpleNamespace(batch=batch, output=output))


def test_levels_headlines_warnings_and_places_are_said(tmp_path, capsys):
    grades = [Grade.GOOD, Grade.CHECK, Grade.FAILED, Grade.GOOD, Grade.GOOD]
    end_reconstruction(finished(grades, tmp_path))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["L1: good", "L2: check (why)", "L3: failed (why)"]
    assert any("41.3° (90 % interval 37.9 to 44.6)" in line for line in lines)
    assert any(line.endswith("L4 is missing") for line in lines)
    said = (
        "the ap film is hardly one",
        "polarity was guessed",
        "the count is uncertain",
        "L5 was not found in both views",
        "L2 stands on a bound",
    )
    assert {f"warning: {text}" for text in said} <= set(lines)
    assert lines[-2:] == [f"results: {tmp_path}", f"report: {tmp_path / 'report.html'}"]


def test_a_run_of_which_nothing_is_usable_ends_with_its_own_status(capsys):
    failed = finished([Grade.FAILED] * 5)
    assert not is_usable(failed.state.output["assessment"])
    with pytest.raises(SystemExit) as end:
        end_reconstruction(failed)
    assert end.value.code == 3 and "nothing is usable" in capsys.readouterr().err


@pytest.mark.parametrize("apart", [False, True])
def test_a_warning_is_read_once_on_a_terminal_and_stands_in_each_of_two_files(tmp_path, apart):
    """Standard output and standard error in one file, as on a terminal, or in two."""
    code = (
        "from tests.workflow.test_run_summary import *; from lumbar_ext.workflow.error_reporting import show_warning\n"
        "show_warning('polarity was guessed', UserWarning); end_reconstruction(finished([Grade.GOOD] * 5))"
    )
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        subprocess.run([sys.executable, "-c", code], stdout=out, stderr=err if apart else out, check=True)
    told = [(tmp_path / name).read_text().count("warning: polarity was guessed\n") for name in ("out", "err")]
    assert told == ([1, 1] if apart else [1, 0])
    assert (tmp_path / "out").read_text().count("warning: the count is uncertain\n") == 1


def test_a_warning_of_every_study_is_read(tmp_path):
    """Python shows the same words once a process; of a second study the summary tells them."""
    code = (
        "from tests.workflow.test_run_summary import *; from lumbar_ext.workflow.error_reporting import show_warning\n"
        "show_warning('polarity was guessed', UserWarning)\n"
        "end_reconstruction(finished([Grade.GOOD] * 5)); end_reconstruction(finished([Grade.GOOD] * 5))"
    )
    with (tmp_path / "out").open("w") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, stderr=out, check=True)
    assert (tmp_path / "out").read_text().count("warning: polarity was guessed\n") == 2


@pytest.mark.parametrize("grade", [Grade.GOOD, Grade.CHECK])
def test_one_usable_vertebra_is_a_result(grade):
    end_reconstruction(finished([*[Grade.FAILED] * 4, grade]))


def test_without_files_no_place_is_named():
    data = finished([Grade.GOOD] * 5, None)
    assert "results:" not in reconstruction_summary({**data.state.batch, **data.state.output})
