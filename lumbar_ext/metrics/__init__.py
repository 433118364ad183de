"""Quality of decomposition images and landmarks."""

from lumbar_ext.metrics.spine_scores import measure_spine_view
from lumbar_ext.metrics.view_metric import ViewMetric, ViewScorer, view_metrics
from lumbar_ext.metrics.view_scores import MeasuredView, ViewScores, measure_view

__all__ = [
    "MeasuredView",
    "ViewMetric",
    "ViewScorer",
    "ViewScores",
    "measure_spine_view",
    "measure_view",
    "view_metrics",
]
