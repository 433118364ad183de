"""Which pathology a simulated person has.

| kind | level | amount | made by |
|---|---|---|---|
| wedge, biconcave, crush | the fractured vertebra | lost fraction of the anterior, middle or every height | `fracture` |
| osteophytes | none: all | length of the longest spur, mm | `osteophytes` |
| slip | the vertebra that slips forward | fraction of the endplate below | `stacking`, `fracture.lysed` |
| scoliosis | none | Cobb angle between endplates of L1 .. L5, deg | `curvature` |
| fusion | the upper of two bridged vertebrae | height left of the disc, fraction | `bridging` |
| sacralised | none: four free lumbar vertebrae | 0 | `transitional` |
| lumbarised | none: six | 0 | `transitional` |
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from lumbar_ext.anatomy import LEVELS
from lumbar_ext.errors import InputError
from lumbar_ext.simulation.ranges import PathologyParameters

FRACTURES = ("wedge", "biconcave", "crush")
KINDS = (*FRACTURES, "osteophytes", "slip", "scoliosis", "fusion", "sacralised", "lumbarised")
"""Every pathology there is."""

CHOICES = ("none", "mixed", *KINDS)
"""What a cohort can be asked for."""

_WITH_LEVEL = (*FRACTURES, "slip", "fusion")
# what can still be built: height lost, mm of spur, share of the plate slipped, deg, ...
_LARGEST = {"wedge": 0.6, "biconcave": 0.6, "crush": 0.6, "osteophytes": 10.0, "slip": 0.3, "scoliosis": 45.0}


@dataclass(frozen=True)
class Pathology:
    """One pathology; the module text explains the fields.

    Raises:
        InputError: for an unknown kind, a missing or superfluous level, or an amount out of range.
    """

    kind: str
    level: str | None = None
    amount: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"pathology is {self.kind!r}, expected one of {', '.join(KINDS)}")
        levels = LEVELS[:-1] if self.kind == "fusion" else LEVELS
        if self.kind in _WITH_LEVEL and self.level not in levels:
            raise InputError(f"level of {self.kind} is {self.level!r}, expected one of {', '.join(levels)}")
        if self.kind not in _WITH_LEVEL and self.level is not None:
            raise InputError(f"{self.kind} has no level, found {self.level!r}")
        largest = _LARGEST.get(self.kind, 1.0)
        if not 0.0 <= self.amount <= largest:
            raise InputError(f"amount of {self.kind} is {self.amount!r}, expected 0 to {largest}")

    @property
    def level_index(self) -> int:
        """Index of the level into `anatomy.LEVELS`."""
        return LEVELS.index(self.level)

    def document(self) -> dict:
        """Its fields by name, as `meta.json` of a study holds them."""
        return asdict(self)


def sample_pathology(
    rng: np.random.Generator, choice: str, parameters: PathologyParameters | None = None
) -> Pathology | None:
    """Draws what a person has.

    Args:
        rng: the source of randomness.
        choice: one of `CHOICES`; "mixed" draws the kind too.
        parameters: shares and ranges, the defaults if omitted.

    Raises:
        InputError: for another choice.
    """
    parameters = parameters or PathologyParameters()
    if choice not in CHOICES:
        raise InputError(f"pathology is {choice!r}, expected one of {', '.join(CHOICES)}")
    if choice == "mixed":
        shares = np.array([getattr(parameters, f"{kind}_share") for kind in ("none", *KINDS)])
        choice = str(rng.choice(["none", *KINDS], p=shares / shares.sum()))
    if choice == "none":
        return None
    ranges = {
        **dict.fromkeys(FRACTURES, parameters.fracture_loss),
        "osteophytes": parameters.osteophyte_mm,
        "slip": parameters.slip,
        "scoliosis": parameters.cobb_deg,
        "fusion": parameters.fusion_disc,
    }
    amount = round(float(rng.uniform(*ranges[choice])), 4) if choice in ranges else 0.0
    return Pathology(choice, _sample_level(rng, choice, parameters), amount)


def _sample_level(rng: np.random.Generator, kind: str, parameters: PathologyParameters) -> str | None:
    """L2 for a fusion, that of L2 and L3; else by the level's probability, None where the kind has no level."""
    if kind == "fusion":
        return "L2"
    if kind not in _WITH_LEVEL:
        return None
    weights = np.array(parameters.slip_level if kind == "slip" else parameters.fracture_level)
    return str(rng.choice(LEVELS, p=weights / weights.sum()))
