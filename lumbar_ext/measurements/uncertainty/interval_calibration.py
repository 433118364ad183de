"""Factors that turn the standard deviations of the Laplace approximation into honest ones.

For each kind of value the factor makes a nominal 90 % interval hold the truth of 90 % of simulated validation cases:

    lumbar-ext calibrate-measurements --csv_path errors.csv --calibration calibration.json
    lumbar-ext check-measurements --csv_path other_errors.csv --picture calibration.png --record calibration.json

The second holds the factors against people who had no part in choosing them and keeps the result beside them: the interval of
a kind that failed there is not printed to anybody.

`errors.csv` is written by the measurement study, see `evaluation.measurement_study`.
"""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import write_text
from lumbar_ext.measurements.values.definitions import BY_ID, DEFINITIONS

NORMAL_90 = 1.6448536269514722
"""Half width of the central 90 % of a standard normal distribution."""

VERTEX = "vertex"
"""The kind of value that the position of a vertex along its normal is."""

LUMBOSACRAL = "L5-S1"
"""The segment whose intervals are of kinds of their own: S1 is located by landmarks, the other vertebrae have meshes."""

# at which stated and observed shares are compared
LEVELS_OF_CONFIDENCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
LEAST_SHARE = 0.85
"""A nominal 90 % interval that held the truth less often in the check is withheld."""

_MIN_CASES = 15  # of a kind of measurement, to have a factor at all
_FEW_CASES = 60  # below them a factor is drawn towards that of kinds with the same unit
_LEAST_OF_LANDMARKS = 1.0
"""A network was trained to the spread that it states of its landmarks: few cases of one skeleton do not narrow it."""
_SHIPPED = "interval_calibration.json"


_CALIBRATED_AS = {"pelvic_incidence": "sacral_slope", "pelvic_tilt": "sacral_slope"}
"""Kinds that no study has cases of, with that of which they take the factor: the spread of both comes from S1's landmarks."""


@dataclass(frozen=True)
class Calibration:
    """Factors by kind of value.

    Args:
        factors: `interval_kind`, or "vertex" for the position of a vertex along its normal, to factor.
        cases: how many errors each was chosen on.
        held: by kind, the share of cases in which the nominal 90 % interval held the truth in the check on other people;
            empty where there was no check.
        checked_cases: by kind, how many cases that were.
        checked_on: who they were, in words.
    """

    factors: dict[str, float]
    cases: dict[str, int]
    held: dict[str, float] = field(default_factory=dict)
    checked_cases: dict[str, int] = field(default_factory=dict)
    checked_on: str = ""

    def factor(self, kind: str) -> float | None:
        """The factor of a kind; None for one that was not calibrated, or did not stand the check."""
        return None if self.withheld(kind) else self.factors.get(kind, self.factors.get(_CALIBRATED_AS.get(kind, "")))

    def withheld(self, kind: str) -> bool:
        """Whether a kind's interval is not printed because it held the truth too seldom in the check."""
        return self.held.get(kind, 1.0) < LEAST_SHARE

    def statement(self) -> str:
        """What was found in the check, for those who read the intervals."""
        kinds = [kind for kind in self.held if kind in self.factors and not self.withheld(kind) and kind != VERTEX]
        if not kinds:
            return "The interval after ± is nominally a 90 % one; it was not held against people without a part in choosing it."
        cases = sum(self.checked_cases[kind] for kind in kinds)
        pooled = sum(self.held[kind] * self.checked_cases[kind] for kind in kinds) / cases
        shares = [self.held[kind] for kind in kinds]
        return (
            f"The interval after ± is nominally a 90 % one. It held the true value in {pooled:.0%} of {cases:,} cases of "
            f"{self.checked_on}, from {min(shares):.0%} to {max(shares):.0%} by kind of value; where it held less than "
            f"{LEAST_SHARE:.0%} no interval is printed. On real radiographs it has not been tested."
        )


@cache
def shipped_calibration() -> Calibration:
    """The factors in the package; none where it has no such file."""
    file = resources.files("lumbar_ext.measurements.uncertainty").joinpath(_SHIPPED)
    return _parsed(file.read_text(encoding="utf-8")) if file.is_file() else Calibration({}, {})


def interval_kind(key: tuple[str, str]) -> str:
    """The kind of value that a (subject, definition id) is: the definition, with the segment for L5-S1."""
    subject, definition = key
    return f"{definition} {subject}" if subject == LUMBOSACRAL else definition


def rests_on_landmarks(kind: str) -> bool:
    """Whether a kind of value needs T12 or S1, of which there are landmarks alone."""
    definition, _, segment = kind.partition(" ")
    levels = BY_ID[definition].levels if definition in BY_ID else ()
    return segment == LUMBOSACRAL or bool({"T12", "S1"} & set(levels))


def fit_factors(
    errors: dict[str, np.ndarray], deviations: dict[str, np.ndarray], confidence: float = 0.9
) -> Calibration:
    """Factors for which the interval of a confidence holds that share of new cases, kind by kind.

    The quantile of n cases is that of rank `ceil((n + 1) confidence)`, as in split conformal prediction (Vovk et al. 2005;
    Lei et al., JASA 113, 2018): with few cases the plain quantile holds fewer of the next ones. Where a study has but one
    case, as of values of the whole spine, chance decides still; such a factor is at least the median one of its unit.

    Args:
        errors: by kind, [n] estimate minus truth.
        deviations: by kind, [n] standard deviations before calibration.
        confidence: nominal.
    """
    half_width = _half_width(confidence)
    kinds = [kind for kind in errors if len(errors[kind]) >= _MIN_CASES]
    factors = {}
    for kind in kinds:
        scaled = np.abs(errors[kind]) / np.maximum(deviations[kind], 1e-9)
        rank = min(math.ceil((len(scaled) + 1) * confidence), len(scaled))
        factors[kind] = float(np.sort(scaled)[rank - 1] / half_width)
        if rests_on_landmarks(kind):
            factors[kind] = max(factors[kind], _LEAST_OF_LANDMARKS)
    return Calibration(_not_below_their_unit(factors, errors), {kind: len(errors[kind]) for kind in kinds})


def _not_below_their_unit(factors: dict[str, float], errors: dict[str, np.ndarray]) -> dict[str, float]:
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
        if len(errors[kind]) >= _FEW_CASES:
            many.setdefault(units.get(kind), []).append(factors[kind])
    few = {kind for kind in own if len(errors[kind]) < _FEW_CASES and units.get(kind) in many}
    return {
        kind: max(factor, float(np.median(many[units.get(kind)]))) if kind in few else factor
        for kind, factor in factors.items()
    }


def interval_coverage(errors: np.ndarray, deviations: np.ndarray, confidence: float) -> float:
    """Share of errors [n] inside the interval of a nominal confidence around calibrated deviations [n]."""
    return float((np.abs(errors) <= _half_width(confidence) * np.maximum(deviations, 1e-9)).mean())


def fit_interval_calibration(csv_path: str, calibration: str, landmarks_only: bool = False) -> None:
    """Chooses factors on the errors of a study of validation subjects and writes them.

    Args:
        csv_path: a study's `measurement_errors.csv`.
        calibration: JSON file to write.
        landmarks_only: choose those of values with T12 or S1 alone, of a study whose network sees them; others stay.

    Raises:
        InputError: if a file cannot be used.
    """
    errors, deviations = read_errors(csv_path)
    chosen = fit_factors(errors, deviations)
    if not chosen.factors:
        raise InputError(
            f"{csv_path}: {len(errors)} kinds of values with an interval, none in {_MIN_CASES} cases or more: nothing written"
        )
    document = {"made_by": "lumbar-ext calibrate-measurements", "factors": {}, "cases": {}}
    if landmarks_only:
        kept = read_interval_calibration(calibration)
        document = json.loads(Path(calibration).read_text(encoding="utf-8"))
        wanted = {kind: chosen.factors[kind] for kind in chosen.factors if rests_on_landmarks(kind)}
        others = {kind: factor for kind, factor in kept.factors.items() if not rests_on_landmarks(kind)}
        cases = {kind: chosen.cases[kind] if kind in wanted else kept.cases[kind] for kind in (*others, *wanted)}
        chosen = Calibration({**others, **wanted}, cases)
    document["factors"] = {kind: round(factor, 4) for kind, factor in sorted(chosen.factors.items())}
    document["cases"] = dict(sorted(chosen.cases.items()))
    write_text(calibration, json.dumps(document, indent=1) + "\n")
    print(
        f"{len(chosen.factors)} factors, median {np.median(list(chosen.factors.values())):.2f}, written to {calibration}"
    )


def check(
    csv_path: str,
    picture: str | None = None,
    calibration: str | None = None,
    record: str | None = None,
    people: str = "other simulated people",
) -> None:
    """Prints how often calibrated intervals hold the truth of another study, draws it, and records it.

    Args:
        csv_path: a study's `measurement_errors.csv`.
        picture: PNG file for the plot; none by default.
        calibration: JSON file of factors, the package's own by default.
        record: JSON file of factors to write the result to, so that intervals that failed are withheld; none by default.
        people: who was measured, in words, for the record.
    """
    factors = read_interval_calibration(calibration) if calibration else shipped_calibration()
    errors, deviations = read_errors(csv_path)
    kinds = [kind for kind in errors if kind in factors.factors]
    if not kinds:
        raise InputError(f"{csv_path}: holds no value that is calibrated, expected definition ids such as 'cobb'")
    scaled = {kind: deviations[kind] * factors.factors[kind] for kind in kinds}
    pooled = np.concatenate([errors[k] for k in kinds]), np.concatenate([scaled[k] for k in kinds])
    observed = [interval_coverage(*pooled, confidence) for confidence in LEVELS_OF_CONFIDENCE]
    print("| value | cases | nominal 90 % interval holds the truth in |\n|---|---|---|")
    for kind in kinds:
        print(f"| {kind} | {len(errors[kind])} | {interval_coverage(errors[kind], scaled[kind], 0.9):.1%} |")
    print(f"| all | {len(pooled[0])} | {interval_coverage(*pooled, 0.9):.1%} |")
    if record:
        _record(record, people, {kind: (errors[kind], scaled[kind]) for kind in kinds})
    if picture:
        _draw(picture, observed, {kind: (errors[kind], scaled[kind]) for kind in kinds})


def _record(path: str, people: str, kinds: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Puts what was found into a file of factors."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a calibration ({error})") from error
    held = {kind: round(interval_coverage(*pair, 0.9), 4) for kind, pair in sorted(kinds.items())}
    cases = {kind: len(errors) for kind, (errors, _) in sorted(kinds.items())}
    # Kinds that were not measured this time keep what was found of them.
    before = document.get("check", {"people": people, "held": {}, "cases": {}})
    kept = [kind for kind in before["held"] if kind not in held]
    both = {name: {kind: before[name][kind] for kind in kept} for name in ("held", "cases")}
    document["check"] = {
        "made_by": "lumbar-ext check-measurements",
        "people": people if not kept or before["people"] == people else f"{before['people']} and {people}",
        "held": dict(sorted((both["held"] | held).items())),
        "cases": dict(sorted((both["cases"] | cases).items())),
    }
    write_text(path, json.dumps(document, indent=1) + "\n")


def read_errors(csv_path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Errors and uncalibrated deviations by kind, of rows that have both.

    Raises:
        InputError: if the file is missing or lacks the columns.
    """
    errors: dict[str, list[float]] = {}
    deviations: dict[str, list[float]] = {}
    try:
        with Path(csv_path).open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["pipeline_error"] and row["laplace_sd"]:
                    kind = interval_kind((row.get("subject") or "", row["id"]))
                    errors.setdefault(kind, []).append(float(row["pipeline_error"]))
                    deviations.setdefault(kind, []).append(float(row["laplace_sd"]))
    except OSError as error:
        raise InputError(f"{csv_path}: cannot be read ({error.strerror})") from error
    except KeyError as error:
        raise InputError(
            f"{csv_path}: lacks the column {error}, expected the CSV file of a measurement study"
        ) from error
    return {k: np.array(v) for k, v in errors.items()}, {k: np.array(v) for k, v in deviations.items()}


def read_interval_calibration(path: str | Path) -> Calibration:
    """Reads a file that `fit_interval_calibration` wrote.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        return _parsed(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: cannot be read as a calibration ({error})") from error


def _parsed(text: str) -> Calibration:
    document = json.loads(text)
    found = document.get("check", {"held": {}, "cases": {}, "people": ""})
    factors = {kind: float(factor) for kind, factor in document["factors"].items()}
    return Calibration(factors, dict(document["cases"]), dict(found["held"]), dict(found["cases"]), found["people"])


def _half_width(confidence: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf((1 + confidence) / 2))


def _draw(picture: str, observed: list[float], kinds: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Observed against nominal coverage of all values, and the 90 % coverage of each kind."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 6), width_ratios=(1, 1.3), layout="constrained")
    left.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="ideal")
    left.plot(LEVELS_OF_CONFIDENCE, observed, "o-", color="#0072B2", label="all values")
    left.set(xlabel="nominal confidence", ylabel="share of cases inside the interval", xlim=(0, 1), ylim=(0, 1))
    left.set_aspect("equal")
    left.legend()
    shares = {kind: interval_coverage(*pair, 0.9) for kind, pair in kinds.items()}
    names = sorted(shares, key=shares.get)
    right.axvspan(0.85, 0.95, color="#009E73", alpha=0.2, label="85-95 %")
    right.plot([shares[n] for n in names], range(len(names)), "o", color="#0072B2", markersize=4)
    right.set_yticks(range(len(names)), names, fontsize=6)
    right.set(xlabel="share of cases inside the nominal 90 % interval", xlim=(0.5, 1.02))
    right.legend(loc="lower left")
    figure.savefig(picture, dpi=110)
    plt.close(figure)
