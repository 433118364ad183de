"""Studies of one person over time: what has changed by more than the measurement's own error.

Each study's interval is that of its error against the truth. Taken as independent, the errors of two studies add in
squares. In truth they share what the shape model does not know of this person, which leaves the difference: the interval
of a change is then too wide rather than too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lumbar_ext.errors import InputError
from lumbar_ext.measurements.uncertainty.assessment import Measurement
from lumbar_ext.measurements.uncertainty.interval_calibration import NORMAL_90
from lumbar_ext.measurements.values.definitions import BY_ID


@dataclass(frozen=True)
class Change:
    """A value in every study, against the first.

    Args:
        subject: "L3", "L3-L4", "L1-L5" or "S1".
        id: of its definition.
        values: in each study; None where it cannot be had.
        differences: each later study's less the first's; None where one is missing.
        half_widths: of the differences' 90 % intervals; None where an uncertainty is unknown.
    """

    subject: str
    id: str
    values: tuple[float | None, ...]
    differences: tuple[float | None, ...]
    half_widths: tuple[float | None, ...]

    @property
    def title(self) -> str:
        """The value's name for people, from its definition."""
        return BY_ID[self.id].title

    @property
    def unit(self) -> str:
        """The value's unit, from its definition; "1" for ratios."""
        return BY_ID[self.id].unit

    @property
    def sure(self) -> tuple[bool | None, ...]:
        """Of each later study, whether the interval of its difference excludes zero; None where there is no interval."""
        return tuple(
            None if difference is None or half is None else abs(difference) > half
            for difference, half in zip(self.differences, self.half_widths, strict=True)
        )


def changes(studies: Sequence[Sequence[Measurement]]) -> tuple[Change, ...]:
    """Every value of the first study with what became of it.

    Args:
        studies: measurements of each study, in the order of time; at least two.

    Raises:
        InputError: for fewer than two studies.
    """
    if len(studies) < 2:
        raise InputError(f"follow-up: found {len(studies)} study, expected at least two of one person")
    later = [{(m.subject, m.id): m for m in study} for study in studies[1:]]
    return tuple(_change(first, [study.get((first.subject, first.id)) for study in later]) for first in studies[0])


def _change(first: Measurement, later: Sequence[Measurement | None]) -> Change:
    values = (first.value, *(None if m is None else m.value for m in later))
    return Change(
        first.subject,
        first.id,
        values,
        tuple(None if first.value is None or value is None else value - first.value for value in values[1:]),
        tuple(
            None if m is None or first.sd is None or m.sd is None else NORMAL_90 * math.hypot(first.sd, m.sd)
            for m in later
        ),
    )
