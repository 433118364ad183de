"""Calibrated confidence: from the network's raw scores to probabilities that mean something stated.

A landmark's confidence is the probability that it lies within `radius_mm` (4 mm) of the truth, measured on the
detector; a vertebra's, that its centre is nearest to the true centre of the level it is named after. Each is a monotone
map of a raw score (`decode.DecodedView`), fitted on validation studies by `evaluation.network.confidence_calibration`
and stored as knots beside the weights it belongs to (`calibration_beside`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lumbar_ext.anatomy import LANDMARKS, VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.io.atomic import write_text
from lumbar_ext.transforms.decode import DecodedView

_DIGITS = 5  # of probabilities in the file


@dataclass(frozen=True)
class MonotoneMap:
    """A piecewise linear, nowhere falling map from scores to probabilities; constant beyond its ends.

    Args:
        scores: [K] strictly rising.
        probabilities: [K] in [0, 1], nowhere falling.

    Raises:
        InputError: if the knots are not like that.
    """

    scores: np.ndarray
    probabilities: np.ndarray

    def __post_init__(self) -> None:
        scores, probabilities = (np.array(v, dtype=np.float64) for v in (self.scores, self.probabilities))
        if scores.ndim != 1 or not scores.size or scores.shape != probabilities.shape:
            raise InputError(
                f"scores and probabilities: expected [K] each, found {scores.shape}, {probabilities.shape}"
            )
        rising = np.all(np.diff(scores) > 0) and np.all(np.diff(probabilities) >= 0)
        if not (rising and probabilities.min() >= 0 and probabilities.max() <= 1):
            raise InputError("scores must rise strictly and probabilities, in [0, 1], must not fall")
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "probabilities", probabilities)

    def __call__(self, score: np.ndarray) -> np.ndarray:
        """Probabilities of scores of any shape."""
        return np.interp(score, self.scores, self.probabilities)

    def as_document(self) -> dict[str, list[float]]:
        """The knots as JSON holds them, the inverse of `_map`."""
        return {"score": self.scores.tolist(), "probability": self.probabilities.round(_DIGITS).tolist()}


@dataclass(frozen=True)
class ConfidenceCalibration:
    """The maps of one set of weights.

    Args:
        landmarks: view, then landmark name, to a map.
        vertebrae: view to a map.
        radius_mm: the error on the detector that a landmark's confidence speaks of.
        source: what it was fitted on, in words.
    """

    landmarks: Mapping[str, Mapping[str, MonotoneMap]]
    vertebrae: Mapping[str, MonotoneMap]
    radius_mm: float
    source: str = ""

    def apply(self, decoded: DecodedView, view: str) -> DecodedView:
        """The decoded view with probabilities for scores; what is absent keeps zero."""
        columns = [self.landmarks[view][name](decoded.landmark_confidence[:, j]) for j, name in enumerate(LANDMARKS)]
        return replace(
            decoded,
            confidence=np.where(decoded.present, self.vertebrae[view](decoded.confidence), 0.0),
            landmark_confidence=np.where(decoded.present[:, None], np.stack(columns, axis=1), 0.0),
        )

    def write(self, path: str | Path) -> None:
        """Writes the maps as JSON, atomically."""
        document = {
            "landmark_confidence": f"probability of an error below {self.radius_mm:g} mm on the detector",
            "vertebra_confidence": "probability that the centre is nearest to that of the level it is named after",
            "radius_mm": self.radius_mm,
            "source": self.source,
            "landmarks": {v: {n: m.as_document() for n, m in maps.items()} for v, maps in self.landmarks.items()},
            "vertebrae": {view: knots.as_document() for view, knots in self.vertebrae.items()},
        }
        write_text(path, json.dumps(document, indent=1) + "\n")


def read_calibration_maps(path: str | Path) -> ConfidenceCalibration:
    """Reads what `ConfidenceCalibration.write` wrote.

    Raises:
        InputError: if the file is missing, is not JSON, or lacks a map.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        return ConfidenceCalibration(
            landmarks={v: {n: _map(document["landmarks"][v][n]) for n in LANDMARKS} for v in VIEWS},
            vertebrae={view: _map(document["vertebrae"][view]) for view in VIEWS},
            radius_mm=float(document["radius_mm"]),
            source=str(document.get("source", "")),
        )
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file, expected a confidence calibration") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a confidence calibration ({type(error).__name__}: {error})") from error


def calibration_beside(weights: str | Path) -> ConfidenceCalibration | None:
    """The calibration beside a weights file, in `model_confidence.json` beside `model.pt`; None where there is none."""
    path = Path(weights).with_name(f"{Path(weights).stem}_confidence.json")
    return read_calibration_maps(path) if path.is_file() else None


def _map(knots: Mapping[str, list[float]]) -> MonotoneMap:
    return MonotoneMap(np.array(knots["score"]), np.array(knots["probability"]))
