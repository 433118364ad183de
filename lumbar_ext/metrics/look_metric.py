"""What is left of the errors of first passes after a second look, as an ignite metric for MONAI's evaluator."""

from __future__ import annotations

from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from torch import Tensor

from lumbar_ext.errors import InputError
from lumbar_ext.losses.look_loss import total_of_groups
from lumbar_ext.networks.look_network import LOOK_GROUPS

_BONE_VALUE = 0.02  # of a picture, above which a pixel shows bone: half a millimetre of it
LOOK_FIELDS = ("score", "groups_before", "groups_after", "total_before", "total_after")


class LookMetric(Metric):
    """Mean absolute errors over the pixels of bone, true or supposed, pooled over all views.

    Args:
        field: `groups_before` and `groups_after`, of the odd and the even picture; `total_before` and `total_after`, of the
            two together; `score`, the share of the first that is gone in the second.

    Raises:
        InputError: for another field.
    """

    def __init__(self, field: str) -> None:
        if field not in LOOK_FIELDS:
            raise InputError(f"field: expected one of {LOOK_FIELDS}, found {field!r}")
        self.field = field
        super().__init__(output_transform=lambda output: (output["pred"], output["label"], output["image"]))

    def reset(self) -> None:
        """Begins a new epoch: the sums are zero."""
        self._sums = dict.fromkeys(LOOK_FIELDS[1:], 0.0)
        self._pixels = 0.0

    def update(self, output: tuple[Tensor, Tensor, Tensor]) -> None:
        """Adds a batch: predictions [B, 4, H, W], true pictures [B, 2, H, W], inputs [B, 4, H, W]."""
        prediction, truth, planes = output
        before, after = planes[:, 1 : 1 + LOOK_GROUPS], prediction[:, :LOOK_GROUPS].clamp(0, 1)
        bone = ((truth > _BONE_VALUE) | (before > _BONE_VALUE)).any(dim=1, keepdim=True)
        self._pixels += float(bone.sum())
        for when, pictures in (("before", before), ("after", after)):
            errors = (pictures - truth).abs().mean(dim=1, keepdim=True)
            total = (total_of_groups(pictures) - total_of_groups(truth)).abs()
            self._sums[f"groups_{when}"] += float(errors[bone].sum())
            self._sums[f"total_{when}"] += float(total[bone].sum())

    def compute(self) -> float:
        """The metric.

        Raises:
            NotComputableError: when there was no bone.
        """
        if not self._pixels:
            raise NotComputableError("LookMetric needs at least one view with bone before compute")
        if self.field == "score":
            return 1 - self._sums["groups_after"] / max(self._sums["groups_before"], 1e-9)
        return self._sums[self.field] / self._pixels


def look_metrics() -> dict[str, LookMetric]:
    """A metric of each of `LOOK_FIELDS` but the score, which a config makes itself as the key metric."""
    return {name: LookMetric(name) for name in LOOK_FIELDS if name != "score"}
