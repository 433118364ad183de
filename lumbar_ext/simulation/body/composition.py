"""What a person's bones are made of: age, density by level, marrow and shells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lumbar_ext.simulation.body.materials import bone_fraction
from lumbar_ext.simulation.ranges import BoneParameters

_YOUNGEST, _OLDEST = 20.0, 88.0  # years of age, between which bone and muscle change


@dataclass(frozen=True)
class Composition:
    """The bones of one person.

    Args:
        age_years: age.
        trabecular_hu: CT numbers of trabecular bone in T8-T12, L1 .. L5 and the sacrum.
        marrow_fat: share of fat in marrow.
        shell_density: share of dense bone in shells.
        texture: standard deviation of the path in trabecular bone, mm per root of mm.
        patches: the same for patches of some millimetres.
    """

    age_years: float
    trabecular_hu: tuple[float, ...]
    marrow_fat: float
    shell_density: float
    texture: float
    patches: float

    def core_density(self, level: int) -> float:
        """Volume share of dense bone in trabecular bone: level 0 is T8-T12, 1 to 5 L1 to L5, 6 the sacrum."""
        return float(bone_fraction(self.trabecular_hu[level], self.marrow_fat))


def ageing(age_years: float) -> float:
    """How far an age lies between the youngest and the oldest adult simulated: 0 at 20 years, 1 at 88, not beyond."""
    return float(np.clip((age_years - _YOUNGEST) / (_OLDEST - _YOUNGEST), 0.0, 1.0))


def sample_composition(rng: np.random.Generator, parameters: BoneParameters) -> Composition:
    """Draws age, mineral, marrow fat, shell and texture of one person's bones from their ranges."""
    age = rng.uniform(*parameters.age_years)
    mean = parameters.trabecular_hu_at_30 + parameters.trabecular_hu_per_year * max(age - 30.0, 0.0)
    first = np.clip(rng.normal(mean, parameters.trabecular_hu_sd), *parameters.trabecular_hu_limits)
    levels = first * np.array(parameters.level_density) * np.exp(rng.normal(0, 0.05, len(parameters.level_density)))
    fat = np.interp(ageing(age), (0, 1), parameters.marrow_fat) + rng.normal(0, parameters.marrow_fat_sd)
    return Composition(
        age_years=float(age),
        trabecular_hu=tuple(levels.tolist()),
        marrow_fat=float(np.clip(fat, 0.0, 0.9)),
        shell_density=rng.uniform(*parameters.shell_density),
        texture=rng.uniform(*parameters.trabecular_texture),
        patches=rng.uniform(*parameters.trabecular_patches),
    )
