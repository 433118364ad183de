"""Quality of decomposition images and landmarks."""

from lumbar_ext.metrics.report import EvaluationReport
from lumbar_ext.metrics.spine_scores import measure_spine_view
from lumbar_ext.metrics.view_scores import MeasuredView, ViewScores, measure_view
from lumbar_ext.metrics.views import ViewMetric, ViewScorer, view_metrics

__all__ = [
    "EvaluationReport",
    "MeasuredView",
    "ViewMetric",
    "ViewScorer",
    "ViewScores",
    "measure_spine_view",
    "measure_view",
    "view_metrics",
]
