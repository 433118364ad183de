import numpy as np
import pytest

from lumbar_ext.errors import InputError
from lumbar_ext.shape.correspondence.cohort_registration import RegisteredShape
from lumbar_ext.shape.population.level_statistics import complete_subject, level_statistics, spread_over_levels
from lumbar_ext.shape.sources.cohort_file import CohortShape


def registered(reference, subject, level, vertices, split="train", weight=1.0):
    shape = CohortShape(f"{subject}_L{level + 1}", subject, f"L{level + 1}", "-", split, weight=weight)
    return RegisteredShape(shape, reference.in_vertebra_frame(vertices), np.eye(4), np.zeros(2), np.zeros(2), 0.0)


@pytest.fixture(scope="module")
def cohort(reference):
    base = reference.surface.vertices_mm
    average = [registered(reference, "average", level, base * (0.95 + 0.02 * level), weight=6.0) for level in range(5)]
    wide = base * [1.0, 1.1, 1.0]
    return [*average, registered(reference, "large", 2, 1.15 * base), registered(reference, "wide", 3, wide)]


def test_means_have_the_size_of_the_size_subject(cohort, reference):
    statistics = level_statistics(cohort, reference, "average")
    extents = np.ptp(statistics.means_mm, axis=1)[:, 2]
    assert np.allclose(
        extents / np.ptp(reference.surface.vertices_mm, axis=0)[2], 0.95 + 0.02 * np.arange(5), rtol=0.02
    )


def test_deviations_hold_shape_but_not_size(cohort, reference):
    statistics = level_statistics(cohort, reference, "average")
    assert statistics.deviation_names == ("large", "wide")
    rms = np.sqrt((statistics.deviations_mm**2).sum(-1).mean(-1))
    assert rms[0].max() < 0.25
    assert rms[1, 3] > 1.0


def test_missing_levels_borrow_from_the_nearest_weakened():
    own = {0: np.ones((4, 3)), 3: 2 * np.ones((4, 3))}
    assert np.allclose(spread_over_levels(own)[:, 0, 0], [1.0, 0.9, 1.8, 2.0, 1.8])


def test_a_held_out_subject_is_completed(cohort, reference):
    statistics = level_statistics(cohort, reference, "average")
    real = registered(reference, "t", 2, 1.1 * reference.surface.vertices_mm, split="test")
    subject = complete_subject([real], statistics, reference)
    assert np.allclose(subject[2], real.vertices_mm)
    ratio = np.ptp(subject, axis=1)[:, 2] / np.ptp(statistics.means_mm, axis=1)[:, 2]
    assert np.allclose(ratio, ratio[2], rtol=0.03)


def test_a_level_without_shapes_is_named(cohort, reference):
    with pytest.raises(InputError, match="no L5"):
        level_statistics([s for s in cohort if s.shape.level != "L5"], reference, "average")
