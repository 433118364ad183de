"""Mixtures attenuate as their CT number says."""

import numpy as np

from lumbar_ext.simulation.ct_materials import material_share
from lumbar_ext.simulation.materials import CT_ENERGY_KEV, MATERIALS, attenuation_per_mm, ct_number


def material_shares(hu):
    return np.stack([material_share(hu, name) for name in MATERIALS])


def test_attenuation_at_the_ct_energy_is_the_ct_number():
    hu = np.array([-1000.0, -800, -300, -78, 0, 53, 200, 800, 1500, 2500, 6000])
    mu = np.array([attenuation_per_mm(name, CT_ENERGY_KEV) for name in MATERIALS])
    water = attenuation_per_mm("water", CT_ENERGY_KEV)
    assert np.allclose(mu @ material_shares(hu), water * (1 + hu / 1000), atol=1e-6)


def test_pure_materials_are_themselves():
    for index, name in enumerate(MATERIALS):
        shares = material_shares(np.array([ct_number(name)]))[:, 0]
        assert np.allclose(shares, np.eye(4)[index], atol=1e-5)


def test_shares_are_shares_and_noise_in_air_is_air():
    shares = material_shares(np.linspace(-2000, 20000, 300))
    assert shares.min() >= 0
    assert shares.sum(0).max() <= 1 + 1e-5
    assert not material_shares(np.array([-1024.0, -990, -960])).any()
