"""Bones by age and level."""

from dataclasses import replace

import numpy as np

from lumbar_ext.simulation.body.composition import ageing, sample_composition
from lumbar_ext.simulation.ranges import BoneParameters


def mean_hu(age, level):
    parameters = replace(BoneParameters(), age_years=(age, age))
    rng = np.random.default_rng(0)
    return np.mean([sample_composition(rng, parameters).trabecular_hu[level] for _ in range(300)])


def test_density_falls_with_age_as_published():
    assert np.isclose(mean_hu(25.0, 1), 226, atol=5)
    assert np.isclose(mean_hu(70.0, 1), 226 - 2.5 * 40, atol=5)


def test_density_depends_on_the_level():
    assert mean_hu(50.0, 0) > mean_hu(50.0, 1) > mean_hu(50.0, 3)


def test_dense_bone_fills_more_of_denser_levels():
    composition = sample_composition(np.random.default_rng(0), BoneParameters())
    assert 0 < composition.core_density(6) < composition.core_density(0) < 0.3


def test_ageing_runs_from_0_to_1():
    assert (ageing(20.0), ageing(54.0), ageing(88.0), ageing(99.0)) == (0, 0.5, 1, 1)
