"""The loss of the second-generation network, on packed tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from lumbar_ext.losses.weighted_loss import WeightedLoss
from lumbar_ext.networks.spine_packing import LOG_SCALE_RANGE, SPINE_PACK

BLUR_PX = 4  # side of the blocks whose means are compared: half a cell
# keeps the gradient of a distance finite where it is zero; a hundredth of a cell
_DISTANCE_EPS = 1e-2


@dataclass(frozen=True)
class SpineLossComponents:
    """Unweighted loss terms, scalars."""

    l1: Tensor
    l2: Tensor
    blurred_l2: Tensor
    heatmap: Tensor
    centre: Tensor
    landmarks: Tensor
    s1: Tensor


def laplace_loss(offsets: Tensor, log_scales: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Mean negative log likelihood of distances e under exp(-e / b) / (2 pi b^2): e / b + 2 ln b, the constant left out.

    Args:
        offsets, targets: [B, 2 N, h, w], (u, v) of N points.
        log_scales: [B, N, h, w], ln b; clamped to `LOG_SCALE_RANGE`.
        weights: [B, N, h, w], zero where a point is unknown.

    Returns:
        The weighted mean; zero, with zero gradient, where every weight is zero.
    """
    batch, _, rows, columns = offsets.shape
    errors = (offsets - targets).reshape(batch, -1, 2, rows, columns)
    distance = torch.sqrt(errors.square().sum(2) + _DISTANCE_EPS**2)
    log_b = log_scales.clamp(*LOG_SCALE_RANGE)
    likelihood = distance * torch.exp(-log_b) + 2 * log_b
    return (likelihood * weights).sum() / weights.sum().clamp(min=1.0)


def heatmap_loss(probability: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Binary cross-entropy with Gaussian targets, summed over cells and divided by the targets' sum.

    It is least where the prediction is the expected target: a vertebra that is L1 or L2 with equal chance gets a half in
    both maps.

    Args:
        probability, target: [B, C, h, w] in [0, 1].
        weights: the same shape, zero where it is unknown whether the vertebra is there.
    """
    entropy = F.binary_cross_entropy(probability, target, weight=weights, reduction="sum")
    return entropy / (target * weights).sum().clamp(min=1.0)


def blurred(image: Tensor) -> Tensor:
    """Means of 4 x 4 pixel blocks of [B, 1, H, W]."""
    return F.avg_pool2d(image, BLUR_PX)


def spine_loss_components(packed: Tensor, target: Tensor) -> SpineLossComponents:
    """All terms for a packed prediction [B, 111, h, w] and a packed target [B, 196, h, w].

    Raises:
        InputError: when the target lacks the weight channels.
    """
    SPINE_PACK.check_target(target)
    predicted, true = SPINE_PACK.unpack(packed.float()), SPINE_PACK.unpack(target)
    visible = F.pixel_shuffle(target[:, SPINE_PACK["pixel_weight"]], SPINE_PACK.stride)
    difference = (predicted.decomposition - true.decomposition) * visible
    return SpineLossComponents(
        l1=difference.abs().mean(),
        l2=difference.square().mean(),
        blurred_l2=blurred(difference).square().mean(),
        heatmap=heatmap_loss(predicted.heatmap, true.heatmap, target[:, SPINE_PACK["heatmap_weight"]]),
        centre=laplace_loss(
            predicted.centre_offset,
            predicted.centre_scale,
            true.centre_offset,
            target[:, SPINE_PACK["centre_weight"]],
        ),
        landmarks=laplace_loss(
            predicted.landmark_offsets,
            predicted.landmark_scales,
            true.landmark_offsets,
            target[:, SPINE_PACK["landmark_weight"]],
        ),
        s1=laplace_loss(predicted.s1_offsets, predicted.s1_scales, true.s1_offsets, target[:, SPINE_PACK["s1_weight"]]),
    )


class SpineLoss(WeightedLoss):
    """Weighted sum of `spine_loss_components`.

    The defaults bring the image terms (absolute differences about 1e-2, squared ones 1e-3) and the landmark terms to the
    same order of magnitude. The blurred squared difference is what outlines half a pixel off do not enter.

    Args:
        l1, l2, blurred_l2, heatmap, centre, landmarks, s1: weights of the terms.
    """

    def __init__(
        self,
        *,
        l1: float = 20.0,
        l2: float = 50.0,
        blurred_l2: float = 50.0,
        heatmap: float = 1.0,
        centre: float = 0.1,
        landmarks: float = 0.4,
        s1: float = 0.1,
    ) -> None:
        super().__init__(
            l1=l1, l2=l2, blurred_l2=blurred_l2, heatmap=heatmap, centre=centre, landmarks=landmarks, s1=s1
        )

    def terms(self, packed: Tensor, target: Tensor) -> dict[str, Tensor]:
        """See `spine_loss_components`."""
        return vars(spine_loss_components(packed, target))
