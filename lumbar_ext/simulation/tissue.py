"""X-ray attenuation of tissues by energy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Linear attenuation per cm from the element tables of NIST (XCOM) and the densities 1.00, 1.06, 0.95, 1.92 g/cm3.
_ENERGY_KEV = (40.0, 50.0, 55.0, 60.0, 70.0)
_WATER = (0.268, 0.227, 0.216, 0.206, 0.194)
_SOFT = (0.277, 0.236, 0.225, 0.215, 0.203)
_FAT = (0.228, 0.202, 0.194, 0.187, 0.178)
_CORTICAL = (1.278, 0.814, 0.695, 0.604, 0.499)
# Hounsfield units are stated for CT beams of about 70 keV; calcium weighs more at the lower energies of radiography.
_CT_ENERGY_KEV = 70.0
_LUNG_DENSITY = 0.26


@dataclass(frozen=True)
class Attenuation:
    """Linear attenuation coefficients per mm at one effective energy."""

    soft: float
    fat: float
    lung: float
    cortical: float
    trabecular: float


def attenuation_at(energy_kev: float, *, trabecular_hu: float) -> Attenuation:
    """Interpolates the tables at an energy of 40 to 70 keV.

    Args:
        energy_kev: effective energy of the beam behind the patient.
        trabecular_hu: CT number of trabecular bone: 226 below 30 years, falling by 2.5 a year (Jang 2019).
    """
    water, soft, fat, cortical = (_per_mm(energy_kev, table) for table in (_WATER, _SOFT, _FAT, _CORTICAL))
    cortical_ct, water_ct = _per_mm(_CT_ENERGY_KEV, _CORTICAL), _per_mm(_CT_ENERGY_KEV, _WATER)
    # Trabecular bone as marrow (like water) plus a share of cortical bone that gives the CT number at the CT energy.
    share = trabecular_hu / 1000 * water_ct / (cortical_ct - water_ct)
    return Attenuation(soft, fat, soft * _LUNG_DENSITY, cortical, water + share * (cortical - water))


def _per_mm(energy_kev: float, table: tuple[float, ...]) -> float:
    return float(np.exp(np.interp(np.log(energy_kev), np.log(_ENERGY_KEV), np.log(table)))) / 10
