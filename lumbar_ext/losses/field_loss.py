"""The training loss of a field network: intensity, and structure with its weight lambda."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lumbar_ext.errors import InputError
from lumbar_ext.transforms.tissue import HU_WINDOW, NO_LUMBAR_INDEX, TISSUES, UNASKED_INDEX

INTENSITY_UNIT_HU = 100.0
"""The intensity term is a mean difference in this unit: a typical one counts as much as a typical cross entropy."""
_FIRST_NAMED = TISSUES.index("sacrum")  # of the tissues that overlap is asked of: sacrum, L1 .. L5
_FIRST_LUMBAR = TISSUES.index("L1")
_DICE_EPS = 1.0  # points: an absent class that is not predicted overlaps fully


class FieldLoss(nn.Module):
    """Mean absolute difference of CT numbers + lambda (cross entropy + Dice loss of the tissues).

    Args:
        structure: lambda; 0 teaches intensity alone.
        class_weights: of the tissues in the cross entropy, equal if omitted.
        uncertainty: learn the balance instead: each term is divided by a learnt scale, whose logarithm is added (Kendall et
            al., CVPR 2018). The scales are parameters for the optimiser.

    Raises:
        InputError: for a negative lambda, or a number of class weights other than that of the tissues.
    """

    def __init__(
        self, structure: float = 1.0, class_weights: Sequence[float] | None = None, uncertainty: bool = False
    ) -> None:
        super().__init__()
        if structure < 0:
            raise InputError(f"structure: expected lambda >= 0, found {structure}")
        if class_weights is not None and len(class_weights) != len(TISSUES):
            raise InputError(f"class_weights: expected one for each of {TISSUES}, found {len(class_weights)}")
        self.structure = float(structure)
        self.register_buffer("class_weights", torch.tensor(class_weights or [1.0] * len(TISSUES)), persistent=False)
        self.log_scales = nn.Parameter(torch.zeros(2)) if uncertainty else None
        self.latest: dict[str, float] = {}

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss (scalar); `latest` then holds the unweighted terms as floats.

        Args:
            prediction: [B, P, 1 + tissues], see `networks.field_network.FieldNet.decode`.
            target: [B, P, 2], see `field_target`.
        """
        values_hu, tissue = target[..., 0], target[..., 1].long()
        known = torch.isfinite(values_hu)
        difference = (hounsfield(prediction[..., 0]) - values_hu.clamp(*HU_WINDOW)).abs()
        intensity = difference[known].mean() / INTENSITY_UNIT_HU if known.any() else prediction.sum() * 0
        terms = {"intensity": intensity, **self._structure(prediction[..., 1:], tissue)}
        self.latest = {name: float(value.detach()) for name, value in terms.items()}
        structure = terms["entropy"] + terms["dice"]
        if self.log_scales is None:
            return intensity + self.structure * structure if self.structure else intensity
        parts = torch.stack([intensity, self.structure * structure])
        return (parts * (-self.log_scales).exp() + self.log_scales).sum()

    def _structure(self, logits: Tensor, tissue: Tensor) -> dict[str, Tensor]:
        """Cross entropy and Dice loss. Of a point that is known to be no lumbar vertebra alone, that much is asked."""
        log_shares = logits.log_softmax(-1)
        is_known, is_other = tissue < NO_LUMBAR_INDEX, tissue == NO_LUMBAR_INDEX
        weights = torch.cat([self.class_weights, self.class_weights.new_zeros(2)])[tissue]
        own = -log_shares.gather(-1, tissue.clamp(max=len(TISSUES) - 1)[..., None])[..., 0] * weights
        other = -log_shares[..., :_FIRST_LUMBAR].logsumexp(-1) * is_other
        entropy = (own + other).sum() / (weights.sum() + is_other.sum()).clamp(min=1)
        shares = log_shares.exp()[..., _FIRST_NAMED:] * (is_known | is_other)[..., None]
        true = F.one_hot(tissue, UNASKED_INDEX + 1)[..., _FIRST_NAMED:NO_LUMBAR_INDEX]
        both, either = (shares * true).sum((0, 1)), (shares + true).sum((0, 1))
        return {"entropy": entropy, "dice": 1 - ((2 * both + _DICE_EPS) / (either + _DICE_EPS)).mean()}


def hounsfield(share: Tensor) -> Tensor:
    """CT numbers of shares of the window."""
    low, high = HU_WINDOW
    return low + (high - low) * share


def field_target(values_hu: Tensor, tissue: Tensor) -> Tensor:
    """The packed target [..., 2] of CT numbers [...] (NaN where unknown) and indices of tissues [...].

    See `transforms.tissue`; nothing is asked of points of `UNASKED_INDEX`.
    """
    return torch.stack([values_hu.float(), tissue.float()], -1)
