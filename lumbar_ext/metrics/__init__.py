"""Quality of decomposition images and landmarks."""

from lumbar_ext.metrics.views import ViewMetric, ViewScorer, view_metrics

__all__ = ["ViewMetric", "ViewScorer", "view_metrics"]
