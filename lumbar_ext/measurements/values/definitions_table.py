"""Prints the table of definitions that `docs/measurements.md` of the bundle holds.

lumbar-ext definitions
"""

from __future__ import annotations

from lumbar_ext.measurements.values.definitions import DEFINITIONS, Definition, subject_name
from lumbar_ext.measurements.values.reference_ranges import NO_RANGE, ReferenceRange, reference_range


def definitions_table() -> str:
    """A Markdown table, one row a definition: id, unit, definition, its source, reference range with source."""
    lines = ["| id | unit | definition | source | reference range, its source |", "|---|---|---|---|---|"]
    lines += [f"| `{d.id}` | {d.unit} | {d.text} | {d.source} | {_ranges(d)} |" for d in DEFINITIONS]
    return "\n".join(lines)


def print_table() -> None:
    """Prints the table of definitions of all measurements."""
    print(definitions_table())


def _ranges(definition: Definition) -> str:
    """The ranges of all subjects, equal ones together."""
    by_range: dict[ReferenceRange, list[str]] = {}
    own = [subject_name(levels) for levels in definition.subjects]
    for subject in own:
        found = reference_range(definition.id, subject)
        if found is not None:
            by_range.setdefault(found, []).append(subject)
    if not by_range:
        return NO_RANGE
    parts = [("" if names == own else f"{', '.join(names)}: ") + f"{_ends(found)}" for found, names in by_range.items()]
    sources = dict.fromkeys(found.source for found in by_range)
    return "; ".join(parts) + " (" + "; ".join(sources) + ")"


def _ends(found: ReferenceRange) -> str:
    if found.high is None:
        return f"at least {found.low:g}"
    return f"at most {found.high:g}" if found.low is None else f"{found.low:g} to {found.high:g}"
