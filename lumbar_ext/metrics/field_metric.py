"""How well a field agrees with the truth at points of a regular lattice, as an ignite metric for MONAI's evaluator."""

from __future__ import annotations

import numpy as np
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from torch import Tensor

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.losses.field_loss import hounsfield
from lumbar_ext.metrics.image_scores import dice
from lumbar_ext.transforms.tissue import BONES, HU_WINDOW, NO_LUMBAR_INDEX, TISSUES

FIELD_FIELDS = ("score", "bone_dice", "bone_mae_hu", "other_mae_hu")


class FieldMetric(Metric):
    """Means over studies.

    Args:
        field: `score`, the Dice overlap of lumbar vertebrae by name, those present in a study, with equal weight; where
            nothing of structure is taught, minus the error of bone in 1000 HU. `bone_dice`, that of the lumbar vertebrae as
            one; `bone_mae_hu` and `other_mae_hu`, mean absolute differences in bone and elsewhere.
        structure: lambda of the loss.

    Raises:
        InputError: for another field.
    """

    def __init__(self, field: str, structure: float = 1.0) -> None:
        if field not in FIELD_FIELDS:
            raise InputError(f"field: expected one of {FIELD_FIELDS}, found {field!r}")
        self.field = "bone_mae_hu" if field == "score" and not structure else field
        self.sign = -1e-3 if field == "score" and not structure else 1.0
        super().__init__(output_transform=lambda output: (output["pred"], output["label"]))

    def reset(self) -> None:
        """Begins a new epoch: no study is counted yet."""
        self._values: list[float] = []

    def update(self, output: tuple[Tensor, Tensor]) -> None:
        """Adds a batch: predictions [B, P, 1 + tissues] and targets [B, P, 2]."""
        for prediction, target in zip(*output, strict=True):
            found = prediction[:, 1:].argmax(-1).cpu().numpy()
            values_hu = hounsfield(prediction[:, 0].float()).cpu().numpy()
            true_hu, tissue = target.float().cpu().numpy().T
            self._values.append(_study_value(self.field, found, tissue.astype(int), values_hu, true_hu))

    def compute(self) -> float:
        """The metric.

        Raises:
            NotComputableError: when there was no study.
        """
        if not self._values:
            raise NotComputableError("FieldMetric needs at least one study before compute")
        return self.sign * float(np.nanmean(self._values))


def _study_value(
    field: str, found: np.ndarray, tissue: np.ndarray, values_hu: np.ndarray, true_hu: np.ndarray
) -> float:
    known = tissue < NO_LUMBAR_INDEX
    lumbar = [TISSUES.index(level) for level in LEVELS]
    if field == "score":
        present = [index for index in lumbar if (tissue == index).any()]
        return float(np.mean([dice((found == index) & known, tissue == index) for index in present]))
    if field == "bone_dice":
        return dice(np.isin(found, lumbar) & known, np.isin(tissue, lumbar))
    bone = np.isin(tissue, [TISSUES.index(name) for name in BONES])
    chosen = known & np.isfinite(true_hu) & (bone if field == "bone_mae_hu" else ~bone)
    return float(np.abs(values_hu - np.clip(true_hu, *HU_WINDOW))[chosen].mean()) if chosen.any() else float("nan")


def field_metrics() -> dict[str, FieldMetric]:
    """A metric of each of `FIELD_FIELDS` but the score, which a config makes itself, as it needs the loss's weight."""
    return {name: FieldMetric(name) for name in FIELD_FIELDS if name != "score"}
