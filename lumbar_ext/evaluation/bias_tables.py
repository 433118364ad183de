"""Whose fault a bias is, and whether a correction would help: tables of measurement errors of the same studies, side by side.

    lumbar-ext apportion-biases "{'validation': 'out/measurements/validation-plain', 'test': 'out/measurements/test-plain'}"

In each folder lie `shape_errors.csv` (`lumbar-ext evaluate-shape-values`: closest instances of the shape model),
`truth/measurement_errors.csv` (`lumbar-ext evaluate-measurements --inputs "true decompositions and landmarks"`) and
`measurement_errors.csv` (the same from the radiographs). What closest instances are off by is the shape model's share of a
bias, what registrations of true decompositions are off by beyond that the registration's, and the rest the network's. Shares
are of the same values of the same studies, those that all three tables hold.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.measurements.uncertainty.interval_calibration import VERTEX, interval_kind

SHAPE, TRUTH, FILMS = "shape_errors.csv", "truth/measurement_errors.csv", "measurement_errors.csv"
"""Tables of a set, in its folder: closest instances, true decompositions, radiographs."""

_LEAST_CASES = 5  # of a kind, to tell a slope or a bias

Value = tuple[str, str, str]
"""Study, subject and id."""


@dataclass(frozen=True)
class Measured:
    """A value and its truth; `error` is that of sizes where the sign of a kind is a matter of chance."""

    truth: float
    estimate: float
    error: float


def apportion_biases(sets: dict[str, str], *, least_bias: float = 0.3) -> None:
    """Prints whose part errors are, in every mean absolute error and every bias, then slopes and what corrections would bring.

    A correction is chosen on the first set and tried on the others; on its own set, one study left out at a time.

    Args:
        sets: by name, the folder of a set.
        least_bias: kinds are left away whose bias is below this part of their mean absolute error in every set.

    Raises:
        InputError: if there is no set, or a table is missing or of another kind.
    """
    if not sets:
        raise InputError("sets: expected at least one name with its folder, found none")
    tables = {
        name: [read_values(Path(folder) / table) for table in (SHAPE, TRUTH, FILMS)] for name, folder in sets.items()
    }
    films = {name: own[-1] for name, own in tables.items()}
    print(error_table(tables))
    print(f"\n{share_table(tables, least_bias)}")
    print(f"\n{correction_table(films, least_bias)}")


def read_values(path: str | Path) -> dict[Value, Measured]:
    """Values of a table that have a truth and an estimate, but for vertices.

    Raises:
        InputError: if the file is missing or of another kind.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            return {
                (row["study"], row["subject"], row["id"]): Measured(
                    *(float(row[name]) for name in ("truth", "estimate", "pipeline_error"))
                )
                for row in csv.DictReader(file)
                if row["id"] != VERTEX and row["truth"] and row["estimate"]
            }
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: {error}; expected the CSV file of a measurement study") from error


def by_kind(values: Mapping[Value, Measured]) -> dict[str, list[Value]]:
    """The values of every kind."""
    kinds: dict[str, list[Value]] = {}
    for key in values:
        kinds.setdefault(interval_kind(key[1:]), []).append(key)
    return kinds


def shares(tables: list[dict[Value, Measured]], keys: list[Value]) -> np.ndarray:
    """[4] biases: what shape model, registration and network add, and their sum.

    Args:
        tables: of closest instances, true decompositions and radiographs.
        keys: values that all of them hold.
    """
    biases = np.array([np.mean([table[key].error for key in keys]) for table in tables])
    return np.array([biases[0], *np.diff(biases), biases[-1]])


def _shared(tables: list[dict[Value, Measured]], kind: str) -> list[Value]:
    """The values of a kind that all tables of a set hold; none where they are too few."""
    keys = [key for key in by_kind(tables[-1]).get(kind, []) if all(key in table for table in tables)]
    return keys if len(keys) >= _LEAST_CASES else []


def error_table(tables: Mapping[str, list[dict[Value, Measured]]]) -> str:
    """A Markdown table of mean absolute errors, a row a kind and four columns a set."""
    columns = ("cases", "closest instances", "true decompositions", "radiographs")
    lines = [
        f"| mean absolute error of | {' | '.join(f'{name}: {column}' for name in tables for column in columns)} |",
        "|---" * (len(tables) * len(columns) + 1) + "|",
    ]
    for kind in dict.fromkeys(kind for own in tables.values() for kind in by_kind(own[-1])):
        cells = []
        for own in tables.values():
            keys = _shared(own, kind)
            errors = [np.mean([abs(table[key].error) for key in keys]) for table in own] if keys else []
            cells += [str(len(keys)), *(f"{error:.2f}" for error in errors)] if keys else ["" for _ in columns]
        if any(cells):
            lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def share_table(tables: Mapping[str, list[dict[Value, Measured]]], least_bias: float) -> str:
    """A Markdown table, a row a kind and four columns a set."""
    columns = ("cases", "shape model", "registration", "network", "together")
    lines = [
        f"| bias of | {' | '.join(f'{name}: {column}' for name in tables for column in columns)} |",
        "|---" * (len(tables) * len(columns) + 1) + "|",
    ]
    for kind in _biased({name: own[-1] for name, own in tables.items()}, least_bias):
        cells = []
        for own in tables.values():
            keys = _shared(own, kind)
            told = [str(len(keys)), *(f"{share:+.2f}" for share in shares(own, keys))] if keys else []
            cells += told or ["" for _ in columns]
        if any(cells):
            lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def correction_table(films: Mapping[str, dict[Value, Measured]], least_bias: float) -> str:
    """A Markdown table of slopes of estimates over true values, and of mean absolute errors: as they are, with the first set's
    mean error taken off, and with its line undone."""
    columns = ("slope", "mean abs.", "mean taken off", "line undone")
    lines = [
        f"| value | {' | '.join(f'{name}: {column}' for name in films for column in columns)} |",
        "|---" * (len(films) * len(columns) + 1) + "|",
    ]
    first = next(iter(films.values()))
    for kind in _biased(films, least_bias):
        if len(by_kind(first).get(kind, [])) < _LEAST_CASES:
            continue
        chosen_on = _pairs(first, kind)
        cells = []
        for own in films.values():
            keys = by_kind(own).get(kind, [])
            if len(keys) < _LEAST_CASES:
                cells += ["" for _ in columns]
                continue
            rows = _pairs(own, kind)
            corrected = _left_out(rows, [key[0] for key in keys]) if own is first else _corrected(chosen_on, rows)
            errors = (rows[:, 1] - rows[:, 0], *corrected)
            cells += [f"{slope(rows):.2f}", *(f"{np.abs(error).mean():.2f}" for error in errors)]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def slope(rows: np.ndarray) -> float:
    """Of the least-squares line of estimates over true values, [n, 2] truth and estimate; NaN where the truth does not vary."""
    truth = rows[:, 0] - rows[:, 0].mean()
    spread = float(truth @ truth)
    return float(truth @ rows[:, 1]) / spread if spread > 0 else float("nan")


def _biased(films: Mapping[str, dict[Value, Measured]], least_bias: float) -> list[str]:
    """The kinds with a bias, in the order of the first table."""
    told: dict[str, None] = {}
    for own in films.values():
        for kind, keys in by_kind(own).items():
            errors = np.array([own[key].error for key in keys])
            if len(keys) >= _LEAST_CASES and abs(errors.mean()) >= least_bias * np.abs(errors).mean():
                told[kind] = None
    order = [kind for own in films.values() for kind in by_kind(own)]
    return [kind for kind in dict.fromkeys(order) if kind in told]


def _pairs(values: Mapping[Value, Measured], kind: str) -> np.ndarray:
    keys = by_kind(values)[kind]
    # An estimate that errs by what its size does: the side of what has no sign does not count.
    return np.array([[values[key].truth, values[key].truth + values[key].error] for key in keys])


def _corrected(chosen_on: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Errors of rows [n, 2] with the mean error of others taken off, and with the line of others undone."""
    mean, steep = chosen_on.mean(0), slope(chosen_on)
    shifted = rows[:, 1] - (mean[1] - mean[0]) - rows[:, 0]
    undone = mean[0] + (rows[:, 1] - mean[1]) / steep - rows[:, 0]
    return shifted, undone


def _left_out(rows: np.ndarray, studies: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The same of each study with what the others of its set say."""
    names, found = np.array(studies), np.empty((2, len(rows)))
    for study in dict.fromkeys(studies):
        own = names == study
        found[:, own] = _corrected(rows[~own], rows[own]) if not own.all() else rows[own, 1] - rows[own, 0]
    return found[0], found[1]
