import numpy as np
import pytest

from lumbar_ext.metrics.landmark_scores import (
    group_means,
    mean_of_known,
    success_detection_rate,
    wrong_levels,
)

CENTRES = np.stack([np.zeros(5), 60 * np.arange(5)], axis=1)
ALL = np.ones(5, bool)


def test_means_by_type():
    distances = np.array([[1, 3, 10, 20, 5, 7, 2.0], [1, 3, 10, 20, 5, np.nan, 4.0]])
    expected = {"endplate": 2, "transverse_process": 15, "pedicle": 17 / 3, "spinous_process": 3}
    assert group_means(distances) == pytest.approx(expected)
    assert np.isnan(mean_of_known(np.array([np.nan])))


def test_a_missed_landmark_is_no_success():
    assert success_detection_rate(np.array([1.0, 2.0, 3.0, np.nan]), 2.0) == 0.5


def test_a_column_shifted_by_one_level_is_all_wrong():
    shifted = CENTRES + np.array([0, 60])
    assert not wrong_levels(CENTRES, ALL, CENTRES, ALL).any()
    # the lowest is still nearest to the true L5
    assert wrong_levels(shifted, ALL, CENTRES, ALL).tolist() == [True] * 4 + [False]


def test_a_level_that_is_not_there_is_wrong():
    wrong = wrong_levels(CENTRES, ALL, CENTRES, np.array([1, 1, 1, 1, 0], bool))
    assert wrong.tolist() == [False] * 4 + [True]
