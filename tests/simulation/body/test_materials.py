"""Attenuation tables: their nodes, their order, and the meaning of CT numbers."""

import numpy as np
import pytest

from lumbar_ext.simulation.body.materials import CT_ENERGY_KEV, attenuation_per_mm, bone_fraction, ct_number


def test_the_tables_are_met_at_their_nodes():
    assert np.isclose(attenuation_per_mm("water", 50.0), 0.02269)
    assert np.isclose(attenuation_per_mm("bone", 60.0), 0.3148 * 1.92 / 10)


@pytest.mark.parametrize("energy", [40.0, 54.0, 80.0])
def test_tissues_keep_their_order(energy):
    fat, water, soft, bone, metal = (
        attenuation_per_mm(name, energy) for name in ("fat", "water", "soft", "bone", "metal")
    )
    assert fat < water < soft < bone < metal


def test_attenuation_falls_with_energy_and_bone_contrast_with_it():
    energies = np.array([30.0, 50.0, 70.0, 100.0])
    for name in ("water", "soft", "fat", "bone", "aluminium", "metal"):
        assert (np.diff(attenuation_per_mm(name, energies)) < 0).all()
    assert (np.diff(attenuation_per_mm("bone", energies) / attenuation_per_mm("soft", energies)) < 0).all()


def test_soft_tissues_have_the_ct_numbers_of_the_clinic():
    assert 40 < ct_number("soft") < 65
    assert -110 < ct_number("fat") < -70


@pytest.mark.parametrize("marrow_fat", [0.3, 0.6])
def test_a_bone_fraction_gives_back_its_ct_number(marrow_fat):
    share = bone_fraction(150.0, marrow_fat)
    parts = {"bone": share, "fat": (1 - share) * marrow_fat, "soft": (1 - share) * (1 - marrow_fat)}
    mixed = sum(part * attenuation_per_mm(name, CT_ENERGY_KEV) for name, part in parts.items())
    assert np.isclose(mixed / attenuation_per_mm("water", CT_ENERGY_KEV), 1.15)
    assert bone_fraction(-200.0, marrow_fat) == 0
