"""One view's prediction measured against its truth: per landmark, per vertebra, per image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from lumbar_ext.metrics.image_scores import BONE_THRESHOLD, dice, psnr_db, ssim_map
from lumbar_ext.metrics.landmark_scores import (
    SDR_RADII_MM,
    group_means,
    mean_of_known,
    success_detection_rate,
    wrong_levels,
)
from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK
from lumbar_ext.transforms.decode import DecodedView, decode_packed

# a millimetre of mean landmark error weighs as much as 0.05 of Dice in the score that picks the best weights
SCORE_PER_MM = 0.05
# what a missed vertebra adds to the mean error by which weights are chosen: most of a body's height
MISSED_WORTH_MM = 20.0


@dataclass(frozen=True)
class ViewLevels:
    """What was found of the five levels of one view.

    Args:
        present, seen: [5] bool, truly there, reported.
        wrong: [5] bool, reported but nearer to another level, or not there at all.
        visible: [5, 7] bool, true landmarks within the image.
        error_mm: [5, 7] distance on the detector; NaN where not visible or not reported.
        raw_confidence: [5] and
        raw_landmark_confidence: [5, 7] scores before calibration.
    """

    present: np.ndarray
    seen: np.ndarray
    wrong: np.ndarray
    visible: np.ndarray
    error_mm: np.ndarray
    raw_confidence: np.ndarray
    raw_landmark_confidence: np.ndarray


@dataclass(frozen=True)
class ViewScores:
    """Scores of one view; NaN where a quantity does not exist (no vertebra found).

    `missed` and `wrong` are fractions of the true and of the reported vertebrae; `miscounted` is 1 where the number
    of reported vertebrae is not the true one. `bone_psnr_db` and `bone_ssim` count pixels of true bone only.
    """

    dice: float
    psnr_db: float
    bone_psnr_db: float
    ssim: float
    bone_ssim: float
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
    miscounted: float
    score: float


@dataclass(frozen=True)
class MeasuredView:
    """Scores of a view and the levels they come from."""

    scores: ViewScores
    levels: ViewLevels


def measure_view(prediction: Tensor, target: Tensor, pixel_spacing_mm: float) -> MeasuredView:
    """Measures one packed prediction [37, h, w] against its packed target [45, h, w].

    Landmarks outside the image are left out.

    Args:
        pixel_spacing_mm: size of the image's pixels on the detector.
    """
    true = decode_packed(target)
    return measure_decoded(decode_packed(prediction), true, _visible(target, true), pixel_spacing_mm)


def measure_decoded(seen: DecodedView, true: DecodedView, visible: np.ndarray, pixel_spacing_mm: float) -> MeasuredView:
    """Measures what was seen in a view against what is there.

    Args:
        visible: [5, 7] bool, the true landmarks that count.
        pixel_spacing_mm: size of the image's pixels on the detector.
    """
    levels = _levels(seen, true, visible, pixel_spacing_mm)
    return MeasuredView(_scores(seen, true, levels), levels)


def _levels(seen: DecodedView, true: DecodedView, visible: np.ndarray, pixel_spacing_mm: float) -> ViewLevels:
    error = np.linalg.norm(seen.landmarks_px - true.landmarks_px, axis=-1) * pixel_spacing_mm
    return ViewLevels(
        present=true.present,
        seen=seen.present,
        wrong=wrong_levels(seen.centres_px, seen.present, true.centres_px, true.present),
        visible=visible,
        error_mm=np.where(visible, error, np.nan),
        raw_confidence=seen.confidence,
        raw_landmark_confidence=seen.landmark_confidence,
    )


def _scores(seen: DecodedView, true: DecodedView, levels: ViewLevels) -> ViewScores:
    images = seen.decomposition, true.decomposition
    similarity = ssim_map(*images)
    bone = true.decomposition > BONE_THRESHOLD
    if not bone.any():
        bone = np.ones_like(bone)
    overlap, mean_mm = dice(*images), mean_of_known(levels.error_mm)
    missed = float((levels.present & ~levels.seen).sum() / max(1, levels.present.sum()))
    worth_mm = (0.0 if np.isnan(mean_mm) else mean_mm * (1 - missed)) + MISSED_WORTH_MM * missed
    return ViewScores(
        dice=overlap,
        psnr_db=psnr_db(*images),
        bone_psnr_db=psnr_db(*images, bone),
        ssim=float(similarity.mean()),
        bone_ssim=float(similarity[bone].mean()),
        landmark_mm=mean_mm,
        **{f"{name}_mm": value for name, value in group_means(levels.error_mm).items()},
        **{f"sdr_{r:.0f}mm": success_detection_rate(levels.error_mm[levels.visible], r) for r in SDR_RADII_MM},
        missed=missed,
        wrong=float(levels.wrong.sum() / max(1, int(levels.seen.sum()))),
        miscounted=float(levels.seen.sum() != levels.present.sum()),
        score=overlap - SCORE_PER_MM * worth_mm,
    )


def _visible(target: Tensor, true: DecodedView) -> np.ndarray:
    """[5, 7] bool: which true landmarks lie within the image, from the target's masks at the centre cells."""
    masks = target[LUMBAR_PACK["landmark_mask"]].detach().cpu().numpy()
    visible = np.zeros((len(true.present), masks.shape[0]), bool)
    for level in np.flatnonzero(true.present):
        column, row = np.rint((true.centres_px[level] - 1.5) / 4).astype(int)
        visible[level] = masks[:, np.clip(row, 0, masks.shape[1] - 1), np.clip(column, 0, masks.shape[2] - 1)] > 0
    return visible
