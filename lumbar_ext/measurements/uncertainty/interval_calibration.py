"""Factors that turn the standard deviations of the Laplace approximation into honest ones, and what is known of them.

`interval_fit` chooses them on several sets of validation studies, `interval_check` holds them against people without a part in
that. Both write into one file, which this module reads: of every kind of value the factor, how often the interval held the
truth of validation studies that were left out (which decides whether it is printed), and of the people of the check (which is
told beside it).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.measurements.values.definitions import BY_ID

NORMAL_90 = 1.6448536269514722
"""Half width of the central 90 % of a standard normal distribution."""

VERTEX = "vertex"
"""The kind of value that the position of a vertex along its normal is."""

LUMBOSACRAL = "L5-S1"
"""The segment whose intervals are of kinds of their own: S1 is located by landmarks, the other vertebrae have meshes."""

LEAST_SHARE = 0.85
"""A nominal 90 % interval that held the truth of left-out validation studies less often, in any set, is withheld."""

MIN_CASES = 15
"""Of a kind of value over all sets, to have a factor at all."""

NOT_CALIBRATED = "not calibrated"
"""Why no value of a shape model without factors has an interval."""

_SHIPPED = "interval_calibration.json"

_CALIBRATED_AS = {"pelvic_incidence": "sacral_slope", "pelvic_tilt": "sacral_slope"}
"""Kinds that no study has cases of, with that of which they take the factor: the spread of both comes from S1's landmarks."""


@dataclass(frozen=True)
class Coverage:
    """How often a nominal 90 % interval held the truth.

    Args:
        share: of the cases, 0 to 1.
        cases: how many.
    """

    share: float
    cases: int

    def __str__(self) -> str:
        return f"{self.share:.0%} of {self.cases:,}"


def pooled(coverages: Mapping[str, Coverage]) -> Coverage | None:
    """That of all cases together; None where there are none."""
    cases = sum(own.cases for own in coverages.values())
    return Coverage(sum(own.share * own.cases for own in coverages.values()) / cases, cases) if cases else None


@dataclass(frozen=True)
class Calibration:
    """Factors by kind of value, `interval_kind` or "vertex" for the position of a vertex along its normal.

    Args:
        factors: by kind.
        cases: by kind, how many validation cases there were; kinds with too few for a factor are among them.
        chosen_on: by set, how many validation studies it holds.
        left_out: by kind and set, how often the interval held the truth of studies without a part in choosing its factor.
        checked: by kind and set, the same of people without any part.
        checked_on: who they were, in words.
    """

    factors: dict[str, float]
    cases: dict[str, int]
    chosen_on: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, dict[str, Coverage]] = field(default_factory=dict)
    checked: dict[str, dict[str, Coverage]] = field(default_factory=dict)
    checked_on: str = ""

    def factor(self, kind: str) -> float | None:
        """The factor of a kind; None for one that was not calibrated, or whose interval is withheld."""
        return None if self.withheld(kind) else self.factors.get(self._as(kind))

    def withheld(self, kind: str) -> bool:
        """Whether a kind's interval is not printed because it held the truth too seldom: of left-out validation studies, or,
        where the factors were chosen without leaving any out, of the people of the check.
        """
        lowest = self._lowest(kind)
        return lowest is not None and lowest[1].share < LEAST_SHARE

    def held(self, kind: str) -> Coverage | None:
        """How often the interval of a kind held the truth in the check, all its sets together; None where that is unknown."""
        return None if self.withheld(kind) or kind not in self.factors else pooled(self.checked.get(kind, {}))

    def no_interval(self, kind: str) -> str | None:
        """Why a kind has no interval, a phrase; None where it has one."""
        if self.withheld(kind):
            name, lowest = self._lowest(kind)
            return f"interval withheld: held {lowest} {'left-out validation' if self.left_out else 'checked'} cases ({name})"
        if self.factor(kind) is not None:
            return None
        cases = self.cases.get(self._as(kind), 0)
        return f"no interval: {cases} validation cases, {MIN_CASES} are needed" if self.factors else NOT_CALIBRATED

    def statement(self) -> str:
        """How the intervals were chosen and what the check found, for those who read them."""
        studies = sum(self.chosen_on.values())
        chosen = (
            f"The interval after ± is nominally a 90 % one, chosen on {studies} simulated validation studies so that it holds "
            f"in each of these sets: {', '.join(self.chosen_on)}."
            if studies
            else "The interval after ± is nominally a 90 % one."
        )
        shares = [own.share for kind in self.factors if kind != VERTEX and (own := self.held(kind))]
        if not shares:
            return f"{chosen} It was not held against people without a part in choosing it."
        return (
            f"{chosen} How often it held the true value of {self.checked_on} stands beside each value: {min(shares):.0%} to "
            f"{max(shares):.0%}. On real radiographs it has not been tested."
        )

    def _as(self, kind: str) -> str:
        return kind if kind in self.factors else _CALIBRATED_AS.get(kind, kind)

    def _lowest(self, kind: str) -> tuple[str, Coverage] | None:
        """The set of studies, of those that judge, in which the interval held the truth least often."""
        sets = (self.left_out or self.checked).get(self._as(kind), {})
        return min(sets.items(), key=lambda own: own[1].share, default=None)


@cache
def shipped_calibration() -> Calibration:
    """The factors in the package; none where it has no such file."""
    file = resources.files("lumbar_ext.measurements.uncertainty").joinpath(_SHIPPED)
    return _parsed(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else Calibration({}, {})


def interval_kind(key: tuple[str, str]) -> str:
    """The kind of value that a (subject, definition id) is: the definition, with the segment for L5-S1."""
    subject, definition = key
    return f"{definition} {subject}" if subject == LUMBOSACRAL else definition


def rests_on_landmarks(kind: str) -> bool:
    """Whether a kind of value needs T12 or S1, of which there are landmarks alone."""
    definition, _, segment = kind.partition(" ")
    levels = BY_ID[definition].levels if definition in BY_ID else ()
    return segment == LUMBOSACRAL or bool({"T12", "S1"} & set(levels))


@dataclass(frozen=True)
class Cases:
    """Cases of one kind of value in one set of studies.

    Args:
        errors: [n] estimate minus truth.
        deviations: [n] standard deviations before calibration.
        people: [n] which study, that is, which simulated person, each belongs to.
    """

    errors: np.ndarray
    deviations: np.ndarray
    people: np.ndarray

    def scaled(self) -> np.ndarray:
        """[n] sizes of the errors in standard deviations."""
        return np.abs(self.errors) / np.maximum(self.deviations, 1e-9)

    def only(self, people: frozenset[str], wanted: bool = True) -> Cases:
        """The cases of some people, or of all but these."""
        keep = np.isin(self.people, list(people)) == wanted
        return Cases(self.errors[keep], self.deviations[keep], self.people[keep])

    def coverage(self, factor: float, confidence: float = 0.9) -> Coverage:
        """How often the interval of a nominal confidence holds the truth with a factor."""
        return Coverage(float((self.scaled() <= half_width(confidence) * factor).mean()), len(self.errors))


SetCases = dict[str, Cases]
"""Cases by kind of value, of one set."""


def half_width(confidence: float) -> float:
    """Of the central interval of a standard normal distribution."""
    from scipy.stats import norm

    return float(norm.ppf((1 + confidence) / 2))


def read_tables(tables: Mapping[str, str | Path]) -> dict[str, SetCases]:
    """The tables of a measurement study of several sets, by their names.

    Raises:
        InputError: if there is none, or one cannot be used.
    """
    if not tables:
        raise InputError("tables: expected at least one name with its measurement_errors.csv, found none")
    return {name: read_errors(path) for name, path in tables.items()}


def read_errors(csv_path: str | Path) -> SetCases:
    """Errors and uncalibrated deviations by kind, of rows that have both.

    Raises:
        InputError: if the file is missing or lacks the columns.
    """
    rows: dict[str, list[tuple[float, float, str]]] = {}
    try:
        with Path(csv_path).open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["pipeline_error"] and row["laplace_sd"]:
                    kind = interval_kind((row["subject"], row["id"]))
                    case = float(row["pipeline_error"]), float(row["laplace_sd"]), row["study"]
                    rows.setdefault(kind, []).append(case)
    except OSError as error:
        raise InputError(f"{csv_path}: cannot be read ({error.strerror})") from error
    except KeyError as error:
        raise InputError(
            f"{csv_path}: lacks the column {error}, expected the CSV file of a measurement study"
        ) from error
    return {kind: Cases(*(np.array(column) for column in zip(*own, strict=True))) for kind, own in rows.items()}


def read_interval_calibration(path: str | Path) -> Calibration:
    """Reads a file that `interval_fit.fit_interval_calibration` wrote.

    Raises:
        InputError: if it cannot be read.
    """
    return _read(path)[1]


def read_calibration_document(path: str | Path) -> dict[str, Any]:
    """The content of such a file, for what is put into it.

    Raises:
        InputError: if it cannot be read.
    """
    return _read(path)[0]


def _read(path: str | Path) -> tuple[dict[str, Any], Calibration]:
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        return document, _parsed(document)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read as a calibration ({error})") from error


def coverages_document(coverages: Mapping[str, Mapping[str, Coverage]]) -> dict[str, dict[str, list[float]]]:
    """Coverages by kind and set, as [share, cases]."""
    return {
        kind: {name: [round(own.share, 4), own.cases] for name, own in sets.items()}
        for kind, sets in sorted(coverages.items())
    }


def _coverages(document: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Coverage]]:
    return {
        kind: {name: Coverage(float(share), int(cases)) for name, (share, cases) in sets.items()}
        for kind, sets in document.items()
    }


def _parsed(document: dict[str, Any]) -> Calibration:
    check = document.get("check", {"people": "", "held": {}})
    return Calibration(
        {kind: float(factor) for kind, factor in document["factors"].items()},
        {kind: int(count) for kind, count in document["cases"].items()},
        {name: int(count) for name, count in document.get("studies", {}).items()},
        _coverages(document.get("left_out", {})),
        _coverages(check["held"]),
        check["people"],
    )
