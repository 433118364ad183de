"""The training loss: a weighted sum over both tasks, on packed tensors."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lumbar_ext.losses.detection import focal_loss, masked_l1
from lumbar_ext.losses.image_similarity import l1_loss, l2_loss, ncc_loss
from lumbar_ext.losses.weighted_loss import WeightedLoss
from lumbar_ext.networks.lumbar_packing import LUMBAR_PACK


@dataclass(frozen=True)
class LossComponents:
    """Unweighted loss terms, scalars."""

    ncc: Tensor
    l2: Tensor
    l1: Tensor
    focal: Tensor
    centre_offset: Tensor
    landmark_offsets: Tensor


def loss_components(packed: Tensor, target: Tensor) -> LossComponents:
    """All six terms for a packed prediction [B, 37, h, w] and a packed target [B, 45, h, w].

    Offsets count only at the cells around a centre (channel 37), landmark offsets only where the landmark lies
    within the image (channels 38-44).

    Raises:
        InputError: when the target lacks the mask channels.
    """
    LUMBAR_PACK.check_target(target)
    predicted, true = LUMBAR_PACK.unpack(packed.float()), LUMBAR_PACK.unpack(target)
    weight = target[:, LUMBAR_PACK["cell_weight"]]
    landmark_weight = (weight * target[:, LUMBAR_PACK["landmark_mask"]]).repeat_interleave(2, dim=1)
    return LossComponents(
        ncc=ncc_loss(predicted.decomposition, true.decomposition),
        l2=l2_loss(predicted.decomposition, true.decomposition),
        l1=l1_loss(predicted.decomposition, true.decomposition),
        focal=focal_loss(predicted.heatmap, true.heatmap),
        centre_offset=masked_l1(predicted.centre_offset, true.centre_offset, weight),
        landmark_offsets=masked_l1(predicted.landmark_offsets, true.landmark_offsets, landmark_weight),
    )


class MultiTaskLoss(WeightedLoss):
    """Weighted sum of `loss_components`; a weight of zero drops that term (single-task ablation).

    The paper does not give its weights. The defaults bring the terms to the same order of magnitude late in training:
    mean squared differences are about 1e-3 (mostly background), absolute ones and 1 - NCC about 1e-2, offsets about
    0.5 cells. The paper has no `l1`; zero is its loss.

    Args:
        ncc, l2, l1, focal, centre_offset, landmark_offsets: weights of the terms.
    """

    def __init__(
        self,
        ncc: float = 2.0,
        l2: float = 100.0,
        l1: float = 20.0,
        focal: float = 0.5,
        centre_offset: float = 0.5,
        landmark_offsets: float = 0.5,
    ) -> None:
        super().__init__(
            ncc=ncc, l2=l2, l1=l1, focal=focal, centre_offset=centre_offset, landmark_offsets=landmark_offsets
        )

    def terms(self, packed: Tensor, target: Tensor) -> dict[str, Tensor]:
        """See `loss_components`."""
        return vars(loss_components(packed, target))
