"""Losses between predicted and true decomposition images [B, 1, H, W] (Yu et al., eq. 2 and 3, corrected; L1 is ours)."""

from __future__ import annotations

import torch
from torch import Tensor

from lumbar_ext.errors import InputError


def ncc_loss(prediction: Tensor, target: Tensor, eps: float = 1e-6) -> Tensor:
    """One minus the normalised cross-correlation of each image, averaged over the batch.

    The paper prints "+NCC" as a loss; the sign is corrected here. `eps` is added to the product of the standard
    deviations (intensity squared), so that constant images give a loss of one and a finite gradient.

    Args:
        prediction: [B, ...], any shape after the batch axis.
        target: same shape.

    Returns:
        Scalar in [0, 2].

    Raises:
        InputError: when the shapes differ.
    """
    if prediction.shape != target.shape:
        raise InputError(f"ncc_loss: shapes differ, {tuple(prediction.shape)} and {tuple(target.shape)}")
    a = prediction.flatten(1)
    b = target.flatten(1)
    a = a - a.mean(1, keepdim=True)
    b = b - b.mean(1, keepdim=True)
    covariance = (a * b).mean(1)
    # the tiny constant under the root keeps the gradient of a constant image finite
    spread = torch.sqrt(a.square().mean(1) * b.square().mean(1) + eps * eps)
    return (1 - covariance / (spread + eps)).mean()


def l2_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference over all pixels.

    Raises:
        InputError: when the shapes differ.
    """
    if prediction.shape != target.shape:
        raise InputError(f"l2_loss: shapes differ, {tuple(prediction.shape)} and {tuple(target.shape)}")
    return (prediction - target).square().mean()


def l1_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference over all pixels.

    Where the network cannot know, this is least at the median of what is possible, the squared difference at the mean:
    so processes are drawn or left out rather than blurred, and their outlines stay sharp.

    Raises:
        InputError: when the shapes differ.
    """
    if prediction.shape != target.shape:
        raise InputError(f"l1_loss: shapes differ, {tuple(prediction.shape)} and {tuple(target.shape)}")
    return (prediction - target).abs().mean()
