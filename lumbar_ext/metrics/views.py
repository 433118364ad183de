"""Scores of whole views from packed tensors, and their means as ignite metrics for MONAI's evaluator."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from torch import Tensor

from lumbar_ext.errors import InputError
from lumbar_ext.metrics.images import BONE_THRESHOLD, dice, psnr_db, ssim
from lumbar_ext.metrics.landmarks import (
    SDR_RADII_MM,
    group_means,
    landmark_distances,
    mean_of_known,
    success_detection_rate,
    wrong_levels,
)
from lumbar_ext.networks.packing import LANDMARK_MASK
from lumbar_ext.transforms.decode import decode_packed

# a millimetre of mean landmark error weighs as much as 0.05 of Dice in the score that picks the best weights
SCORE_PER_MM = 0.05
MISSED_WORTH_MM = 20.0


@dataclass(frozen=True)
class ViewScores:
    """Scores of one view; NaN where a quantity does not exist (no vertebra found)."""

    dice: float
    psnr_db: float
    bone_psnr_db: float
    ssim: float
    landmark_mm: float
    endplate_mm: float
    transverse_process_mm: float
    pedicle_mm: float
    spinous_process_mm: float
    sdr_2mm: float
    sdr_4mm: float
    sdr_6mm: float
    missed: float
    wrong: float
    score: float


def score_view(prediction: Tensor, target: Tensor, pixel_spacing_mm: float) -> ViewScores:
    """Scores one packed prediction [37, h, w] against its packed target [45, h, w].

    Landmarks outside the image are left out. ``missed`` and ``wrong`` are fractions of the true (predicted) vertebrae.
    """
    seen, true = decode_packed(prediction), decode_packed(target)
    visible = _visible(target, true.centres_px, true.present)
    truth_px = np.where(visible[..., None], true.landmarks_px, np.nan)
    both = seen.present & true.present
    distances = landmark_distances(seen.landmarks_px, truth_px, both) * pixel_spacing_mm
    all_distances = np.full(true.landmarks_px.shape[:2], np.nan)
    all_distances[both] = distances
    groups = group_means(distances)
    mean_mm = mean_of_known(distances)
    missed = float((true.present & ~seen.present).sum() / max(1, true.present.sum()))
    overlap = dice(seen.decomposition, true.decomposition)
    worth_mm = (0.0 if np.isnan(mean_mm) else mean_mm * (1 - missed)) + MISSED_WORTH_MM * missed
    return ViewScores(
        dice=overlap,
        psnr_db=psnr_db(seen.decomposition, true.decomposition),
        bone_psnr_db=psnr_db(seen.decomposition, true.decomposition, _mask(true.decomposition)),
        ssim=ssim(seen.decomposition, true.decomposition),
        landmark_mm=mean_mm,
        **{f"{name}_mm": value for name, value in groups.items()},
        **{f"sdr_{r:.0f}mm": success_detection_rate(all_distances[visible], r) for r in SDR_RADII_MM},
        missed=missed,
        wrong=wrong_levels(seen.centres_px, seen.present, true.centres_px, true.present)
        / max(1, int(seen.present.sum())),
        score=overlap - SCORE_PER_MM * worth_mm,
    )


def _mask(decomposition: np.ndarray) -> np.ndarray | None:
    bone = decomposition > BONE_THRESHOLD
    return bone if bone.any() else None


def _visible(target: Tensor, centres_px: np.ndarray, present: np.ndarray) -> np.ndarray:
    """[5, 7] bool: which true landmarks lie within the image, from the target's masks at the centre cells."""
    masks = target[LANDMARK_MASK].detach().cpu().numpy()
    visible = np.zeros((len(present), masks.shape[0]), bool)
    for level in np.flatnonzero(present):
        column, row = np.rint((centres_px[level] - 1.5) / 4).astype(int)
        visible[level] = masks[:, np.clip(row, 0, masks.shape[1] - 1), np.clip(column, 0, masks.shape[2] - 1)] > 0
    return visible


class ViewScorer:
    """Scores batches, remembering the last one, so that several metrics share the work.

    Args:
        pixel_spacing_mm: size of the network grid's pixels on the detector.
    """

    def __init__(self, pixel_spacing_mm: float = 0.834) -> None:
        self.pixel_spacing_mm = pixel_spacing_mm
        self._last: tuple[Tensor, list[ViewScores]] | None = None

    def __call__(self, prediction: Tensor, target: Tensor) -> list[ViewScores]:
        """Scores of each view of a batch of packed predictions [B, 37, h, w] and targets [B, 45, h, w]."""
        if self._last is None or self._last[0] is not prediction:
            scores = [score_view(p, t, self.pixel_spacing_mm) for p, t in zip(prediction, target, strict=True)]
            self._last = (prediction, scores)
        return self._last[1]


class ViewMetric(Metric):
    """Mean over all views of one field of :class:`ViewScores`; NaN values are left out.

    Args:
        field: name of the field.
        scorer: share one among the metrics of an evaluator.
    """

    def __init__(self, field: str, scorer: ViewScorer) -> None:
        names = [f.name for f in fields(ViewScores)]
        if field not in names:
            raise InputError(f"field: expected one of {names}, found {field!r}")
        self.field, self.scorer = field, scorer
        super().__init__(output_transform=lambda output: (output["pred"], output["label"]))

    def reset(self) -> None:
        """Forgets all views."""
        self._values: list[float] = []

    def update(self, output: tuple[Tensor, Tensor]) -> None:
        """Adds the views of one batch (predictions, targets)."""
        self._values.extend(getattr(scores, self.field) for scores in self.scorer(*output))

    def compute(self) -> float:
        """The mean.

        Raises:
            NotComputableError: when no view was scored.
        """
        if not self._values:
            raise NotComputableError("ViewMetric needs at least one view before compute")
        values = np.array(self._values)
        values = values[np.isfinite(values)]
        return float(values.mean()) if len(values) else float("nan")


def view_metrics(scorer: ViewScorer) -> dict[str, ViewMetric]:
    """All metrics but the score, by name, for an evaluator's ``additional_metrics``."""
    return {f.name: ViewMetric(f.name, scorer) for f in fields(ViewScores) if f.name != "score"}
