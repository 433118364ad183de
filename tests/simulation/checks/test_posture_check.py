"""The posture tables."""

import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.simulation.checks.posture_check import posture_check


def test_the_command_prints_its_tables(capsys):
    posture_check(2, 2)
    printed = capsys.readouterr().out
    assert "| lordosis L1-S1, deg |" in printed
    assert "| both lateral bends |" in printed
    assert "0 of 4 postures hold two neighbours" in printed


def test_one_person_is_too_few():
    with pytest.raises(InputError, match="at least 2"):
        posture_check(1)
