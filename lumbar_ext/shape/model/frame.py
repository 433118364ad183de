"""The vertebra frame, from the landmarks of one vertebra.

Definition after Stokes (SRS working group, Spine 1994) and the ISB proposal, with X to the front, Y to the left, Z
up: the origin is the midpoint of the two endplate centres, Z runs through both, Y is the right-to-left pedicle line
made orthogonal to Z.
"""

from __future__ import annotations

import numpy as np

from lumbar_ext.anatomy import LANDMARKS
from lumbar_ext.geometry import RigidTransform

_SUPERIOR, _INFERIOR = LANDMARKS.index("superior_endplate"), LANDMARKS.index("inferior_endplate")
_LEFT_PEDICLE, _RIGHT_PEDICLE = LANDMARKS.index("left_pedicle"), LANDMARKS.index("right_pedicle")


def world_from_vertebra(landmarks_mm: np.ndarray) -> RigidTransform:
    """The pose of a vertebra whose landmarks are known in some world frame.

    Args:
        landmarks_mm: [7, 3] landmarks in the order of `anatomy.LANDMARKS`, world mm.

    Returns:
        `world_from_vertebra`.

    Raises:
        ValueError: if the shape is wrong or the endplate and pedicle lines are degenerate or parallel.
    """
    landmarks = np.asarray(landmarks_mm, dtype=np.float64)
    if landmarks.shape != (len(LANDMARKS), 3):
        raise ValueError(f"landmarks_mm must be [{len(LANDMARKS)}, 3], found {landmarks.shape}")
    up = landmarks[_SUPERIOR] - landmarks[_INFERIOR]
    leftward = landmarks[_LEFT_PEDICLE] - landmarks[_RIGHT_PEDICLE]
    forward = np.cross(leftward, up)
    if not np.linalg.norm(forward) > 1e-6 * np.linalg.norm(up) * np.linalg.norm(leftward):
        raise ValueError("endplate centres and pedicle centres must span a plane: the vertebra frame is undetermined")
    z = up / np.linalg.norm(up)
    x = forward / np.linalg.norm(forward)
    rotation = np.stack([x, np.cross(z, x), z], axis=1)
    return RigidTransform(rotation, (landmarks[_SUPERIOR] + landmarks[_INFERIOR]) / 2)
