"""Means of view scores as ignite metrics for MONAI's evaluator, over all views and for each of the two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np
from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from torch import Tensor

from lumbar_ext.anatomy import VIEWS
from lumbar_ext.errors import InputError
from lumbar_ext.metrics.view_scores import MeasuredView, ViewScores, measure_view

VIEW_FIELDS = tuple(field.name for field in fields(ViewScores))


class ViewScorer:
    """Measures batches, remembering the last one, so that several metrics share the work.

    Args:
        pixel_spacing_mm: size of the network grid's pixels on the detector.
        measure: compares one packed prediction with its packed target; `measure_spine_view` for the second generation.
    """

    def __init__(
        self, pixel_spacing_mm: float = 0.834, measure: Callable[[Tensor, Tensor, float], MeasuredView] = measure_view
    ) -> None:
        self.pixel_spacing_mm = pixel_spacing_mm
        self.measure = measure
        self._last: tuple[Tensor, list[MeasuredView]] | None = None

    def __call__(self, prediction: Tensor, target: Tensor) -> list[MeasuredView]:
        """Each view of a batch of packed predictions and targets [B, C, h, w]."""
        if self._last is None or self._last[0] is not prediction:
            measured = [self.measure(p, t, self.pixel_spacing_mm) for p, t in zip(prediction, target, strict=True)]
            self._last = (prediction, measured)
        return self._last[1]


class ViewMetric(Metric):
    """Mean over views of one field of `ViewScores`; NaN and infinite values are left out.

    Args:
        field: name of the field.
        scorer: share one among the metrics of an evaluator.
        view: "ap" or "lat" to count that view alone, by the batch's `view` entry; None counts all.

    Raises:
        InputError: for an unknown field or view.
    """

    def __init__(self, field: str, scorer: ViewScorer, view: str | None = None) -> None:
        if field not in VIEW_FIELDS:
            raise InputError(f"field: expected one of {VIEW_FIELDS}, found {field!r}")
        if view not in (None, *VIEWS):
            raise InputError(f"view: expected one of {VIEWS} or null, found {view!r}")
        self.field, self.scorer, self.view = field, scorer, view
        super().__init__(output_transform=lambda output: (output["pred"], output["label"]))

    def reset(self) -> None:
        """Begins a new epoch without views."""
        self._values: list[float] = []

    def iteration_completed(self, engine: Engine) -> None:
        """Adds the engine's batch; in place of Ignite's own, which does not hand on the batch's views."""
        prediction, target = self._output_transform(engine.state.output)
        views = engine.state.batch["view"] if self.view is not None else None
        self.update((prediction, target), views)

    def update(self, output: tuple[Tensor, Tensor], views: Sequence[str] | None = None) -> None:
        """Adds the views of one batch (predictions, targets)."""
        for index, measured in enumerate(self.scorer(*output)):
            if views is None or views[index] == self.view:
                self._values.append(getattr(measured.scores, self.field))

    def compute(self) -> float:
        """The mean; NaN when no view had a value.

        Raises:
            NotComputableError: when no view at all was measured.
        """
        if not self._values and self.view is None:
            raise NotComputableError("ViewMetric needs at least one view before compute")
        values = np.array(self._values)
        values = values[np.isfinite(values)]
        return float(values.mean()) if len(values) else float("nan")


def view_metrics(scorer: ViewScorer) -> dict[str, ViewMetric]:
    """All metrics but the score, over both views (`dice`) and for each (`ap_dice`, `lat_dice`)."""
    names = [name for name in VIEW_FIELDS if name != "score"]
    metrics = {name: ViewMetric(name, scorer) for name in names}
    return metrics | {f"{view}_{name}": ViewMetric(name, scorer, view) for view in VIEWS for name in names}
