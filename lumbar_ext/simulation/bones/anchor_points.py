"""The neighbours that lumbar levels are counted from: T12 above, a sixth lumbar vertebra and the sacrum below."""

from __future__ import annotations

import numpy as np

from lumbar_ext.anatomy import LANDMARKS, LEVELS
from lumbar_ext.simulation.bones.endplate_planes import PLATE_POINTS
from lumbar_ext.simulation.posture.posed_spine import Posture

_ENDPLATES = [LANDMARKS.index("superior_endplate"), LANDMARKS.index("inferior_endplate")]


def anchors_mm(posture: Posture) -> dict[str, dict[str, np.ndarray]]:
    """World points [3] of a posed person's neighbours, by level and name.

    "T12" and, in a person who has one, "L6" have a "centre", midway between their endplates. "S1" has "superior_centre",
    "superior_anterior", "superior_posterior", "superior_left" and "superior_right" of the endplate that the lowest free
    vertebra stands on: that of S1, or of an L5 that the sacrum took up.
    """
    t12, *_ = posture.skeleton.thoracic
    middle = (t12.superior.centre_mm + t12.inferior.centre_mm) / 2
    anchors = {"T12": {"centre": posture.world_from_thoracic[0].apply(middle)}}
    if len(posture.skeleton.lumbar) > len(LEVELS):
        sixth = posture.skeleton.lumbar[len(LEVELS)].landmarks_mm[_ENDPLATES].mean(axis=0)
        anchors["L6"] = {"centre": posture.world_from_vertebra[len(LEVELS)].apply(sixth)}
    plate = posture.world_from_sacrum.apply(posture.skeleton.sacral_plate_mm)
    anchors["S1"] = {f"superior_{name}": point for name, point in zip(PLATE_POINTS, plate, strict=True)}
    return anchors
