"""Endplates that films do not show, so that nothing may be told of them: values that need one are null with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import get_args

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.measurements.marks.vertebra_marks import MarkedVertebra, NotMeasurableError
from lumbar_ext.measurements.values.endplates import Side
from lumbar_ext.measurements.values.segment import (
    anterior_disc_height_mm,
    middle_disc_height_mm,
    posterior_disc_height_mm,
)

CLOSED_MM = 5.0
"""A disc that is lower in front, in the middle and behind is taken for none. Of nine simulated people with fused L2 and L3
(seeds from 800000, `--split train --pathology mixed`) reconstructions leave at most 4.5 mm there, in all 64 of
their other discs and those of ten validation people 5.8 mm or more."""

HiddenEndplates = Mapping[tuple[str, Side], str]
"""By level and side, why an endplate cannot be had."""

_HEIGHTS = (anterior_disc_height_mm, middle_disc_height_mm, posterior_disc_height_mm)


def closed_discs(spine: Mapping[str, MarkedVertebra]) -> HiddenEndplates:
    """Both endplates of every lumbar disc that is closed: its vertebrae are fused, or too near for films to part them.

    Not of L5-S1, where landmarks alone tell the height, and err by millimetres.

    Args:
        spine: marked vertebrae of one shape.
    """
    hidden: dict[tuple[str, Side], str] = {}
    for upper, lower in pairwise(LEVELS):
        if upper not in spine or lower not in spine:
            continue
        try:
            highest = max(float(height(spine[upper], spine[lower])) for height in _HEIGHTS)
        except NotMeasurableError:
            continue
        if highest < CLOSED_MM:
            reason = (
                f"{upper} and {lower} are nowhere {CLOSED_MM:g} mm apart: they are fused, or the endplates between them cannot "
                "be told apart"
            )
            hidden[upper, "inferior"] = hidden[lower, "superior"] = reason
    return hidden


def covered_endplates(names: Sequence[str]) -> HiddenEndplates:
    """Endplates that a user says metal covers.

    Args:
        names: such as "L4 inferior".

    Raises:
        InputError: for anything else.
    """
    known = {f"{level} {side}": (level, side) for level in (*LEVELS, "S1") for side in get_args(Side)}
    for name in names:
        if name not in known or name == "S1 inferior":
            raise InputError(
                f"hidden_endplates: {name!r}, expected a level and a side such as 'L4 inferior' or 'S1 superior'"
            )
    return {known[name]: f"the {name.split()[1]} endplate of {name.split()[0]} was said to be hidden" for name in names}


def without_endplates(spine: Mapping[str, MarkedVertebra], hidden: HiddenEndplates) -> dict[str, MarkedVertebra]:
    """The spine without the marks of hidden endplates."""
    seen = dict(spine)
    for (level, side), reason in hidden.items():
        if level in seen:
            seen[level] = seen[level].without(f"{side}_", reason)
    return seen
