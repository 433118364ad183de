"""Reference ranges of adults from the literature, with their sources: `reference_ranges.json`.

A range is `[low, high]` or open on one side; where no published range has the definition used here there is none, and
nothing is said about the value. Of some values there is a second range, which nobody's lumbar spine leaves.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

_ALL = "*"
NO_RANGE = "no published range with this definition is known here"


@dataclass(frozen=True)
class ReferenceRange:
    """What is usual.

    Args:
        low, high: None where open.
        source: where it comes from, and for whom.
    """

    low: float | None
    high: float | None
    source: str

    def reached_by(self, low: float, high: float) -> bool:
        """Whether any value from `low` to `high` lies inside; one value is both."""
        return (self.low is None or high >= self.low) and (self.high is None or low <= self.high)


def reference_range(definition_id: str, subject: str) -> ReferenceRange | None:
    """The range of a value of a subject such as "L3" or "L3-L4"; None where there is none."""
    return _range("ranges", definition_id, subject)


def possible_range(definition_id: str, subject: str) -> ReferenceRange | None:
    """Beyond which a value is none of a person, but a mistake; None where that is not told."""
    return _range("possible", definition_id, subject)


def _range(kind: str, definition_id: str, subject: str) -> ReferenceRange | None:
    ranges = _table()[kind].get(definition_id, {})
    entry = ranges.get(subject, ranges.get(_ALL))
    if entry is None:
        return None
    low, high, source = entry
    return ReferenceRange(low, high, _table()["sources"][source])


@cache
def _table() -> dict[str, Any]:
    text = (
        resources.files("lumbar_ext.measurements.values").joinpath("reference_ranges.json").read_text(encoding="utf-8")
    )
    return json.loads(text)
