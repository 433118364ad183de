"""Losses of the landmark maps: focal loss on centre heatmaps, masked L1 on offsets (Yi et al. 2020; CornerNet)."""

from __future__ import annotations

from torch import Tensor

PROBABILITY_EPS = 1e-4  # keeps logarithms finite; float16 holds it


def focal_loss(probability: Tensor, target: Tensor, alpha: float = 2.0, beta: float = 4.0) -> Tensor:
    """Penalty-reduced focal loss of CornerNet (Law & Deng, ECCV 2018, eq. 1), divided by the number of positives.

    Positive cells (target 1): `-(1 - p)^alpha log p`; all others: `-(1 - target)^beta p^alpha log(1 - p)`. Yu
    et al.
    print the negative term without the target's reduction, a misprint of this formula (Yi et al.'s code has it).

    Args:
        probability: predicted heatmap, values in [0, 1], any shape; clamped to [1e-4, 1 - 1e-4].
        target: gaussian bumps with peak exactly 1, same shape.

    Returns:
        Scalar: the sum over cells divided by max(1, number of positives).
    """
    p = probability.clamp(PROBABILITY_EPS, 1 - PROBABILITY_EPS)
    positive = (target == 1).to(p.dtype)
    at_centres = positive * (1 - p).pow(alpha) * p.log()
    elsewhere = (1 - positive) * (1 - target).pow(beta) * p.pow(alpha) * (1 - p).log()
    return -(at_centres + elsewhere).sum() / positive.sum().clamp(min=1)


def masked_l1(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean absolute difference; zero, with zero gradient, where every weight is zero.

    Args:
        prediction: [B, C, h, w].
        target: same shape.
        weight: non-negative, broadcastable to that shape (cells without a vertebra have weight 0).
    """
    weight = weight.expand_as(prediction)
    return ((prediction - target).abs() * weight).sum() / weight.sum().clamp(min=1e-6)
