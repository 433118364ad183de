"""Chooses the factors of the intervals on several sets of validation studies.

    lumbar-ext calibrate-measurements "{'plain': 'a.csv', 'findings': 'b.csv'}" --calibration calibration.json

Each table is written by the measurement study, see `evaluation.measurement_study`. For each kind of value the factor is the
smallest with which a nominal 90 % interval holds its share in *every* set that has enough people. What is shown by that: a
new case of a new simulated person, drawn as those of any one of the sets were, lies inside with a probability of 90 %. What is
not: all validation people descend from one real person, so nothing is promised of another one; `interval_check` tells.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import write_text
from lumbar_ext.measurements.uncertainty.interval_calibration import (
    LUMBOSACRAL,
    MIN_CASES,
    Cases,
    Coverage,
    SetCases,
    coverages_document,
    half_width,
    interval_kind,
    pooled,
    read_tables,
    rests_on_landmarks,
)
from lumbar_ext.measurements.values.definitions import DEFINITIONS

ALL_SETS = "all sets"
"""Their cases together, as a set of its own: of kinds that no set has enough people of."""

_FOLDS = 5  # parts of the people of each set that are left out in turn
_FEW_CASES = 60  # below them, over all sets, a factor is drawn towards that of kinds with the same unit
_LEAST_OF_LANDMARKS = 1.0
"""A network was trained to the spread that it states of its landmarks: few cases of one skeleton do not narrow it."""


@dataclass(frozen=True)
class Factors:
    """Chosen factors.

    Args:
        factors: by kind.
        decided_by: by kind, the set that needed the largest.
    """

    factors: dict[str, float]
    decided_by: dict[str, str]


def new_person_quantile(scaled: np.ndarray, people: np.ndarray, confidence: float = 0.9) -> float | None:
    """A bound that a case of a new person keeps with a probability of `confidence`; None where the people are too few.

    Cases of one person err alike, so that a hundred cases of twenty people are not a hundred. Taken as exchangeable are the
    people: each has the weight 1 / (K + 1), shared by its cases, and the new one's lies at infinity (hierarchical conformal
    prediction; Lee, Barber & Willett, arXiv 2306.06342, 2023). With one case a person that is split conformal prediction, at
    rank `ceil((K + 1) confidence)`. Nine people are the fewest for 90 %.

    Args:
        scaled: [n] sizes of the errors in standard deviations.
        people: [n] whom each belongs to.
        confidence: nominal.
    """
    if not len(scaled):
        return None
    _, which, counts = np.unique(people, return_inverse=True, return_counts=True)
    order = np.argsort(scaled, kind="stable")
    weights = np.cumsum(1 / counts[which][order]) / (len(counts) + 1)
    place = int(np.searchsorted(weights, confidence - 1e-9))
    return float(scaled[order][place]) if place < len(scaled) else None


def fit_factors(tables: Mapping[str, SetCases], confidence: float = 0.9) -> Factors:
    """Factors for which the interval of a confidence holds that share of new cases in every set, kind by kind.

    Of kinds with fewer than 60 cases, as of values of the whole spine, chance decides still; such a factor is at least the
    median one of its unit.

    Args:
        tables: by set, cases by kind.
        confidence: nominal.
    """
    factors, decided_by = {}, {}
    kinds = dict.fromkeys(kind for table in tables.values() for kind in table)
    together = {kind: _together(tables, kind) for kind in kinds}
    for kind in kinds:
        if len(together[kind].errors) < MIN_CASES:
            continue
        sets = {**{name: table[kind] for name, table in tables.items() if kind in table}, ALL_SETS: together[kind]}
        needed = {name: new_person_quantile(own.scaled(), own.people, confidence) for name, own in sets.items()}
        known = {name: bound / half_width(confidence) for name, bound in needed.items() if bound is not None}
        if not known:
            continue
        decided_by[kind] = max(known, key=known.get)
        factors[kind] = known[decided_by[kind]]
        if rests_on_landmarks(kind):
            factors[kind] = max(factors[kind], _LEAST_OF_LANDMARKS)
    cases = {kind: len(together[kind].errors) for kind in kinds}
    return Factors(_not_below_their_unit(factors, cases), decided_by)


def left_out_coverage(tables: Mapping[str, SetCases]) -> dict[str, dict[str, Coverage]]:
    """By kind and set, how often the interval holds the truth of people without a part in choosing its factor.

    A fifth of the people of each set is left out in turn. Kinds that the other people have no factor of are left away.
    """
    held: dict[str, dict[str, dict[str, Coverage]]] = {}
    folds = {name: _folds(table) for name, table in tables.items()}
    for turn in range(_FOLDS):
        rest = {name: _only(table, folds[name][turn], False) for name, table in tables.items()}
        factors = fit_factors(rest).factors
        for name, table in tables.items():
            for kind, cases in _only(table, folds[name][turn]).items():
                if kind in factors:
                    own = cases.coverage(factors[kind])
                    held.setdefault(kind, {}).setdefault(name, {})[str(turn)] = own
    return {kind: {name: pooled(own) for name, own in sets.items()} for kind, sets in held.items()}


def unseen_set_coverage(tables: Mapping[str, SetCases]) -> dict[str, dict[str, Coverage]]:
    """The same of whole sets that had no part in choosing the factors: what a kind of study costs that nobody thought of."""
    held: dict[str, dict[str, Coverage]] = {}
    for name, table in tables.items():
        factors = fit_factors({other: own for other, own in tables.items() if other != name}).factors
        for kind in table:
            if kind in factors:
                held.setdefault(kind, {})[name] = table[kind].coverage(factors[kind])
    return held


def fit_interval_calibration(tables: dict[str, str], calibration: str) -> None:
    """Chooses factors on the errors of sets of validation studies, prints how they fare on left-out people, writes them.

    Args:
        tables: by name of the set, a study's `measurement_errors.csv`.
        calibration: JSON file to write.

    Raises:
        InputError: if a file cannot be used, or no kind of value has enough cases.
    """
    sets = read_tables(tables)
    chosen = fit_factors(sets)
    if not chosen.factors:
        kinds = {kind for table in sets.values() for kind in table}
        raise InputError(
            f"{', '.join(tables.values())}: {len(kinds)} kinds of values with an interval, none in {MIN_CASES} cases of nine "
            "people or more: nothing written"
        )
    left_out, unseen = left_out_coverage(sets), unseen_set_coverage(sets)
    cases = {kind: sum(len(own[kind].errors) for own in sets.values() if kind in own) for kind in _kinds(sets)}
    document = {
        "made_by": "lumbar-ext calibrate-measurements",
        "studies": {name: len(_people(table)) for name, table in sets.items()},
        "factors": {kind: round(factor, 4) for kind, factor in sorted(chosen.factors.items())},
        "cases": dict(sorted(cases.items())),
        "decided_by": dict(sorted(chosen.decided_by.items())),
        "left_out": coverages_document({kind: own for kind, own in left_out.items() if kind in chosen.factors}),
        "set_left_out": coverages_document({kind: own for kind, own in unseen.items() if kind in chosen.factors}),
    }
    write_text(calibration, json.dumps(document, indent=1) + "\n")
    print(_printed(sets, chosen, left_out, unseen))
    median = np.median(list(chosen.factors.values()))
    print(f"\n{len(chosen.factors)} factors, median {median:.2f}, written to {calibration}")


def _printed(
    sets: Mapping[str, SetCases],
    chosen: Factors,
    left_out: Mapping[str, Mapping[str, Coverage]],
    unseen: Mapping[str, Mapping[str, Coverage]],
) -> str:
    """The factors, and how often their intervals held the truth of left-out people, as a Markdown table."""
    lines = [
        f"| value | cases | factor | decided by | {' | '.join(f'{name}: held' for name in sets)} | lowest unseen set |",
        "|---" * (len(sets) + 5) + "|",
    ]
    for kind in _kinds(sets):
        cases = sum(len(own[kind].errors) for own in sets.values() if kind in own)
        if kind not in chosen.factors:
            lines.append(f"| {kind} | {cases} | too few |" + " |" * (len(sets) + 2))
            continue
        shares = [f"{own[name].share:.0%}" if name in (own := left_out.get(kind, {})) else "" for name in sets]
        lowest = min((own.share for own in unseen.get(kind, {}).values()), default=None)
        last = "" if lowest is None else f"{lowest:.0%}"
        cells = [kind, str(cases), f"{chosen.factors[kind]:.2f}", chosen.decided_by[kind], *shares, last]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _kinds(sets: Mapping[str, SetCases]) -> list[str]:
    return list(dict.fromkeys(kind for table in sets.values() for kind in table))


def _together(tables: Mapping[str, SetCases], kind: str) -> Cases:
    """The cases of a kind in all sets; people of different sets are different ones."""
    parts = {name: table[kind] for name, table in tables.items() if kind in table}
    people = [np.array([f"{name}/{person}" for person in own.people]) for name, own in parts.items()]
    errors, deviations = ([getattr(own, which) for own in parts.values()] for which in ("errors", "deviations"))
    return Cases(np.concatenate(errors), np.concatenate(deviations), np.concatenate(people))


def _people(table: SetCases) -> list[str]:
    return sorted({str(person) for own in table.values() for person in own.people})


def _folds(table: SetCases) -> list[frozenset[str]]:
    people = _people(table)
    return [frozenset(people[turn::_FOLDS]) for turn in range(_FOLDS)]


def _only(table: SetCases, people: frozenset[str], wanted: bool = True) -> SetCases:
    parts = {kind: own.only(people, wanted) for kind, own in table.items()}
    return {kind: own for kind, own in parts.items() if len(own.errors)}


def _not_below_their_unit(factors: dict[str, float], cases: Mapping[str, int]) -> dict[str, float]:
    """Raises the factors of kinds with few cases to the median over kinds of their unit that have many.

    Not those of kinds that rest on landmarks: these know their spread from the network, not from the registration's parabola.
    """
    units = {
        interval_kind((subject, definition.id)): definition.unit
        for definition in DEFINITIONS
        for subject in ("", LUMBOSACRAL)
    }
    many: dict[str | None, list[float]] = {}
    own = [kind for kind in factors if not rests_on_landmarks(kind)]
    for kind in own:
        if cases[kind] >= _FEW_CASES:
            many.setdefault(units.get(kind), []).append(factors[kind])
    few = {kind for kind in own if cases[kind] < _FEW_CASES and units.get(kind) in many}
    return {
        kind: max(factor, float(np.median(many[units.get(kind)]))) if kind in few else factor
        for kind, factor in factors.items()
    }
