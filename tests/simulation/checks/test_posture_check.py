"""The posture tables."""

import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.simulation.checks.posture_check import posture_check


def test_the_command_prints_its_tables(capsys):
    posture_check(2, 2)
    printed = capsys.readouterr().out
    rows = {
        cells[1].strip(): cells[2] for cells in (line.split("|") for line in printed.splitlines()) if len(cells) > 3
    }
    means = {
        name: [float(part.split("±")[0]) for part in cell.split(", ")] for name, cell in rows.items() if "±" in cell
    }
    # Two people within two published standard deviations; discs and bends of the size that people have.
    assert means["lordosis L1-S1, deg"][0] == pytest.approx(49.8, abs=2 * 11.2)
    heights = means["height of the disc at its middle, mm"]
    assert len(heights) == 5 and min(heights) > 5 and max(heights) < 18
    bends = means["both lateral bends"]
    assert len(bends) == 5 and min(bends) > 0 and max(bends) < 25
    assert "0 of 4 postures hold two neighbours" in printed


def test_one_person_is_too_few():
    with pytest.raises(InputError, match="at least 2"):
        posture_check(1)
