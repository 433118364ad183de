"""Published dimensions of lumbar vertebrae, to hold the population against.

Standard deviations that a source does not print are those of comparable series, marked `assumed`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_NONE = float("nan")


@dataclass(frozen=True)
class Published:
    """One published row.

    Args:
        dimension: a name of `dimensions.DIMENSIONS`.
        sex: "both", "female" or "male".
        mean: [5] of L1 .. L5, NaN where not reported.
        sd: [5]; NaN where not reported.
        source: author, year, sample.
        remark: how the definition or the sample differs from ours, empty if it does not.
    """

    dimension: str
    sex: str
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    source: str
    remark: str = ""

    def __post_init__(self) -> None:
        if len(self.mean) != 5 or len(self.sd) != 5:
            raise ValueError(
                f"{self.dimension}: expected five means and SDs, found {len(self.mean)} and {len(self.sd)}"
            )

    def sds_off(self, population_mean: np.ndarray) -> np.ndarray:
        """Difference [5] of the population's means [5] in published SDs."""
        return (np.asarray(population_mean) - self.mean) / np.asarray(self.sd)


def _at_l5(value: float) -> tuple[float, ...]:
    return (_NONE,) * 4 + (value,)


def _all(value: float) -> tuple[float, ...]:
    return (value,) * 5


def _from_l2(*values: float) -> tuple[float, ...]:
    return (_NONE, *values)


_PANJABI = "Panjabi 1992, 12 cadavers, SD assumed"
_L5_CT = "L5 of about 600 CTs (ijssurgery, Table 6)"
_WEDGE = "240 skeletons (PMC2899959, Table 1), SD assumed"
_CHINESE = "Chinese CT (PMID 8087710)"
_ZINDRICK = "Zindrick 1987, SD of the Chinese CT series"
_MESH = "sections of the mean mesh of 87 CTs, 61 y (Clouthier 2023), SD of that cohort"
_COHORT = "mean L2-L5 of 87 CTs, 61 y (Clouthier 2023), SD a fifth of the range"

PUBLISHED: tuple[Published, ...] = (
    Published(
        "superior_width_mm", "both", (41.2, 42.6, 44.1, 46.6, 47.3), _all(3.5), _PANJABI,
        "real: the base meshes, mostly of people of 61 years, are that wide (next rows); the lipped rim counts",
    ),
    Published(
        "inferior_width_mm", "both", (43.3, 45.5, 48.0, 49.5, 49.4), _all(3.5), _PANJABI,
        "as the superior width",
    ),
    Published("superior_width_mm", "both", _from_l2(48.1, 51.0, 52.9, 56.1), _from_l2(3.9, 3.9, 3.9, 3.9), _MESH),
    Published("inferior_width_mm", "both", _from_l2(51.4, 53.1, 55.0, 55.3), _from_l2(3.9, 3.9, 3.9, 3.9), _MESH),
    Published("superior_depth_mm", "both", _from_l2(33.3, 35.1, 35.0, 33.9), _from_l2(2.5, 2.5, 2.5, 2.5), _MESH,
              "ours is the extent of the strip beside the mid plane, theirs that of the section"),
    Published("anterior_height_mm", "both", _from_l2(26.7, 27.4, 27.0, 28.1), _from_l2(2.0, 2.0, 2.0, 2.0),
              _MESH + " assumed", "ours takes the highest points of both rims, theirs one line"),
    Published("posterior_height_mm", "both", _from_l2(28.2, 27.5, 26.8, 24.2), _from_l2(1.9, 1.9, 1.9, 1.9),
              _MESH + " assumed", "as the anterior height"),
    Published("middle_height_mm", "both", _from_l2(26.5, 26.5, 26.5, 25.4), _from_l2(1.9, 1.9, 1.9, 1.9),
              _MESH + " assumed"),
    Published(
        "superior_depth_mm", "both", (34.1, 34.6, 35.2, 35.5, 34.7), _all(3.0), _PANJABI,
    ),
    Published(
        "inferior_depth_mm", "both", (35.3, 34.9, 34.8, 33.9, 33.2), _all(3.0), _PANJABI,
        "base meshes are of people of 61 years, whose inferior rims are lipped",
    ),
    Published("superior_depth_mm", "female", _at_l5(33.3), _at_l5(2.6), _L5_CT, "as the inferior depth"),
    Published("superior_depth_mm", "male", _at_l5(37.1), _at_l5(3.2), _L5_CT, "as the inferior depth"),
    Published(
        "posterior_height_mm", "both", (23.8, 24.3, 23.8, 24.1, 22.9), _all(1.9), _PANJABI,
        "ours is rim to rim in the hind 5 mm, Panjabi's in the middle of the wall, below the rims",
    ),
    Published("posterior_height_mm", "female", _at_l5(25.5), _at_l5(1.9), _L5_CT),
    Published("posterior_height_mm", "male", _at_l5(26.8), _at_l5(1.9), _L5_CT),
    Published("anterior_height_mm", "female", _at_l5(29.6), _at_l5(1.8), _L5_CT),
    Published("anterior_height_mm", "male", _at_l5(30.7), _at_l5(1.9), _L5_CT),
    Published("wedge_deg", "female", (-2.6, -0.7, 1.1, 3.1, 7.8), _all(3.0), _WEDGE),
    Published("wedge_deg", "male", (-4.1, -2.6, -1.3, 0.7, 4.6), _all(3.0), _WEDGE),
    Published("superior_concavity_mm", "both", _all(1.35), _all(0.7), "1.0-1.7 mm, SD assumed"),
    Published(
        "inferior_concavity_mm", "both", (2.5, 2.5, 2.5, 2.5, _NONE), _all(0.9), "2-3 mm, SD assumed",
        "averaging flattens the level means, and the parameters spread around them",
    ),
    Published("pedicle_width_mm", "both", (8.7, 8.9, 10.3, 12.9, 18.0), (1.5, 1.5, 2.2, 2.4, 2.8), _ZINDRICK,
              "at L5 the section takes part of the transverse process' root"),
    Published("pedicle_width_mm", "both", _from_l2(8.5, 9.2, 11.9, 17.0), _from_l2(1.5, 2.2, 2.4, 2.8), _CHINESE,
              "as above"),
    Published("pedicle_height_mm", "both", (15.4, 15.0, 14.9, 14.8, 14.0), _all(1.5), "Zindrick 1987, SD assumed",
              "at L5 the section takes part of the transverse process' root"),
    Published("pedicle_transverse_deg", "both", (10.9, 12.0, 14.4, 17.7, 29.8), (4.9, 4.9, 5.1, 5.9, 7.2), _ZINDRICK,
              "the base meshes converge 7, 9, 11, 14 and 25 deg"),
    Published("pedicle_transverse_deg", "both", _from_l2(13.9, 13.4, 16.2, 27.8), _from_l2(4.9, 5.1, 5.9, 7.2), _CHINESE,
              "as above"),
    Published(
        "canal_width_mm", "both", (23.7, 23.8, 24.3, 25.4, 27.1), _all(2.6), _PANJABI,
        "real in part: the base meshes have 22.3-24.1 mm at L2-L4 by sections",
    ),
    Published(
        "canal_depth_mm", "both", _from_l2(16.7, 16.7, 16.7, 16.7), _from_l2(1.5, 1.5, 1.5, 1.5), _COHORT,
        "ours runs from the hollow of the hind wall to the foremost point of the lamina; by sections the base meshes have "
        "16.7-17.8 mm",
    ),
    Published("canal_depth_mm", "both", _at_l5(15.6), _at_l5(2.1), _L5_CT, "as above"),
    Published("transverse_span_mm", "both", (71.2, 76.1, 85.7, 79.4, 92.5), _all(6.5), _PANJABI,
              "the base meshes' own spans are 73, 83, 92, 88 and 95 mm, as those of LMG (74, 89, 97, 97, 98)"),
    Published("transverse_span_mm", "both", (74.2, 88.8, 96.9, 96.8, 97.5), _all(6.5), "LMG (its code), SD assumed",
              "as above"),
    Published("spinous_length_mm", "both", _from_l2(51.6, 51.6, 51.6, 51.6), _from_l2(3.6, 3.6, 3.6, 3.6), _COHORT,
              "the source gives one mean of four levels: ours of them is 50.2"),
    Published("spinous_height_mm", "both", _from_l2(23.5, 23.5, 23.5, 23.5), _from_l2(2.9, 2.9, 2.9, 2.9), _COHORT,
              "the source gives one mean of four levels"),
)  # fmt: skip
