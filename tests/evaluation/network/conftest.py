import numpy as np
import pytest

from lumbar_ext.evaluation.network.evaluated_view import EvaluatedView
from lumbar_ext.metrics.view_scores import MeasuredView, ViewLevels, ViewScores


@pytest.fixture
def evaluated_view():
    """A function that makes a view whose landmarks all have one error; keyword arguments replace scores."""
    return _evaluated


def _evaluated(error_mm=1.0, view="ap", set_name="a", findings=(), study="s0", missed_levels=(), **scores):
    present = np.ones(5, bool)
    seen = present.copy()
    seen[list(missed_levels)] = False
    error = np.where(seen[:, None], np.full((5, 7), float(error_mm)), np.nan)
    levels = ViewLevels(
        present,
        seen,
        np.zeros(5, bool),
        np.ones((5, 7), bool),
        error,
        0.9 * seen,
        0.8 * np.repeat(seen[:, None], 7, axis=1),
    )
    values = dict.fromkeys(ViewScores.__dataclass_fields__, 0.5) | {"miscounted": float((~seen).any())} | scores
    return EvaluatedView(set_name, study, view, tuple(findings), MeasuredView(ViewScores(**values), levels))
