"""Fits calibrated confidences to an evaluation's `landmarks.csv`, and draws how reliable they are.

    lumbar-ext calibrate-network --landmarks EVAL/landmarks.csv --output models/first_generation_confidence.json
    lumbar-ext network-reliability --landmarks TEST/landmarks.csv --calibration models/first_generation_confidence.json \
        --set_name "unseen people" --output docs/reliability.png

The maps are isotonic regressions, one for each view and landmark type (left and right share one), of "the error is below
4 mm" on the raw score, pulled towards the type's overall rate by a few pseudo-observations, so that a score nobody has
seen never means certainty.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import isotonic_regression

from lumbar_ext.anatomy import LANDMARKS, LEFT_RIGHT_SWAP, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.evaluation.network.evaluated_view import LandmarkRow
from lumbar_ext.evaluation.network.reliability import Reliability, reliability, save_diagram
from lumbar_ext.transforms.confidence import ConfidenceCalibration, MonotoneMap, read_calibration_maps

RADIUS_MM = 4.0  # on the detector: the middle one of the paper's radii (SDR)
PSEUDO_OBSERVATIONS = 4.0  # with the mean rate, added to each group: a group without a miss does not promise certainty
SCORE_GROUPS = 12  # of equal size: the knots of the map
# certainty does not exist: products and logarithms of confidences stay finite
_LEAST, _MOST = 0.01, 0.99


def fit_monotone(scores: np.ndarray, outcomes: np.ndarray) -> MonotoneMap:
    """The smoothed isotonic map of scores [N] to the probability of outcomes [N] (bool).

    Scores are gathered in at most 12 groups of equal size, so that the map has few knots.

    Raises:
        InputError: without any score.
    """
    scores, outcomes = np.asarray(scores, float), np.asarray(outcomes, float)
    if not scores.size:
        raise InputError("scores: expected at least one reported landmark of each type and view, found none")
    order = np.argsort(scores, kind="stable")
    groups = [g for g in np.array_split(order, min(SCORE_GROUPS, max(1, len(order) // 5))) if len(g)]
    # groups of one and the same score are one group
    centres, places = np.unique([scores[g].mean() for g in groups], return_inverse=True)
    counts = np.bincount(places, [len(g) for g in groups])
    hits = np.bincount(places, [outcomes[g].sum() for g in groups])
    rates = (hits + PSEUDO_OBSERVATIONS * outcomes.mean()) / (counts + PSEUDO_OBSERVATIONS)
    return MonotoneMap(centres, isotonic_regression(rates, weights=counts).x.clip(_LEAST, _MOST))


def fit_calibration(
    rows: Sequence[LandmarkRow], source: str = "", radius_mm: float = RADIUS_MM
) -> ConfidenceCalibration:
    """The calibration of all views and landmark types.

    Args:
        rows: of an evaluation without calibration.
        source: what the rows are of, in words.
        radius_mm: the error of which confidences speak.
    """
    landmarks, vertebrae = {}, {}
    for view in VIEWS:
        of_view = [row for row in rows if row.view == view and row.seen]
        landmarks[view] = {name: _fit_type(of_view, j, radius_mm) for j, name in enumerate(LANDMARKS)}
        one_each = list({(r.set_name, r.study, r.level): r for r in of_view}.values())
        right = np.array([not row.wrong_level for row in one_each], float)
        vertebrae[view] = fit_monotone(np.array([row.raw_vertebra_confidence for row in one_each]), right)
    return ConfidenceCalibration(landmarks, vertebrae, radius_mm, source)


def _fit_type(rows: list[LandmarkRow], index: int, radius_mm: float) -> MonotoneMap:
    names = {LANDMARKS[index], LANDMARKS[LEFT_RIGHT_SWAP[index]]}
    members = [row for row in rows if row.landmark in names and np.isfinite(row.error_mm)]
    scores = np.array([row.raw_confidence for row in members])
    return fit_monotone(scores, np.array([row.error_mm < radius_mm for row in members]))


def read_landmark_rows(path: str | Path) -> list[LandmarkRow]:
    """The rows of a `landmarks.csv`.

    Raises:
        InputError: when the file is missing or has other columns.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            return [_landmark_row(row) for row in csv.DictReader(file)]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path}: expected the landmarks.csv of an evaluation ({error})") from error


def _landmark_row(row: dict[str, str]) -> LandmarkRow:
    texts = {name: row[name] for name in ("set_name", "study", "view", "level", "landmark")}
    flags = {name: row[name] == "True" for name in ("seen", "wrong_level")}
    numbers = {name: float(row[name]) for name in ("raw_vertebra_confidence", "raw_confidence", "error_mm")}
    return LandmarkRow(**texts, **flags, **numbers)


def fit_confidence_calibration(landmarks: str, output: str, source: str = "", radius_mm: float = RADIUS_MM) -> None:
    """Fits a calibration and writes it.

    Args:
        landmarks: `landmarks.csv` of an evaluation on validation studies.
        output: JSON file, `X_confidence.json` beside the weights `X.pt`.
        source: what it was fitted on, kept in the file; the CSV's folder if omitted.
        radius_mm: the error of which confidences speak.
    """
    rows = read_landmark_rows(landmarks)
    calibration = fit_calibration(rows, source or Path(landmarks).parent.name, radius_mm)
    calibration.write(output)
    print(f"{output}: fitted to {len(rows)} landmarks of {len({(r.set_name, r.study) for r in rows})} studies")


def diagram(landmarks: str, calibration: str, output: str, set_name: str = "") -> None:
    """Draws reliability before and after calibration, and prints the mean gap between confidence and truth of every set.

    Args:
        landmarks: `landmarks.csv` of an evaluation on studies that the calibration was not fitted to.
        calibration: JSON file of `fit_confidence_calibration`.
        output: PNG file.
        set_name: the set that is drawn; all together if omitted.

    Raises:
        InputError: if a file cannot be read, or no landmark of that set was reported.
    """
    rows = [row for row in read_landmark_rows(landmarks) if row.seen and np.isfinite(row.error_mm)]
    maps = read_calibration_maps(calibration)
    sets = {name: [row for row in rows if row.set_name == name] for name in dict.fromkeys(row.set_name for row in rows)}
    drawn = sets.get(set_name, []) if set_name else rows
    if not drawn:
        raise InputError(f"set_name {set_name!r}: expected one of {', '.join(sets) or 'the sets, but there is none'}")
    save_diagram(_curves(drawn, maps), maps.radius_mm, output)
    print(
        f"| expected calibration error, landmarks within {maps.radius_mm:g} mm | raw score | calibrated | landmarks |"
    )
    print("|---|---|---|---|")
    for name, members in sets.items():
        for view in VIEWS:
            if not (of_view := [row for row in members if row.view == view]):
                continue
            raw, calibrated = (curve.expected_error for curve in _curves(of_view, maps).values())
            print(f"| {name}, {view.upper()} | {raw:.3f} | {calibrated:.3f} | {len(of_view)} |")


def _curves(rows: Sequence[LandmarkRow], maps: ConfidenceCalibration) -> dict[str, Reliability]:
    """Reliability of raw scores, then of calibrated confidences, of each view that has rows."""
    curves = {}
    for title, confidence in (("raw score", _raw), ("calibrated", _calibrated_by(maps))):
        for view in VIEWS:
            members = [row for row in rows if row.view == view]
            values = np.array([confidence(row) for row in members])
            if members:
                hits = np.array([row.error_mm < maps.radius_mm for row in members])
                curves[f"{title}, {view.upper()}"] = reliability(values, hits)
    return curves


def _raw(row: LandmarkRow) -> float:
    return row.raw_confidence


def _calibrated_by(maps: ConfidenceCalibration) -> Callable[[LandmarkRow], float]:
    return lambda row: float(maps.landmarks[row.view][row.landmark](row.raw_confidence))
