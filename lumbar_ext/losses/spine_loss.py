"""The loss of the second-generation network, on packed tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lumbar_ext.errors import InputError
from lumbar_ext.networks.spine_packing import (
    CENTRE_WEIGHT,
    HEATMAP_WEIGHT,
    LANDMARK_WEIGHT,
    LOG_SCALE_RANGE,
    PIXEL_WEIGHT,
    S1_WEIGHT,
    STRIDE,
    TARGET_CHANNELS,
    unpack_spine,
)

BLUR_PX = 4
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
    if target.ndim != 4 or target.shape[1] != TARGET_CHANNELS:
        raise InputError(f"target: expected [B, {TARGET_CHANNELS}, H/8, W/8], found {tuple(target.shape)}")
    predicted, true = unpack_spine(packed.float()), unpack_spine(target)
    visible = F.pixel_shuffle(target[:, PIXEL_WEIGHT], STRIDE)
    difference = (predicted.decomposition - true.decomposition) * visible
    return SpineLossComponents(
        l1=difference.abs().mean(),
        l2=difference.square().mean(),
        blurred_l2=blurred(difference).square().mean(),
        heatmap=heatmap_loss(predicted.heatmap, true.heatmap, target[:, HEATMAP_WEIGHT]),
        centre=laplace_loss(
            predicted.centre_offset, predicted.centre_scale, true.centre_offset, target[:, CENTRE_WEIGHT]
        ),
        landmarks=laplace_loss(
            predicted.landmark_offsets, predicted.landmark_scales, true.landmark_offsets, target[:, LANDMARK_WEIGHT]
        ),
        s1=laplace_loss(predicted.s1_offsets, predicted.s1_scales, true.s1_offsets, target[:, S1_WEIGHT]),
    )


class SpineLoss(nn.Module):
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
        super().__init__()
        names = ("l1", "l2", "blurred_l2", "heatmap", "centre", "landmarks", "s1")
        self.weights = dict(zip(names, (l1, l2, blurred_l2, heatmap, centre, landmarks, s1), strict=True))
        self.latest: dict[str, float] = {}

    def forward(self, packed: Tensor, target: Tensor) -> Tensor:
        """Total loss (scalar); `latest` then holds the unweighted terms as floats, for logging."""
        parts = vars(spine_loss_components(packed, target))
        self.latest = {name: float(value.detach()) for name, value in parts.items()}
        return torch.stack([self.weights[name] * parts[name] for name in self.weights]).sum()
