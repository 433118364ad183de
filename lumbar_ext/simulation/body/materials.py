"""X-ray attenuation of the materials in the beam, by photon energy.

Mass attenuation coefficients with coherent scattering: NIST, Hubbell and Seltzer (NISTIR 5632), tables 3 and 4; adipose
tissue, soft tissue and cortical bone of ICRU Report 44, with its densities.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

MATERIALS = ("soft", "fat", "bone", "metal")
"""What path lengths are kept of, in this order; metal is titanium."""

CT_ENERGY_KEV = 70.0
"""Hounsfield units are stated for CT beams of about this effective energy (120 kV)."""

ENERGY_RANGE_KEV = (20.0, 150.0)  # of the table below, which diagnostic tubes stay within
_ENERGY_KEV = (20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 150.0)  # nodes of the table
# cm2/g at these energies.
_MASS_ATTENUATION = MappingProxyType(
    {
        "water": (0.8096, 0.3756, 0.2683, 0.2269, 0.2059, 0.1837, 0.1707, 0.1505),
        "soft": (0.8230, 0.3790, 0.2688, 0.2264, 0.2048, 0.1823, 0.1693, 0.1492),
        "fat": (0.5677, 0.3063, 0.2396, 0.2123, 0.1974, 0.1800, 0.1688, 0.1500),
        "bone": (4.001, 1.331, 0.6655, 0.4242, 0.3148, 0.2229, 0.1855, 0.1480),
        "aluminium": (3.441, 1.128, 0.5685, 0.3681, 0.2778, 0.2018, 0.1704, 0.1378),
        "metal": (15.85, 4.972, 2.214, 1.213, 0.7661, 0.4052, 0.2721, 0.1649),
    }
)
_DENSITY_G_PER_CM3 = MappingProxyType(
    {"water": 1.0, "soft": 1.06, "fat": 0.95, "bone": 1.92, "aluminium": 2.699, "metal": 4.54}
)


def attenuation_per_mm(material: str, energy_kev: float | np.ndarray) -> np.ndarray:
    """Linear attenuation coefficients per mm, interpolated in logarithms.

    Args:
        material: "water", "soft", "fat", "bone" (dense cortical), "aluminium" or "metal" (titanium).
        energy_kev: any shape, 20 to 150 keV; clipped to that.
    """
    energy = np.log(np.clip(energy_kev, *ENERGY_RANGE_KEV))
    mass = np.exp(np.interp(energy, np.log(_ENERGY_KEV), np.log(_MASS_ATTENUATION[material])))
    return mass * _DENSITY_G_PER_CM3[material] / 10


def ct_number(material: str) -> float:
    """The Hounsfield units of a material at the CT energy."""
    water, own = (float(attenuation_per_mm(name, CT_ENERGY_KEV)) for name in ("water", material))
    return 1000 * (own / water - 1)


def bone_fraction(ct_number_hu: float | np.ndarray, marrow_fat: float) -> np.ndarray:
    """Volume share of dense bone in marrow that gives trabecular bone of a CT number.

    Args:
        ct_number_hu: of the trabecular bone.
        marrow_fat: share of fat in the marrow; the rest is soft tissue.
    """
    marrow = marrow_fat * ct_number("fat") + (1 - marrow_fat) * ct_number("soft")
    return np.clip((np.asarray(ct_number_hu) - marrow) / (ct_number("bone") - marrow), 0.0, 1.0)
