"""Measurements of one vertebral body.

Six-point morphometry (Genant et al., Vertebral fracture assessment using a semiquantitative technique, J Bone Miner Res 8,
1993; Eastell et al. 1991): heights between the rims of both endplates in front, in the middle and behind, here in the
vertebra's own midsagittal plane instead of a projection of it.
"""

from __future__ import annotations

import numpy as np

from lumbar_ext.measurements.marks.vertebra_marks import MarkedVertebra
from lumbar_ext.measurements.values.endplates import Side, endplate
from lumbar_ext.measurements.values.frames import angle_in_plane_deg

GENANT_LOSSES = (0.20, 0.25, 0.40)
"""Height losses from which Genant's grades 1, 2 and 3 begin."""

_ROUNDING = 1e-9  # a loss of exactly a fifth is grade 1


def anterior_height_mm(vertebra: MarkedVertebra) -> np.ndarray:
    """Ha: distance of the anterior midsagittal rim points."""
    return _distance(endplate(vertebra, "superior").anterior_mm, endplate(vertebra, "inferior").anterior_mm)


def middle_height_mm(vertebra: MarkedVertebra) -> np.ndarray:
    """Hm: distance of the endplates' surfaces half-way between their anterior and posterior rim points."""
    return _distance(vertebra["superior_middle"][..., 0, :], vertebra["inferior_middle"][..., 0, :])


def posterior_height_mm(vertebra: MarkedVertebra) -> np.ndarray:
    """Hp: distance of the posterior midsagittal rim points."""
    return _distance(endplate(vertebra, "superior").posterior_mm, endplate(vertebra, "inferior").posterior_mm)


def wedge_ratio(vertebra: MarkedVertebra) -> np.ndarray:
    """Ha / Hp; below one where the body is wedged to the front."""
    return anterior_height_mm(vertebra) / posterior_height_mm(vertebra)


def biconcavity_ratio(vertebra: MarkedVertebra) -> np.ndarray:
    """Middle over posterior height, [...] without unit (six-point morphometry: Eastell 1991; Genant 1993)."""
    return middle_height_mm(vertebra) / posterior_height_mm(vertebra)


def crush_ratio(vertebra: MarkedVertebra, neighbours: list[MarkedVertebra]) -> np.ndarray:
    """Hp over the mean Hp of the adjacent vertebrae that were measured."""
    others = [posterior_height_mm(neighbour) for neighbour in neighbours]
    return posterior_height_mm(vertebra) / np.mean(others, axis=0)


def genant_grade(ratios: list[float]) -> int:
    """Genant's grade of the largest height loss among wedge, biconcavity and crush: 0 below 20 %, 1 to 25 %, 2 to 40 %, 3.

    Args:
        ratios: those of the three that are known.
    """
    loss = max((1 - ratio for ratio in ratios), default=0.0)
    return int(sum(loss >= limit - _ROUNDING for limit in GENANT_LOSSES))


def body_wedge_deg(vertebra: MarkedVertebra) -> np.ndarray:
    """Sagittal angle between both endplates of the body, positive where it is taller in front."""
    superior, inferior = endplate(vertebra, "superior"), endplate(vertebra, "inferior")
    return angle_in_plane_deg(superior.up, inferior.up, vertebra.axes.left)


def concavity_mm(vertebra: MarkedVertebra, side: Side) -> np.ndarray:
    """Depth of the endplate's deepest midsagittal point below the line between its anterior and posterior rim points."""
    plate = endplate(vertebra, side)
    chord = plate.anterior_mm - plate.posterior_mm
    offset = vertebra[f"{side}_deepest"][..., 0, :] - plate.posterior_mm
    return np.linalg.norm(np.cross(offset, chord), axis=-1) / np.linalg.norm(chord, axis=-1)


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a - b, axis=-1)
