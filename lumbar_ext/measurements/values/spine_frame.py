"""Levels of a marked spine, and the frame in which its alignment is told."""

from __future__ import annotations

from collections.abc import Mapping

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.measurements.marks.vertebra_frame import Axes
from lumbar_ext.measurements.marks.vertebra_marks import MarkedVertebra, NotMeasurableError
from lumbar_ext.measurements.values.frames import lumbar_axes


def regional_axes(spine: Mapping[str, MarkedVertebra]) -> Axes:
    """The lumbar frame of those of L1 to L5 that are there; see `frames.lumbar_axes`."""
    return lumbar_axes([spine[level].axes for level in LEVELS if level in spine])


def marked_level(spine: Mapping[str, MarkedVertebra], level: str) -> MarkedVertebra:
    """A level of a spine.

    Raises:
        NotMeasurableError: if it is missing.
    """
    if level not in spine:
        raise NotMeasurableError(f"{level} is missing")
    return spine[level]
