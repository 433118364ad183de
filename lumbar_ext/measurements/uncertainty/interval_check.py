"""Holds the calibrated intervals against people without a part in choosing their factors.

    lumbar-ext check-measurements "{'plain': 'a.csv', 'findings': 'b.csv'}" --record calibration.json

What is found is told beside each value; it decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import cycle

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import write_text
from lumbar_ext.measurements.uncertainty.interval_calibration import (
    NORMAL_90,
    Cases,
    Coverage,
    SetCases,
    coverages_document,
    pooled,
    read_calibration_document,
    read_interval_calibration,
    read_tables,
    shipped_calibration,
)

# at which stated and observed shares are compared
LEVELS_OF_CONFIDENCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def check(
    tables: dict[str, str],
    picture: str | None = None,
    calibration: str | None = None,
    record: str | None = None,
    people: str = "other simulated people",
) -> None:
    """Prints how often calibrated intervals hold the truth of other people, by kind of value and set, draws and records it.

    Args:
        tables: by name of the set, a study's `measurement_errors.csv`.
        picture: PNG file for the plot; none by default.
        calibration: JSON file of factors, by default that of `record`, or the package's own.
        record: JSON file of factors to write the result to, so that it stands beside each value; none by default.
        people: who was measured, in words that follow their number, for the record.

    Raises:
        InputError: if a file cannot be used, or holds no value that is calibrated.
    """
    source = calibration or record
    known = read_interval_calibration(source) if source else shipped_calibration()
    sets = read_tables(tables)
    kinds = [kind for kind in dict.fromkeys(kind for own in sets.values() for kind in own) if kind in known.factors]
    if not kinds:
        raise InputError(
            f"{', '.join(tables.values())}: holds no value that is calibrated, expected definition ids such as 'cobb'"
        )
    held = {
        kind: {name: own[kind].coverage(known.factors[kind]) for name, own in sets.items() if kind in own}
        for kind in kinds
    }
    print(_printed(sets, known.factors, held))
    if record:
        document = read_calibration_document(record)
        document["check"] = {
            "made_by": "lumbar-ext check-measurements",
            "people": f"{_count(sets)} {people}",
            "held": coverages_document(held),
        }
        write_text(record, json.dumps(document, indent=1) + "\n")
    if picture:
        _draw(picture, sets, known.factors, held)


def _count(sets: Mapping[str, SetCases]) -> int:
    """How many studies all sets hold."""
    return sum(len({str(person) for own in table.values() for person in own.people}) for table in sets.values())


def people_held(cases: Cases, factor: float) -> Coverage:
    """In how many of the people the interval held the truth in every case; cases of one person miss together or not at all."""
    inside = cases.scaled() <= NORMAL_90 * factor
    people = sorted(set(cases.people))
    return Coverage(float(np.mean([inside[cases.people == person].all() for person in people])), len(people))


def _printed(
    sets: Mapping[str, SetCases], factors: Mapping[str, float], held: Mapping[str, Mapping[str, Coverage]]
) -> str:
    """A row a kind of value, with two columns a set: the share of its cases, and of the people in whom all were held."""
    titles = [f"{name}: {what}" for name in sets for what in ("cases held", "people with all held")]
    lines = [f"| value | {' | '.join(titles)} | all |", "|---" * (len(titles) + 2) + "|"]
    for kind, own in held.items():
        cells = []
        for name, table in sets.items():
            cells += [str(own[name]), str(people_held(table[kind], factors[kind]))] if name in own else ["", ""]
        lines.append(f"| {kind} | {' | '.join(cells)} | {pooled(own).share:.0%} |")
    by_set = {name: pooled({kind: own[name] for kind, own in held.items() if name in own}) for name in sets}
    cells = [text for own in by_set.values() for text in (str(own or ""), "")]
    lines.append(f"| all | {' | '.join(cells)} | {pooled({n: own for n, own in by_set.items() if own}).share:.0%} |")
    return "\n".join(lines)


def _draw(
    picture: str,
    sets: Mapping[str, SetCases],
    factors: Mapping[str, float],
    held: Mapping[str, Mapping[str, Coverage]],
) -> None:
    """Observed against nominal coverage of each set, and the 90 % coverage of each kind in each set."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 8), width_ratios=(1, 1.3), layout="constrained")
    left.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="ideal")
    names = sorted(held, key=lambda kind: pooled(held[kind]).share)
    styles = cycle(zip(("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"), "os^vDP", strict=True))
    for (name, table), (colour, marker) in zip(sets.items(), styles, strict=False):
        own = {kind: table[kind] for kind in held if kind in table}
        observed = [
            pooled({kind: cases.coverage(factors[kind], level) for kind, cases in own.items()}).share
            for level in LEVELS_OF_CONFIDENCE
        ]
        left.plot(LEVELS_OF_CONFIDENCE, observed, marker=marker, color=colour, label=f"{name}, all values")
        places = [place for place, kind in enumerate(names) if kind in own]
        shares = [held[names[place]][name].share for place in places]
        right.plot(shares, places, marker, color=colour, markersize=4, label=name)
    left.set(xlabel="nominal confidence", ylabel="share of cases inside the interval", xlim=(0, 1), ylim=(0, 1))
    left.set_aspect("equal")
    left.legend()
    right.axvspan(0.85, 0.95, color="#009E73", alpha=0.2, label="85-95 %")
    right.set_yticks(range(len(names)), names, fontsize=6)
    right.set(xlabel="share of cases inside the nominal 90 % interval", xlim=(0.4, 1.02))
    right.legend(loc="lower left")
    figure.savefig(picture, dpi=110)
    plt.close(figure)
