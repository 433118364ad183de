"""Attenuation tables: their nodes, their order, and the meaning of CT numbers."""

import numpy as np
import pytest

from lumbar_ext.simulation.tissue import attenuation_at


def test_the_tables_are_met_at_their_nodes():
    mu = attenuation_at(50.0, trabecular_hu=0.0)
    assert np.allclose([mu.soft, mu.fat, mu.cortical], [0.0236, 0.0202, 0.0814])


def test_trabecular_bone_has_its_ct_number_at_the_ct_energy():
    water = 0.0194
    mu = attenuation_at(70.0, trabecular_hu=150.0)
    assert np.isclose(mu.trabecular, water * 1.15)


@pytest.mark.parametrize("energy", [50.0, 54.0, 60.0])
def test_tissues_keep_their_order(energy):
    mu = attenuation_at(energy, trabecular_hu=120.0)
    assert 0 < mu.lung < mu.fat < mu.soft < mu.trabecular < mu.cortical


def test_bone_contrast_falls_with_energy():
    contrasts = [mu.cortical / mu.soft for mu in (attenuation_at(e, trabecular_hu=100.0) for e in (50, 55, 60))]
    assert contrasts[0] > contrasts[1] > contrasts[2]
