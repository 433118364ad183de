"""The parts of a vertebra on the topology that all levels share: where an error lies says more than how large it is."""

from __future__ import annotations

import numpy as np

from lumbar_ext.anatomy import LANDMARKS

REGIONS = ("body", "pedicles", "articular processes", "lamina", "transverse processes", "spinous process")
"""In the order of the numbers that `vertex_regions` gives."""

_PEDICLE_HALF_LENGTH_MM = 4.0  # of the region "pedicle", along X, from its landmark
_SPINOUS_HALF_WIDTH_MM = 5.0  # of the region "spinous", from the midline


def vertex_regions(vertices_mm: np.ndarray, landmarks_mm: np.ndarray) -> np.ndarray:
    """The region [V] of every vertex of a mean vertebra, an index into `REGIONS`.

    Cuts along the axes of the vertebra frame, placed by the landmarks: the body lies in front of the pedicles, which
    reach 4 mm to either side of their centres; the transverse processes begin a third of the way from the pedicle's
    centre to the tip; behind the pedicles the spinous process is the middle from half-way to its tip, the articular
    processes are what stands out above and below beside the middle, and the lamina is the rest.

    Args:
        vertices_mm: [V, 3] in the vertebra frame.
        landmarks_mm: [7, 3] in the order of `anatomy.LANDMARKS`.
    """
    x, y, z = vertices_mm.T
    place = dict(zip(LANDMARKS, landmarks_mm, strict=True))
    pedicles = np.stack([place["left_pedicle"], place["right_pedicle"]])
    tips = np.stack([place["left_transverse_process"], place["right_transverse_process"]])
    px, py, pz = pedicles[:, 0].mean(), np.abs(pedicles[:, 1]).mean(), pedicles[:, 2].mean()
    tip_y, spinous = np.abs(tips[:, 1]).mean(), place["spinous_process"]
    behind = x < px - _PEDICLE_HALF_LENGTH_MM
    regions = np.full(len(x), REGIONS.index("lamina"))
    regions[x > px + _PEDICLE_HALF_LENGTH_MM] = REGIONS.index("body")
    between = ~behind & (x <= px + _PEDICLE_HALF_LENGTH_MM)
    # Between the pedicles lies the canal, or the body's posterior wall where it reaches back that far.
    regions[between] = np.where(np.abs(y[between]) > 0.6 * py, REGIONS.index("pedicles"), REGIONS.index("body"))
    upper, lower = pz + 2, spinous[2] - 2
    articular = behind & (np.abs(y) > _SPINOUS_HALF_WIDTH_MM) & ((z > upper) | (z < lower))
    regions[articular] = REGIONS.index("articular processes")
    lateral = np.abs(y) > py + (tip_y - py) / 3
    regions[lateral & (x < px)] = REGIONS.index("transverse processes")
    far = x < px + 0.8 * (spinous[0] - px)
    middle = (np.abs(y) <= _SPINOUS_HALF_WIDTH_MM) & (x < px + 0.55 * (spinous[0] - px))
    regions[behind & (far | middle)] = REGIONS.index("spinous process")
    return regions
