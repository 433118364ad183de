"""The training loss of the second look."""

from __future__ import annotations

from torch import Tensor, nn

from lumbar_ext.errors import InputError
from lumbar_ext.networks.look_network import LOOK_GROUPS, OUTPUT_PLANES


def total_of_groups(groups: Tensor) -> Tensor:
    """The picture [B, 1, H, W] of all levels, of those of odd and even ones [B, 2, H, W]."""
    return 1 - (1 - groups[:, :1]) * (1 - groups[:, 1:])


class SecondLookLoss(nn.Module):
    """Differences of the odd and even pictures and of their total, and how badly the stated error describes them.

    Every sample's differences are divided by what they are at the moment (at least `least`): it is the relative error that
    counts. Else the few first passes that stand far from the truth would drown those that are nearly right, which are
    what a second look is for.

    The stated error is judged by the negative log-likelihood of a Laplace distribution of that scale; this leaves the
    pictures as they are.

    Args:
        l1: weight of the mean absolute difference of the two pictures.
        l2: weight of their mean squared difference. Where the network cannot tell, the absolute one asks for no change at
            all, and hardly teaches at first; this one asks for the mean of what is possible.
        total: weight of the mean absolute difference of the total.
        stated: weight of the log-likelihood.
        least: smallest divisor of a sample's weighted differences.
    """

    def __init__(
        self, l1: float = 10.0, l2: float = 50.0, total: float = 10.0, stated: float = 1.0, least: float = 0.4
    ) -> None:
        super().__init__()
        self.weights = {"l1": l1, "l2": l2, "total": total}
        self.stated, self.least = stated, least
        self.latest: dict[str, float] = {}

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of predictions [B, 4, H, W] (`networks.look_network.OUTPUT_PLANES`) for true pictures [B, 2, H, W].

        Raises:
            InputError: for other shapes.
        """
        if prediction.shape[1] != OUTPUT_PLANES or target.shape[1] != LOOK_GROUPS:
            raise InputError(
                f"expected predictions [B, {OUTPUT_PLANES}, H, W] and pictures [B, {LOOK_GROUPS}, H, W], "
                f"found {tuple(prediction.shape)} and {tuple(target.shape)}"
            )
        pictures, log_scale = prediction[:, :LOOK_GROUPS], prediction[:, LOOK_GROUPS:]
        error = pictures - target
        terms = {
            "l1": error.abs().mean((1, 2, 3)),
            "l2": error.square().mean((1, 2, 3)),
            "total": (total_of_groups(pictures) - total_of_groups(target)).abs().mean((1, 2, 3)),
        }
        difference = sum(self.weights[name] * term for name, term in terms.items())
        stated = (error.detach().abs() * (-log_scale).exp() + log_scale).mean()
        self.latest = {name: float(term.detach().mean()) for name, term in terms.items()} | {
            "stated": float(stated.detach())
        }
        return (difference / difference.detach().clamp_min(self.least)).mean() + self.stated * stated
