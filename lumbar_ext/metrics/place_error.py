"""How far the locator is from the middle of the lumbar spine, as an ignite metric for MONAI's evaluator."""

from __future__ import annotations

import numpy as np
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from torch import Tensor

from lumbar_ext.errors import InputError
from lumbar_ext.networks.locator import LOCATOR_HEATMAP, LOCATOR_SPACING_MM
from lumbar_ext.transforms.locate import read_places

STATISTICS = ("score", "median_mm", "p95_mm", "far", "empty_probability")
FAR_MM = 30.0
"""A crop whose middle is off by more than this cuts L1 or S1 off; it is found again only by a second look."""


class PlaceError(Metric):
    """One statistic of the locator's errors on the detector.

    "median_mm" and "p95_mm" of the distance, "far" the share beyond 30 mm, "empty_probability" the mean probability on films
    without a lumbar spine, and "score", the negative median, by which the best weights are chosen.

    Args:
        statistic: one of `STATISTICS`.

    Raises:
        InputError: for another statistic.
    """

    def __init__(self, statistic: str) -> None:
        if statistic not in STATISTICS:
            raise InputError(f"statistic: expected one of {STATISTICS}, found {statistic!r}")
        self.statistic = statistic
        super().__init__(output_transform=lambda output: (output["pred"], output["label"]))

    def reset(self) -> None:
        """Begins a new epoch without films."""
        self._errors_mm: list[float] = []
        self._empty: list[float] = []

    def update(self, output: tuple[Tensor, Tensor]) -> None:
        """Adds the films of one batch, packed [B, 4, h, w] and targets [B, 6, h, w]."""
        for packed, target in zip(*output, strict=True):
            place, probability = read_places(packed)[0]
            if target[LOCATOR_HEATMAP].max() == 0:
                self._empty.append(probability)
                continue
            self._errors_mm.append(float(np.linalg.norm(place - read_places(target)[0][0])) * LOCATOR_SPACING_MM)

    def compute(self) -> float:
        """The statistic; NaN for that of empty films without any.

        Raises:
            NotComputableError: when no film showed a spine.
        """
        if not self._errors_mm:
            raise NotComputableError("PlaceError needs at least one film that shows a lumbar spine before compute")
        errors = np.array(self._errors_mm)
        return {
            "score": -float(np.median(errors)),
            "median_mm": float(np.median(errors)),
            "p95_mm": float(np.percentile(errors, 95)),
            "far": float((errors > FAR_MM).mean()),
            "empty_probability": float(np.mean(self._empty)) if self._empty else float("nan"),
        }[self.statistic]


def place_metrics() -> dict[str, PlaceError]:
    """A metric of each of `STATISTICS` but the score, which a config makes itself as the key metric."""
    return {name: PlaceError(name) for name in STATISTICS if name != "score"}
