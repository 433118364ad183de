"""Mixtures attenuate as their CT number says."""

import numpy as np

from lumbar_ext.simulation.body.materials import CT_ENERGY_KEV, MATERIALS, attenuation_per_mm, ct_number
from lumbar_ext.simulation.ct.ct_materials import NODE_MATERIALS, NODES_HU, mixture


def material_shares(hu):
    """[5, N]: shares of `MATERIALS` and, last, of air."""
    shares = np.zeros((len(MATERIALS) + 1, len(hu)))
    for n, value in enumerate(hu):
        lower, share = mixture(value, NODES_HU)
        shares[NODE_MATERIALS[[lower, lower + 1]], n] += [1 - share, share]
    return shares


def test_attenuation_at_the_ct_energy_is_the_ct_number():
    hu = np.array([-1000.0, -800, -300, -78, 0, 53, 200, 800, 1500, 2500, 6000])
    mu = np.array([attenuation_per_mm(name, CT_ENERGY_KEV) for name in MATERIALS])
    water = attenuation_per_mm("water", CT_ENERGY_KEV)
    assert np.allclose(mu @ material_shares(hu)[:-1], water * (1 + hu / 1000), atol=1e-6)


def test_pure_materials_are_themselves():
    for index, name in enumerate(MATERIALS):
        shares = material_shares(np.array([ct_number(name)]))[:, 0]
        assert np.allclose(shares, np.eye(5)[index], atol=1e-5)


def test_shares_are_shares_and_noise_in_air_is_air():
    shares = material_shares(np.linspace(-2000, 20000, 300))
    assert shares.min() >= 0
    assert np.allclose(shares.sum(0), 1)
    assert np.array_equal(material_shares(np.array([-1024.0, -990, -960]))[-1], [1, 1, 1])
